"""Make one of the models of this folder, from text to a file of results; each stage is a command.

    python recipes/own/make.py mini --corpus CORPUS --tasks TASKS --output runs/own
    python recipes/own/make.py mini --ablation no-nsp --output runs/own ...
    python recipes/own/make.py mini --random-weights --output runs/own ...

CORPUS is a folder with *train*.txt and *dev*.txt (or .txt.xz and the like), TASKS one with the data
sets that tasks.toml names. The commands are printed; all go on where they were interrupted, and
what is there already is not made again, so that the same line goes on after any interruption, and
several models share vocabulary and shards. `key=value` are settings of pre-training in place of
the recipe's.

    vocabulary → OUTPUT/vocab             bertsmith vocab
    shards     → OUTPUT/shards/train, dev bertsmith prepare
    pretrain   → OUTPUT/RUN               bertsmith pretrain
    held-out   → OUTPUT/RUN/held-out.json bertsmith evaluate: single texts, pairs
    tasks      → OUTPUT/RUN-tasks         bertsmith benchmark
    results    → RESULTS/RUN.json         all figures of the run in one file
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from bertsmith.atomic import write_atomically

FOLDER = Path(__file__).parent
STAGES = ("vocabulary", "shards", "pretrain", "held-out", "tasks", "results")
VOCAB_SIZE = 30522
# What held-out text is measured on, by name: the longest sequence, and whether it is of pairs.
HELD_OUT = {"single-128": (128, False), "pairs-128": (128, True), "pairs-512": (512, True)}


def main() -> None:
    args = parsed()
    stages = STAGES[STAGES.index(args.begin) : STAGES.index(args.until) + 1]
    run = name_of_run(args)
    for stage in stages:
        if args.random_weights and stage in ("pretrain", "held-out"):
            continue
        print(f"--- {run}: {stage}", file=sys.stderr, flush=True)
        {
            "vocabulary": make_vocabulary,
            "shards": make_shards,
            "pretrain": pretrain,
            "held-out": measure_on_text,
            "tasks": measure_on_tasks,
            "results": write_results,
        }[stage](args, run)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="mini, small or base: the recipe of that name")
    parser.add_argument("--corpus", type=Path, help="the folder of texts")
    parser.add_argument("--tasks", type=Path, help="the folder of data sets")
    parser.add_argument("--output", type=Path, required=True, help="for everything that is made")
    parser.add_argument("--results", type=Path, help="for RUN.json (default: OUTPUT/results)")
    parser.add_argument("--ablation", metavar="NAME", help="a section of ablations.toml")
    parser.add_argument(
        "--random-weights", action="store_true", help="measure the twin without pre-training"
    )
    parser.add_argument("--task-names", metavar="A,B", help="of tasks.toml, these alone")
    parser.add_argument(
        "--task-setting",
        action="append",
        default=[],
        metavar="key=value",
        help="of fine-tuning, in place of tasks.toml's; may be given several times",
    )
    parser.add_argument("--workers", type=int, default=10, help="fine-tunings at a time (10)")
    parser.add_argument("--from", dest="begin", choices=STAGES, default=STAGES[0])
    parser.add_argument("--until", choices=STAGES, default=STAGES[-1])
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    args = parser.parse_intermixed_args()
    if args.ablation is not None and args.random_weights:
        parser.error("a model without pre-training has no ablation of it")
    return args


def name_of_run(args: argparse.Namespace) -> str:
    if args.random_weights:
        return f"{args.model}-random"
    return f"{args.model}-{args.ablation}" if args.ablation else str(args.model)


def ablation_of(args: argparse.Namespace) -> dict[str, Any]:
    """What the ablation changes, and which tasks it is measured on; nothing without one."""
    if args.ablation is None:
        return {"changes": [], "tasks": None}
    with (FOLDER / "ablations.toml").open("rb") as file:
        ablations = tomllib.load(file)
    common = ablations.pop("all")
    if args.ablation not in ablations:
        sys.exit(f"{args.ablation} is not one of {', '.join(ablations)}")
    found = ablations[args.ablation]
    if found.get("is_long", False):
        return {"changes": found["changes"], "tasks": None}
    return {
        "changes": common["changes"] + found["changes"],
        "tasks": ",".join(common["tasks"]),
    }


def bertsmith(*arguments: object, capture: bool = False) -> str:
    """Run a verb; what it says goes to the terminal, and its JSON is returned where asked for."""
    words = [str(argument) for argument in arguments]
    print(f"$ bertsmith {' '.join(words)}", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "bertsmith", *words],
        stdout=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout or ""


def texts(args: argparse.Namespace, part: str) -> list[Path]:
    if args.corpus is None:
        sys.exit("--corpus is needed for this stage: the folder of texts")
    found = sorted(args.corpus.glob(f"*{part}*.txt*"))
    if not found:
        sys.exit(f"{args.corpus} holds no *{part}*.txt")
    return found


def make_vocabulary(args: argparse.Namespace, run: str) -> None:
    folder = args.output / "vocab"
    if not (folder / "vocab.txt").exists() and not has_shards(args, "train"):
        bertsmith("vocab", *texts(args, "train"), "--size", VOCAB_SIZE, "--output", folder)


def make_shards(args: argparse.Namespace, run: str) -> None:
    for part in ("train", "dev"):
        if not has_shards(args, part):
            folder = args.output / "shards" / part
            vocab = args.output / "vocab"
            bertsmith("prepare", *texts(args, part), "--vocab", vocab, "--output", folder)


def has_shards(args: argparse.Namespace, part: str) -> bool:
    return (args.output / "shards" / part / "manifest.json").exists()


def pretrain(args: argparse.Namespace, run: str) -> None:
    places = {
        "data.train": args.output / "shards" / "train",
        "data.eval": args.output / "shards" / "dev",
        "train.output": args.output / run,
    }
    settings = [f"{name}={place}" for name, place in places.items()]
    settings += [*ablation_of(args)["changes"], *args.overrides]
    bertsmith("pretrain", FOLDER / f"{args.model}.toml", *settings, "--resume")


def measure_on_text(args: argparse.Namespace, run: str) -> None:
    config = read_json(args.output / run / "config.json")
    target = args.output / run / "held-out.json"
    # By its bytes: a run that is over writes the same model again when it is asked to go on.
    with (args.output / run / "model.safetensors").open("rb") as file:
        model = hashlib.file_digest(file, "sha256").hexdigest()
    if target.exists() and read_json(target).get("model_sha256") == model:
        print(f"{target} is there already", file=sys.stderr)
        return
    figures: dict[str, Any] = {"model_sha256": model}
    for name, (length, is_paired) in HELD_OUT.items():
        if is_paired and "next_sentence" not in config["bertsmith"]["tasks"]:
            continue
        printed = bertsmith(
            "evaluate",
            "--model",
            args.output / run,
            "--data",
            args.output / "shards" / "dev",
            f"data.max_seqlen={min(length, config['max_position_embeddings'])}",
            f"data.pairs={'true' if is_paired else 'false'}",
            capture=True,
        )
        figures[name] = json.loads(printed)
    write_json(target, figures)


def measure_on_tasks(args: argparse.Namespace, run: str) -> None:
    if args.tasks is None:
        sys.exit("--tasks is needed for this stage: the folder of data sets")
    options = ["--workers", args.workers]
    names = args.task_names or ablation_of(args)["tasks"]
    options += ["--tasks", names] if names else []
    model = args.output / run
    if args.random_weights:
        # A twin needs the sizes alone; those of any run of the recipe.
        model = args.output / args.model
        options.append("--random-weights")
    bertsmith(
        "benchmark",
        FOLDER / "tasks.toml",
        "--model",
        model,
        "--data",
        args.tasks,
        "--output",
        args.output / f"{run}-tasks",
        *options,
        *args.task_setting,
    )


def write_results(args: argparse.Namespace, run: str) -> None:
    measured = read_json(args.output / f"{run}-tasks" / "results.json")
    results: dict[str, Any] = {
        "run": run,
        "recipe": f"recipes/own/{args.model}.toml",
        "changes": [*ablation_of(args)["changes"], *args.overrides],
        "pretraining": None,
        "held_out": None,
    }
    folder = args.output / run
    if not args.random_weights:
        state = read_json(folder / "run.json")["state"]
        manifest = read_json(args.output / "shards" / "train" / "manifest.json")
        results["pretraining"] = {
            "steps": state["step"],
            "tokens": state["tokens"],
            "seconds": round(state["elapsed_seconds"]),
            "best_step": state["best_step"],
            "epochs": state["position"]["epoch"] if state["position"] else None,
            "wordpieces": sum(shard["num_wordpieces"] for shard in manifest["shards"]),
        }
        results["held_out"] = read_json(folder / "held-out.json")
        results["held_out"].pop("model_sha256", None)
    results |= measured
    target = (args.results or args.output / "results") / f"{run}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_json(target, results)
    print(target)


def read_json(path: Path) -> Any:
    if not path.exists():
        sys.exit(f"{path} is not there; run the stages before this one")
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, values: Any) -> None:
    """Write a file that is there whole or not at all, so that what is there need not be made."""
    text = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, [text.encode()])


if __name__ == "__main__":
    main()
