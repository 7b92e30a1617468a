"""Comparisons of seconds, on the text and the task that `material` has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bertsmith.comparison.downstream import tasks_in
from bertsmith.comparison.plan import Plan
from bertsmith.comparison.study import Study
from bertsmith.comparison.systems import chosen_systems


def small_plan(material: Path, **changes: Any) -> Plan:
    settings = {"train": {"num_threads": 1, "precision": "fp32"}}
    values: dict[str, Any] = {
        "train": material / "train",
        "held_out": material / "eval",
        "size": "tiny",
        "tokens": 2048,
        "batch_tokens": 512,
        "max_seqlen": 32,
        "settings": settings,
    }
    return Plan(**values | changes)


def small_study(material: Path, output: Path, systems: list[str], **changes: Any) -> Study:
    values: dict[str, Any] = {
        "output": output,
        "plan": small_plan(material),
        "systems": chosen_systems(systems),
        "tasks": tasks_in(material / "tasks", ["sst2"]),
        "num_seeds": 2,
        "settings": {"train": {"epochs": 1, "num_threads": 1, "precision": "fp32"}},
    }
    return Study(**values | changes)
