"""Settings of pre-training without an effect are named, usual ones are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith.training.pretrain_recipe import PretrainRecipe
from bertsmith.training.pretrain_warnings import pretrain_warnings

RECIPE = """
[data]
train = "shards"
[train]
output = "run"
steps = 100
"""


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([], None),
        (["train.early_stopping_patience=3"], "without held-out text no run stops early"),
        (["train.early_stopping_patience=3", "data.eval=shards"], None),
        (["data.short_proportion=0.5"], "data.short_seqlen, whose part of the run it is, not"),
        (["data.short_proportion=0.5", "data.short_seqlen=64"], None),
        (["train.rampup_proportion=0.5"], "train.rampup_accumulation_steps, which it is for, not"),
        (["optimizer.muon_learning_rate=1e-3"], "is for muon, and optimizer.name is bert_adam"),
        (["optimizer.muon_learning_rate=1e-3", "optimizer.name=muon"], None),
        (["schedule.warmup_steps=100"], r"warmup_steps (100) are all of train.steps (100)"),
        (["schedule.warmup_steps=99"], None),
        (["schedule.warmup_steps=500", "train.steps=", "train.budget_minutes=1"], None),
    ],
)
def test_what_changes_nothing_is_named(
    tmp_path: Path, settings: list[str], words: str | None
) -> None:
    path = tmp_path / "r.toml"
    path.write_text(RECIPE)
    said = list(pretrain_warnings(PretrainRecipe.load(path, settings)))
    assert len(said) == (words is not None)
    assert words is None or words in said[0]


def test_the_recipes_of_the_repository_have_no_such_settings() -> None:
    folder = Path(__file__).parents[2] / "recipes"
    files = [file for file in folder.rglob("*.toml") if "[schedule]" in file.read_text()]
    recipes = [file for file in files if file.name not in ("tasks.toml", "ablations.toml")]
    assert len(recipes) >= 5
    for file in recipes:
        if "masked_lm" in file.read_text():
            assert list(pretrain_warnings(PretrainRecipe.load(file))) == []
