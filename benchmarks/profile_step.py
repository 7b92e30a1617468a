"""Where the time of a pre-training step goes on a GPU, kernel by kernel.

    python benchmarks/profile_step.py SHARDS [--kernels 30] [section.key=value ...]

SHARDS is a folder that `bertsmith prepare` has written. Settings are those of a recipe of
`bertsmith pretrain`; without them it is BERT-base at length 512 in bfloat16, 131,072 tokens a step.

`busy` is what kernels take of a step; the rest are gaps, in which the GPU waits for its host.
"""

from __future__ import annotations

import argparse
import collections
import tempfile
import time
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from bertsmith.training.pretrain_recipe import PretrainRecipe
from bertsmith.training.pretraining import pretrain
from bertsmith.training.recipe_file import apply_overrides
from bertsmith.training.trainer import Trainer

WARM_UP, TIMED, PROFILED = 12, 13, 5  # steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards")
    parser.add_argument("settings", nargs="*", metavar="section.key=value")
    parser.add_argument("--kernels", type=int, default=30, help="how many to print")
    args = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as folder:
        values: dict[str, Any] = {
            "model": dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0),
            "data": {"train": args.shards, "max_seqlen": 512},
            "train": {
                "output": f"{folder}/run",
                "steps": WARM_UP + TIMED + PROFILED,
                "batch_tokens": 131072,
                "precision": "bf16",
                "compile": torch.cuda.is_available(),
                "keep_checkpoints": 0,
                "checkpoint_every_steps": 10**9,
            },
            "log": {"every_steps": 1000},
        }
        recipe = PretrainRecipe.from_dict(apply_overrides(values, args.settings))
        seconds, events = run(recipe)
    tokens = recipe.train.batch_tokens * recipe.train.accumulation_steps
    print(f"{1000 * seconds:.2f} ms a step, {tokens / seconds / 1000:.1f} k tokens/s")
    show(events, args.kernels)


def run(recipe: PretrainRecipe) -> tuple[float, list[Any]]:
    """Seconds of a step without the profiler, and what the GPU did in those with it."""
    original, steps, found = Trainer._step, 0, {}

    def wait() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.monotonic()

    def step(trainer: Trainer, batches: Any) -> None:
        nonlocal steps
        if steps == WARM_UP:
            found["start"] = wait()
        if steps == WARM_UP + TIMED:
            found["seconds"] = (wait() - found["start"]) / TIMED
            found["profile"] = profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])
            found["profile"].start()
        original(trainer, batches)
        steps += 1
        if steps == WARM_UP + TIMED + PROFILED:
            wait()
            found["profile"].stop()

    Trainer._step = step  # type: ignore[method-assign]
    pretrain(recipe)
    on_device = torch.autograd.DeviceType.CUDA
    events = found["profile"].events()
    return found["seconds"], [event for event in events if event.device_type == on_device]


def show(events: list[Any], kernels: int) -> None:
    spans = sorted((e.time_range.start, e.time_range.end) for e in events if is_kernel(e.name))
    if not spans:
        print("no kernel ran on a GPU")
        return
    busy, end = 0.0, spans[0][0]
    for first, last in spans:
        busy += max(0.0, last - max(first, end))
        end = max(end, last)
    wall = end - spans[0][0]
    print(f"profiled: {wall / 1000 / PROFILED:.2f} ms, busy {busy / 1000 / PROFILED:.2f} ms")
    total: collections.Counter[str] = collections.Counter()
    count: collections.Counter[str] = collections.Counter()
    for event in events:
        if is_kernel(event.name):
            total[event.name] += event.time_range.end - event.time_range.start
            count[event.name] += 1
    for name, microseconds in total.most_common(kernels):
        each = f"{microseconds / 1000 / PROFILED:8.3f} ms {count[name] / PROFILED:6.1f} x"
        print(f"{each} {name[:100]}")


def is_kernel(name: str) -> bool:
    """Or a copy; PyTorch marks spans of its own besides."""
    return not name.startswith("Optimizer.step")


if __name__ == "__main__":
    main()
