"""Everything that fine-tuning does before its first step, and nothing of it kept."""

from __future__ import annotations

from dataclasses import dataclass

from bertsmith.errors import DataError
from bertsmith.training.bad_records import BadRecords
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.finetuning import (
    Preparation,
    Prepared,
    prepare_finetuning,
    task_of,
)
from bertsmith.training.parallelize import choose_precision
from bertsmith.training.run import check_output, set_up_torch

# Of float32 weights; of those that are trained, of gradients and Adam's two moments besides.
BYTES_OF_A_WEIGHT, BYTES_OF_ITS_TRAINING = 4, 12


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the run will do."""

    steps: int | None
    """None where the run's length is `budget_minutes`."""
    budget_minutes: float | None
    warmup_steps: int | None
    """None where it is a part of the time."""
    num_batches: int
    """Of an epoch."""
    batch_size: int
    """Examples in a batch."""
    accumulation_steps: int
    """Batches of a step."""
    epoch_tokens: int
    learning_rate: float
    """The highest."""
    device: str
    precision: str
    num_parameters: int
    state_bytes: int
    """Of weights, gradients and the optimizer's state; activations come on top."""


@dataclass(frozen=True)
class FinetuningCheck:
    """What `check_finetuning` has found."""

    preparation: Preparation
    plan: Plan
    num_bad: int
    """Records that cannot be used; a run would end at the first."""
    bad_records: tuple[str, ...]
    """A sentence for each of the first few, with file and line."""


def check_finetuning(recipe: FinetuneRecipe, *, resume: bool = False) -> FinetuningCheck:
    """Read all records, load the model and say what the run would be; nothing is written.

    Args:
        recipe: what would be run.
        resume: whether it would go on with the run in the recipe's folder.

    Raises:
        BertsmithError: as `finetune` would; only that bad records are collected, and are an error,
            all of them together, where what is left does not make a run.
    """
    task = task_of(recipe)
    check_output(recipe, resume=resume)
    device = set_up_torch(recipe.train)
    bad = BadRecords()
    try:
        prepared = prepare_finetuning(recipe, task, bad=bad)
    except DataError as error:
        raise DataError("\n".join([*bad.lines(), str(error)])) from None
    plan = _plan(recipe, prepared, device.type, choose_precision(recipe.train.precision, device))
    return FinetuningCheck(prepared.preparation, plan, bad.count, tuple(bad.lines()))


def _plan(recipe: FinetuneRecipe, prepared: Prepared, device: str, precision: str) -> Plan:
    settings, steps = recipe.train, prepared.preparation.steps
    warmup_steps = recipe.schedule.warmup_steps
    if warmup_steps is None and steps is not None:
        warmup_steps = round(recipe.schedule.warmup_proportion * steps)
    parameters = list(prepared.model.parameters())
    num_parameters = sum(parameter.numel() for parameter in parameters)
    num_trained = sum(each.numel() for each in parameters if each.requires_grad)
    return Plan(
        steps=steps,
        budget_minutes=settings.budget_minutes,
        warmup_steps=warmup_steps,
        num_batches=prepared.source.num_batches,
        batch_size=settings.batch_size,
        accumulation_steps=settings.accumulation_steps,
        epoch_tokens=sum(len(example.input_ids) for example in prepared.source.examples),
        learning_rate=recipe.optimizer.learning_rate,
        device=device,
        precision=precision,
        num_parameters=num_parameters,
        state_bytes=BYTES_OF_A_WEIGHT * num_parameters + BYTES_OF_ITS_TRAINING * num_trained,
    )
