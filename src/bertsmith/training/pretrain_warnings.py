"""Settings of pre-training that change nothing beside the others that a recipe has."""

from __future__ import annotations

from collections.abc import Iterator

from bertsmith.training.pretrain_recipe import PretrainData, PretrainRecipe, PretrainTraining


def pretrain_warnings(recipe: PretrainRecipe) -> Iterator[str]:
    """A sentence for each."""
    data, train = recipe.data, recipe.train
    if train.early_stopping_patience is not None and data.eval is None:
        yield (
            "train.early_stopping_patience is set and data.eval is not: without held-out text no "
            "run stops early"
        )
    if data.short_seqlen is None and data.short_proportion != PretrainData.short_proportion:
        yield "data.short_proportion is set and data.short_seqlen, whose part of the run it is, not"
    first, proportion = train.rampup_accumulation_steps, train.rampup_proportion
    if first is None and proportion != PretrainTraining.rampup_proportion:
        yield (
            "train.rampup_proportion is set and train.rampup_accumulation_steps, which it is for, "
            "not"
        )
    if recipe.optimizer.muon_learning_rate is not None and recipe.optimizer.name != "muon":
        yield (
            f"optimizer.muon_learning_rate is for muon, and optimizer.name is "
            f"{recipe.optimizer.name}"
        )
    warmup, steps = recipe.schedule.warmup_steps, train.steps
    if warmup is not None and steps is not None and warmup >= steps:
        yield (
            f"schedule.warmup_steps ({warmup:,}) are all of train.steps ({steps:,}): the learning "
            "rate only rises"
        )
