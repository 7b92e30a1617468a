"""Tokens per second of pre-training on one GPU and on several of one machine.

    python benchmarks/several_gpus.py SHARDS [--gpus 1,2] [--preset base] [--max-seqlen 512]
        [--batch-tokens 131072] [--microbatches 1,4] [--precision bf16] [--steps 60]

SHARDS is a folder that `bertsmith prepare` has written. Every run has as many microbatches a step
for each GPU; with one, the gradients are added up most often. Speeds are medians over windows of
ten steps after the first ten. `share` is the speed over that of one GPU times their number.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

WINDOW = 10  # steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--gpus", default="1,2")
    parser.add_argument("--preset", default="base")
    parser.add_argument("--max-seqlen", type=int, default=512)
    parser.add_argument("--batch-tokens", type=int, default=131072)
    parser.add_argument("--microbatches", default="1")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--not-compiled", action="store_true", help="to try the script on a CPU")
    args = parser.parse_args()
    for microbatches in map(int, args.microbatches.split(",")):
        alone = 0.0
        for gpus in map(int, args.gpus.split(",")):
            speed, loss = measure(args, gpus, microbatches)
            alone = alone or speed / gpus
            print(
                f"{args.preset} {args.precision} {microbatches} microbatches a GPU, {gpus} GPUs: "
                f"{speed / 1000:8.1f} k tokens/s  share {100 * speed / (alone * gpus):.1f} %  "
                f"loss {loss:.3f}",
                flush=True,
            )


def measure(args: argparse.Namespace, gpus: int, microbatches: int) -> tuple[float, float]:
    """Tokens a second over all, and the last loss."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        settings = {
            "model.preset": args.preset,
            "model.hidden_dropout_prob": 0.0,
            "model.attention_probs_dropout_prob": 0.0,
            "data.train": str(args.shards),
            "data.max_seqlen": args.max_seqlen,
            "train.output": str(output),
            "train.steps": args.steps,
            "train.batch_tokens": args.batch_tokens,
            "train.accumulation_steps": gpus * microbatches,
            "train.precision": args.precision,
            "train.compile": not args.not_compiled,
            "train.keep_checkpoints": 0,
            "train.checkpoint_every_steps": 10**9,
            "log.every_steps": WINDOW,
        }
        recipe = Path(folder) / "recipe.toml"
        sections: dict[str, list[str]] = {}
        for name, value in settings.items():
            section, key = name.split(".")
            sections.setdefault(section, []).append(f"{key} = {json.dumps(value)}")
        recipe.write_text("".join(f"[{s}]\n" + "\n".join(v) + "\n" for s, v in sections.items()))
        launcher = [sys.executable, "-m"]
        if gpus > 1:
            launcher += ["torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}", "-m"]
        command = [*launcher, "bertsmith", "pretrain", str(recipe)]
        threads = {"OMP_NUM_THREADS": str(max(1, min(4, (os.cpu_count() or 1) // gpus)))}
        done = subprocess.run(command, env=os.environ | threads, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit("\n".join(done.stderr.splitlines()[-8:]))
        lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    steady = [line["tokens_per_second"] for line in lines if line["step"] > WINDOW]
    return statistics.median(steady), lines[-1]["loss"]


if __name__ == "__main__":
    main()
