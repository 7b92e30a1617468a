"""Ours, for benchmarks/finetune.py: one task, all seeds, by the library's own `finetune`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.finetuning import finetune


def recipe(job: dict[str, Any], seed: int) -> FinetuneRecipe:
    train = {
        "output": Path(job["output"]) / f"bertsmith-{seed}",
        "epochs": job["epochs"],
        "batch_size": job["batch_size"],
        "seed": seed,
        "device": job["device"],
        "eval_every_steps": 10**9,  # once, at the end
        "checkpoint_every_steps": 10**9,
        "report": False,  # a Trainer draws none
        "restarts": 0,  # nor does it begin again where nothing was learned
        "num_threads": job["threads"],
        "precision": job["precision"],
    }
    return FinetuneRecipe.from_dict(
        {
            "task": {"name": job["task"]},
            "model": {"init": job["model"]},
            "data": {"train": job["train"], "eval": job["eval"], "max_seqlen": job["max_seqlen"]},
            "train": {key: value for key, value in train.items() if value is not None},
            "optimizer": {"name": "adamw", "learning_rate": job["learning_rate"]},
        }
    )


def main() -> None:
    job = json.loads(sys.argv[1])
    torch.zeros(1, device=job["device"])  # the device's start is no part of a run
    seconds, figures = [], []
    for seed in job["seeds"]:
        start = time.perf_counter()
        found = finetune(recipe(job, seed)).outcome.figures
        seconds.append(time.perf_counter() - start)
        figures.append(found[job["figure"]])
    # `getrusage` has the memory of the process that began this one in it.
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    if job["device"] != "cpu":
        peak = torch.cuda.max_memory_allocated() / 2**20
    print(json.dumps({"seconds": seconds, "figures": figures, "peak_mib": peak}))


if __name__ == "__main__":
    main()
