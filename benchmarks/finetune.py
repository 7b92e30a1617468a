"""Fine-tuning beside Hugging Face's Trainer: time, memory and the figure of each task.

    python benchmarks/finetune.py --data TASKS --model MODEL [--tasks sst2,mrpc] [--seeds 5]
        [--device cuda] [--max-train N] [--max-eval N] [--output table.jsonl]

TASKS is a folder with sst2/, cola/, mrpc/, rte/, stsb/, wnut17-ner/, codah/ and squad/ in their
published formats; MODEL a folder that both open. Each system runs all seeds of a task in a process
of its own, one process after another, on the same records, batches, epochs, rates and decay. A
run's time is from the records in a file to the final figure, imports left out; for ours with the
model's loading, for the Trainer without. The Trainer pads each batch to its longest sequence, as
its examples can be told to; their default, padding to max_seqlen, is slower.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from bertsmith.data.layout import Layout
from bertsmith.data.records import read_records

SYSTEMS = ("transformers", "bertsmith")
# Task, figure, files, columns where the file does not name them, and how much of it.
TASKS: dict[str, dict[str, Any]] = {
    "sst2": {"figure": "accuracy", "max_train": 10_000},
    "cola": {"figure": "matthews_correlation", "layout": {"text": "4", "label": "2"}},
    "mrpc": {"figure": "f1"},
    "rte": {"figure": "accuracy", "max_seqlen": 256},
    "stsb": {"figure": "spearman", "task": "sequence_regression"},
    "wnut17": {
        "figure": "f1",
        "task": "token_classification",
        "files": ("wnut17-ner/train.conll", "wnut17-ner/dev.conll"),
    },
    "codah": {
        "figure": "accuracy",
        "task": "multiple_choice",
        "files": ("codah/full_data.tsv", "codah/full_data.tsv"),
        "batch_size": 16,
    },
    "squad": {
        "figure": "f1",
        "task": "question_answering",
        "files": ("squad/train-v1.1-part.json", "squad/dev-v1.1.json"),
        "max_seqlen": 384,
        "max_eval": 2_000,
    },
}
COLUMNS = {
    "sequence_classification": ("text", "pair", "label"),
    "sequence_regression": ("text", "pair", "label"),
    "token_classification": ("tokens", "tags"),
    "question_answering": ("id", "question", "context", "answers"),
    "multiple_choice": ("context", "choices", "label"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--precision", choices=("fp32", "bf16"))
    parser.add_argument("--max-train", type=int)
    parser.add_argument("--max-eval", type=int)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()

    rows = []
    for name in args.tasks.split(","):
        with tempfile.TemporaryDirectory() as folder:
            job = prepare(name, TASKS[name], args, Path(folder))
            for system in args.systems.split(","):
                result = run(system, job)
                rows.append({"task": name, "system": system, "device": args.device} | result)
                print(summary(rows[-1], job["figure"]), file=sys.stderr, flush=True)
                if args.output:
                    with args.output.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(rows[-1]) + "\n")
    table(rows)


def prepare(name: str, task: dict[str, Any], args: argparse.Namespace, folder: Path) -> Any:
    """Write the records that both shall read, and say what both shall do."""
    kind = task.get("task", "sequence_classification")
    files = task.get("files", (f"{name}/train.tsv", f"{name}/dev.tsv"))
    job = {
        "task": kind,
        "figure": task["figure"],
        "train": str(folder / "train.jsonl"),
        "eval": str(folder / "eval.jsonl"),
        "output": str(folder),
        "model": args.model,
        "max_seqlen": task.get("max_seqlen", 128),
        "batch_size": task.get("batch_size", 32),
        "learning_rate": 5e-5,
        "epochs": args.epochs,
        "seeds": list(range(1, args.seeds + 1)),
        "device": args.device,
        "threads": args.threads,
        "precision": args.precision,
    }
    for split, file in zip(("train", "eval"), files, strict=True):
        limits = [x for x in (task.get(f"max_{split}"), getattr(args, f"max_{split}")) if x]
        rows = records(args.data / file, kind, Layout.from_settings(task.get("layout", {})))
        if files[0] == files[1]:
            rows = (row for row in rows if is_held_out(row) == (split == "eval"))
        with Path(job[split]).open("w", encoding="utf-8") as out:
            out.writelines(
                json.dumps(row) + "\n" for row in islice(rows, min(limits) if limits else None)
            )
    return job


def records(path: Path, kind: str, layout: Layout) -> Iterator[dict[str, Any]]:
    """The fields that matter, under one name each."""
    from bertsmith.data.columns import label_of, texts_of

    for record in read_records(path, layout=layout):
        if kind.startswith("sequence"):
            text, pair = texts_of(record)
            row = {"text": text, "pair": pair, "label": label_of(record)}
            yield {key: value for key, value in row.items() if value is not None}
        elif kind == "multiple_choice":
            fields = list(record.fields.values())
            yield {"context": fields[1], "choices": fields[2:6], "label": int(fields[6])}
        else:
            yield {key: record.fields[key] for key in COLUMNS[kind]}


def is_held_out(row: dict[str, Any]) -> bool:
    """A fifth of a data set that has no split, by what it asks."""
    return zlib.crc32(row["context"].encode()) % 5 == 0


def run(system: str, job: dict[str, Any]) -> dict[str, Any]:
    """All seeds of a task in a process of its own."""
    worker = Path(__file__).with_name(f"finetune_{system}.py")
    done = subprocess.run(
        [sys.executable, str(worker), json.dumps(job)], stdout=subprocess.PIPE, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def summary(row: dict[str, Any], figure: str) -> str:
    seconds, values = row["seconds"], row["figures"]
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return (
        f"{row['task']:8} {row['system']:12} {statistics.median(seconds):8.1f} s  "
        f"{row['peak_mib']:7.0f} MiB  {figure} {statistics.mean(values):.4f} ± {spread:.4f}"
    )


def table(rows: list[dict[str, Any]]) -> None:
    """A line for each task in Markdown."""
    print("| task | figure | transformers | bertsmith | times | | | peak MiB |")
    print("|---|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(row["task"] for row in rows):
        found = {row["system"]: row for row in rows if row["task"] == name}
        if len(found) < 2:
            continue
        theirs, ours = found["transformers"], found["bertsmith"]
        cells = [name, TASKS[name]["figure"]]
        for row in (theirs, ours):
            values = [100 * value for value in row["figures"]]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):.1f} ± {spread:.1f}")
        slow, fast = (statistics.median(row["seconds"]) for row in (theirs, ours))
        cells += [f"{slow / fast:.1f}", f"{slow:.1f} s", f"{fast:.1f} s"]
        cells.append(f"{theirs['peak_mib']:.0f} / {ours['peak_mib']:.0f}")
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
