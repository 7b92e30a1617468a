"""Pre-training steps beside Hugging Face's model: tokens per second on real text, and memory.

    python benchmarks/pretrain_step.py SHARDS [--runs base-512,base-128,large-512]
        [--systems bertsmith,bertsmith-fp8,bertsmith-dropout,transformers,transformers-compiled]
        [--steps 80] [--output table.jsonl]

SHARDS is a folder that `bertsmith prepare` has written. Each run is a process of its own, one after
another: masked LM and next-sentence prediction in bfloat16 (`-fp8`: the widest products in 8 bits),
AdamW, gradients clipped, dropout 0 (`-dropout`: 0.1 of both kinds, as published).

Ours is `pretrain` itself with its loader. Hugging Face's BertForPreTraining gets the same pairs,
one a row, padded, from batches that were made and put on the device beforehand: its own loading
costs nothing here. A token is one of the text, [CLS] and [SEP] included and padding not. Speeds are
medians over windows of ten steps after the first ten; the first step's time is from the start of
the process.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WINDOW = 10  # steps
# Preset, longest sequence, tokens of our batch, rows of theirs.
RUNS = {
    "base-512": ("base", 512, 131072, 128),
    "base-128": ("base", 128, 131072, 1024),
    "large-512": ("large", 512, 65536, 128),
    "tiny-128": ("tiny", 128, 4096, 32),  # to try the script
}
SYSTEMS = (
    "bertsmith",
    "bertsmith-fp8",
    "bertsmith-dropout",
    "transformers",
    "transformers-compiled",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--runs", default="base-512,base-128,large-512")
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        job = json.loads(args.one)
        measure = bertsmith if job["system"].startswith("bertsmith") else transformers
        print(json.dumps(measure(job)))
        return

    if args.steps < 2 * WINDOW:
        parser.error(f"--steps must be at least {2 * WINDOW}: the first {WINDOW} do not count")
    rows, failed = [], False
    for run, system in itertools.product(args.runs.split(","), args.systems.split(",")):
        job = {"run": run, "system": system, "shards": str(args.shards), "steps": args.steps}
        job["started"] = time.time()
        command = [sys.executable, __file__, str(args.shards), "--one", json.dumps(job)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            print(f"{run} {system}: failed", file=sys.stderr)
            failed = True
            continue
        rows.append({"run": run, "system": system} | json.loads(done.stdout.splitlines()[-1]))
        print(line(rows[-1]), flush=True)
        if args.output:
            with args.output.open("a", encoding="utf-8") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    table(rows)
    raise SystemExit(failed)


def line(row: dict[str, Any]) -> str:
    return (
        f"{row['run']:10} {row['system']:22} {row['tokens_per_second'] / 1000:8.1f} k tokens/s  "
        f"{row['peak_gib']:5.1f} GiB  first step {row['first_step']:5.1f} s  "
        f"waiting {100 * row['data_wait']:.2f} %"
    )


def table(rows: list[dict[str, Any]]) -> None:
    print("| | tokens/s | MFU | peak GiB | first step | waiting for data |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        cells = [
            f"{row['run'].replace('-', ', length ')}: {row['system'].replace('-', ', ')}",
            f"{row['tokens_per_second'] / 1000:.0f} k",
            f"{100 * row['mfu']:.0f} %" if row.get("mfu") else "",
            f"{row['peak_gib']:.1f}",
            f"{row['first_step']:.0f} s",
            f"{100 * row['data_wait']:.2f} %",
        ]
        print(f"| {' | '.join(cells)} |")


def bertsmith(job: dict[str, Any]) -> dict[str, Any]:
    """`pretrain` on a recipe; its own log has the figures."""
    import torch

    from bertsmith.training.metrics_file import read_metrics
    from bertsmith.training.pretrain_recipe import PretrainRecipe
    from bertsmith.training.pretraining import pretrain

    preset, length, tokens, _ = RUNS[job["run"]]
    dropout = 0.1 if "dropout" in job["system"] else 0.0
    dropouts = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), dropout)
    with tempfile.TemporaryDirectory() as folder:
        train = {
            "output": str(Path(folder) / "run"),
            "steps": job["steps"],
            "batch_tokens": tokens,
            "compile": torch.cuda.is_available(),
            "precision": "fp8" if "fp8" in job["system"] else "bf16",
            "keep_checkpoints": 0,
            "checkpoint_every_steps": 10**9,
        }
        recipe = PretrainRecipe.from_dict(
            {
                "model": {"preset": preset} | dropouts,
                "data": {"train": job["shards"], "max_seqlen": length},
                "optimizer": {"name": "adamw"},
                "train": train,
                "log": {"every_steps": WINDOW},
            }
        )
        begun = time.time()
        pretrain(recipe)
        lines = read_metrics(Path(train["output"]) / "metrics.jsonl")
    steady = [line for line in lines if line["step"] > WINDOW]
    figures = {
        name: statistics.median(line[name] for line in steady)
        for name in ("tokens_per_second", "data_wait", "mfu")
        if name in steady[0]
    }
    first = begun - job["started"] + lines[0]["elapsed_seconds"]
    return figures | {"first_step": first, "peak_gib": peak(), "loss": lines[-1]["loss"]}


def transformers(job: dict[str, Any]) -> dict[str, Any]:
    """BertForPreTraining on rows that are on the device already."""
    import torch
    from transformers import BertConfig, BertForPreTraining

    preset, length, _, rows = RUNS[job["run"]]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batches = padded_batches(job["shards"], length, rows, device)
    layers, hidden, heads = {"base": (12, 768, 12), "large": (24, 1024, 16)}.get(
        preset, (2, 128, 2)
    )
    config = BertConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="sdpa",
    )
    model = BertForPreTraining(config).to(device).train()
    forward = torch.compile(model) if "compiled" in job["system"] else model
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, weight_decay=0.01, fused=True)
    speeds, first = [], 0.0
    start, tokens = time.time(), 0
    for step in range(1, job["steps"] + 1):
        batch, count = batches[step % len(batches)]
        with torch.autocast(device, torch.bfloat16):
            loss = forward(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        tokens += count
        if step == 1:
            loss.item()
            first = time.time() - job["started"]
        if step % WINDOW == 0:
            loss.item()  # waits for the device
            if step > WINDOW:
                speeds.append(tokens / (time.time() - start))
            start, tokens = time.time(), 0
    speed = statistics.median(speeds)
    return {
        "tokens_per_second": speed,
        "data_wait": 0.0,
        "first_step": first,
        "peak_gib": peak(),
        "loss": loss.item(),
        "filled": statistics.mean(count for _, count in batches) / (rows * length),
    }


def padded_batches(shards: str, length: int, rows: int, device: str) -> list[tuple[Any, int]]:
    """Some batches as Hugging Face's model wants them, each with the number of its tokens."""
    from bertsmith.data.loader import PretrainingBatches
    from bertsmith.data.shards import TokenizedCorpus
    from bertsmith.data.wordpiece_ids import WordpieceIds
    from bertsmith.text.tokenizer import Tokenizer
    from padded_rows import in_batches, num_tokens

    source = PretrainingBatches(
        TokenizedCorpus.open(shards),
        WordpieceIds.of(Tokenizer.load(shards)),
        max_seqlen=length,
        budget_tokens=length * 128,
        seed=1,
    )
    with contextlib.closing(source.batches()) as batches:
        found = list(itertools.islice(in_batches(batches, length, rows), 6))
    return [
        ({name: values.to(device) for name, values in part.items()}, num_tokens(part))
        for part in found
    ]


def peak() -> float:
    import torch

    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0


if __name__ == "__main__":
    main()
