"""Seconds to a held-out masked-LM loss: the published recipe in two packages, and our own.

    python benchmarks/time_to_loss.py TRAIN DEV [--systems transformers,published,own] [--minutes 8]
        [--recipe recipes/base-two-minutes.toml] [--output times.json] [key=value ...]
    python benchmarks/time_to_loss.py --draw times.json --picture time-to-loss.png

TRAIN and DEV are folders that `bertsmith prepare` has written. All train BERT-base from random
weights and are measured on the same held-out sequences of up to 512, masked at 15 %.

`transformers`: Hugging Face's BertForPreTraining, compiled, bfloat16, fused AdamW, with the
published recipe (Devlin et al. 2019, A.2): 256 sequences a step, of 128 for nine tenths of the
steps and of 512 for the rest, a rate of 1e-4 that rises for a hundredth of the run and then falls,
dropout 0.1. Its run has as many steps as take so many minutes. Compiling, which it does for two
shapes, and measuring are left out of its time.
`published`: the same recipe in ours, for as many steps, of 32,768 tokens.
`own`: a recipe of ours that ends with its budget.
Of these two all the time counts, from the start of the process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SHORT, LONG = 128, 512
SHORT_PROPORTION, WARMUP = 0.9, 0.01
EVALUATIONS = 16
TOLERANCE = 0.01  # nats: what another seed makes of a loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", help="TRAIN DEV, then settings of our own recipe")
    parser.add_argument("--systems", default="transformers,published,own")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--recipe", type=Path, default=Path("recipes/base-two-minutes.toml"))
    parser.add_argument("--preset", default="base")
    parser.add_argument("--sequences", type=int, default=256, help="of a step, as published")
    parser.add_argument("--eval-tokens", type=int, default=262144)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--draw", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_intermixed_args()
    if args.draw:
        draw(json.loads(args.draw.read_text()), args.picture)
        return
    if args.one:
        job = json.loads(args.one)
        print(json.dumps(MEASURES[job["system"]](job)))
        return

    results = json.loads(args.output.read_text()) if args.output and args.output.exists() else {}
    train, dev, *settings = args.folders
    failed = False
    for system in args.systems.split(","):
        if system == "published" and "transformers" not in results:
            print(
                "published: needs transformers before it, for its number of steps", file=sys.stderr
            )
            failed = True
            continue
        job = {
            "system": system,
            "train": train,
            "dev": dev,
            "settings": settings,
            "preset": args.preset,
            "sequences": args.sequences,
            "eval_tokens": args.eval_tokens,
            "minutes": args.minutes,
            "recipe": str(args.recipe),
            "steps": results.get("transformers", {}).get("steps"),
            "started": time.time(),
        }
        command = [sys.executable, __file__, "--one", json.dumps(job)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            print(f"{system}: failed", file=sys.stderr)
            failed = True
            continue
        results[system] = json.loads(done.stdout.splitlines()[-1])
        if args.output:
            args.output.write_text(json.dumps(results))
        print(line(system, results), flush=True)
    raise SystemExit(failed)


def line(system: str, results: dict[str, Any]) -> str:
    result = results[system]
    seconds, loss = result["curve"][-1]
    text = (
        f"{system:14} loss {loss:.3f} after {seconds:.0f} s, {result['steps']} steps, "
        f"{result['tokens'] / 1e6:.0f} M tokens"
    )
    if "transformers" in results:
        goal = results["transformers"]["curve"][-1][1]
        reached = [second for second, loss in result["curve"] if loss <= goal + TOLERANCE]
        text += f"; {goal:.3f} after {reached[0]:.0f} s" if reached else f"; never {goal:.3f}"
    return text


def transformers(job: dict[str, Any]) -> dict[str, Any]:
    """Hugging Face's model in a plain loop."""
    import torch
    from transformers import BertConfig, BertForPreTraining

    from bertsmith.config import BertConfig as OwnConfig

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    sizes = OwnConfig.preset(job["preset"])
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    config = BertConfig(**{name: getattr(sizes, name) for name in names})
    model = BertForPreTraining(config).to(device).train()
    compiled = torch.compile(model, dynamic=False) if device == "cuda" else model
    optimizer = torch.optim.AdamW(
        model.parameters(), 1e-4, eps=1e-6, weight_decay=0.01, fused=device == "cuda"
    )
    held_out = held_out_rows(job)

    def step(rows: dict[str, Any], rate: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate
        rows = {name: values.to(device, non_blocking=True) for name, values in rows.items()}
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss = compiled(**rows).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    def wait() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.monotonic()

    with contextlib.ExitStack() as stack:
        short, long = (
            stack.enter_context(contextlib.closing(padded(job, length))) for length in (SHORT, LONG)
        )
        seconds = []
        for batches in (long, short):
            # A rate of 0 leaves the weights as they are; Adam's averages start anew after it.
            for _ in range(3):
                step(next(batches), 0.0)
            start = wait()
            for _ in range(10):
                step(next(batches), 0.0)
            seconds.append((wait() - start) / 10)
        optimizer.state.clear()
        mean = SHORT_PROPORTION * seconds[1] + (1 - SHORT_PROPORTION) * seconds[0]
        steps = max(20, round(60 * job["minutes"] / mean))
        points, tokens, out, start = [], 0, 0.0, wait()
        for number in range(steps):
            part = number / steps
            rows = next(short if part < SHORT_PROPORTION else long)
            tokens += int(rows["attention_mask"].sum())
            step(rows, 1e-4 * (part / WARMUP if part < WARMUP else 1 - part))
            if (number + 1) * EVALUATIONS // steps > number * EVALUATIONS // steps:
                now = wait()
                points.append((now - start - out, masked_lm_loss(model, held_out, device)))
                print(f"transformers {points[-1][0]:.0f} s {points[-1][1]:.3f}", file=sys.stderr)
                out += wait() - now
    return {"curve": points, "steps": steps, "tokens": tokens}


def masked_lm_loss(model: Any, held_out: list[dict[str, Any]], device: str) -> float:
    """Mean over the masked tokens, in nats."""
    import torch
    import torch.nn.functional as F

    model.eval()
    total = torch.zeros((), device=device)
    count = 0
    for rows in held_out:
        inputs = {k: rows[k].to(device) for k in ("input_ids", "token_type_ids", "attention_mask")}
        labels = rows["labels"]
        chosen = (labels >= 0).to(device)
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            logits = model(**inputs).prediction_logits[chosen]
        total += F.cross_entropy(logits.float(), labels[labels >= 0].to(device), reduction="sum")
        count += int((labels >= 0).sum())
    model.train()
    return float(total) / count


def padded(job: dict[str, Any], length: int) -> Any:
    """Endless rows, made in a thread of their own."""
    from bertsmith.data.prefetch import prefetched
    from padded_rows import in_batches

    def made() -> Any:
        batches = source(job, job["train"], length, seed=12345).batches()
        with contextlib.closing(batches):
            yield from in_batches(batches, length, job["sequences"])

    return prefetched(made(), 4)


def held_out_rows(job: dict[str, Any]) -> list[dict[str, Any]]:
    """The sequences that `pretrain` measures on."""
    from bertsmith.training.pretraining import HELD_OUT_SEED
    from padded_rows import rows_of

    count = -(-job["eval_tokens"] // batch_tokens(job))
    batches = source(job, job["dev"], LONG, HELD_OUT_SEED).evaluation_batches(count)
    return [rows_of(loaded, LONG) for loaded in batches]


def batch_tokens(job: dict[str, Any]) -> int:
    """Of the published batches, if short sequences had no padding."""
    return int(job["sequences"]) * SHORT


def source(job: dict[str, Any], folder: str, length: int, seed: int) -> Any:
    from bertsmith.data.loader import PretrainingBatches
    from bertsmith.data.shards import TokenizedCorpus
    from bertsmith.data.wordpiece_ids import WordpieceIds
    from bertsmith.text.tokenizer import Tokenizer

    ids = WordpieceIds.of(Tokenizer.load(folder))
    corpus = TokenizedCorpus.open(folder)
    return PretrainingBatches(
        corpus, ids, max_seqlen=length, budget_tokens=batch_tokens(job), seed=seed
    )


def published(job: dict[str, Any]) -> dict[str, Any]:
    import torch

    from bertsmith.training.pretrain_recipe import PretrainRecipe

    with tempfile.TemporaryDirectory() as folder:
        steps = job["steps"]
        recipe = {
            "model": {"preset": job["preset"]},
            "data": data(job)
            | {"max_seqlen": LONG, "short_seqlen": SHORT, "short_proportion": SHORT_PROPORTION},
            "optimizer": {"name": "adamw", "learning_rate": 1e-4},
            "schedule": {"warmup_proportion": WARMUP},
            "train": train(folder) | {"steps": steps, "compile": torch.cuda.is_available()},
        }
        recipe["train"] |= {
            "batch_tokens": batch_tokens(job),
            "eval_every_steps": -(-steps // EVALUATIONS),
        }
        return run(PretrainRecipe.from_dict(recipe), job["started"])


def own(job: dict[str, Any]) -> dict[str, Any]:
    from bertsmith.training.pretrain_recipe import PretrainRecipe

    with tempfile.TemporaryDirectory() as folder:
        places = data(job) | train(folder)
        names = {"train": "data.train", "eval": "data.eval", "eval_tokens": "data.eval_tokens"}
        settings = [f"{names.get(k, f'train.{k}')}={json.dumps(v)}" for k, v in places.items()]
        # The others' held-out text has pairs alone.
        settings.append("data.single_segment_prob=0")
        recipe = PretrainRecipe.load(job["recipe"], [*settings, *job["settings"]])
        return run(recipe, job["started"])


def data(job: dict[str, Any]) -> dict[str, Any]:
    return {"train": job["train"], "eval": job["dev"], "eval_tokens": job["eval_tokens"]}


def train(folder: str) -> dict[str, Any]:
    return {
        "output": f"{folder}/run",
        "keep_checkpoints": 0,
        "checkpoint_every_steps": 10**9,
    }


def run(recipe: Any, started: float) -> dict[str, Any]:
    from bertsmith.training.metrics_file import read_metrics
    from bertsmith.training.pretraining import pretrain
    from bertsmith.training.trainer import Trainer

    fit, begun = Trainer.fit, []

    def timed_fit(trainer: Trainer) -> Any:
        begun.append(time.time())
        return fit(trainer)

    Trainer.fit = timed_fit  # type: ignore[method-assign]
    state = pretrain(recipe).outcome.state
    curve = [
        (begun[0] - started + line["elapsed_seconds"], line["masked_lm_loss"])
        for line in read_metrics(recipe.train.output / "metrics.jsonl")
        if line["split"] == "eval"
    ]
    return {"curve": curve, "steps": state.step, "tokens": state.tokens}


MEASURES = {"transformers": transformers, "published": published, "own": own}
NAMES = {
    "transformers": "published recipe, Hugging Face",
    "published": "published recipe, bertsmith",
    "own": "our recipe, bertsmith",
}


def draw(results: dict[str, Any], picture: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    styles = {"transformers": "black", "published": "tab:blue", "own": "tab:orange"}
    for system, color in styles.items():
        if system in results:
            seconds, losses = zip(*results[system]["curve"], strict=True)
            axes.plot(seconds, losses, color=color, marker="o", markersize=3, label=NAMES[system])
    if "transformers" in results:
        goal = results["transformers"]["curve"][-1][1]
        axes.axhline(goal, color="black", linewidth=0.6, linestyle=":")
    axes.set_xlabel("seconds")
    axes.set_ylabel("held-out masked-LM loss (nats)")
    axes.legend(frameon=False)
    figure.savefig(picture, dpi=130)


if __name__ == "__main__":
    main()
