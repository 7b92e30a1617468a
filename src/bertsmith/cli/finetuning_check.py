"""`bertsmith finetune` with --dry-run or --overfit-one-batch: looking before a run."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bertsmith.cli.wording import counted

if TYPE_CHECKING:
    from bertsmith.training.finetune_recipe import FinetuneRecipe
    from bertsmith.training.finetuning import Preparation
    from bertsmith.training.finetuning_check import Plan
    from bertsmith.training.overfit import Overfit


def dry_run(
    recipe: FinetuneRecipe, *, resume: bool, show: Callable[[Preparation], None], command: str
) -> int:
    """Print what the run would be; 2 when records are bad.

    Args:
        recipe: of the run.
        resume: as it would be given to the run.
        show: prints what is known before the first step.
        command: that runs it.
    """
    from bertsmith.training.finetuning_check import check_finetuning

    found = check_finetuning(recipe, resume=resume)
    show(found.preparation)
    for line in _plan_lines(found.plan):
        _say(line)
    print(
        json.dumps(
            {
                "check": dataclasses.asdict(found.preparation.check),
                "warnings": found.preparation.warnings,
                "plan": dataclasses.asdict(found.plan),
                "num_bad": found.num_bad,
                "bad_records": found.bad_records,
            },
            ensure_ascii=False,
        )
    )
    if found.num_bad:
        _say(f"{counted(found.num_bad, 'record')} cannot be used:")
        for line in found.bad_records:
            _say(f"  {line}")
        _say(f"next: correct or drop them, then {command} --dry-run")
        return 2
    _say(f"next: {command}")
    return 0


def overfit(recipe: FinetuneRecipe, *, command: str) -> int:
    """Print whether one batch can be learned; 1 when it cannot."""
    from bertsmith.training.overfit import overfit_one_batch

    done = overfit_one_batch(recipe)
    print(json.dumps(dataclasses.asdict(done), ensure_ascii=False))
    _say(_result(done))
    for cause in done.causes:
        _say(f"look first at: {cause}")
    _say(f"next: {command}" + ("" if done.is_learned else " --dry-run"))
    return 0 if done.is_learned else 1


def _plan_lines(plan: Plan) -> Iterator[str]:
    length = f"{plan.steps:,} steps" if plan.steps else f"{plan.budget_minutes:g} minutes"
    epoch = (
        f"{counted(plan.num_batches, 'batch', 'batches')} of up to {plan.batch_size} and "
        f"{counted(plan.epoch_tokens, 'wordpiece')}"
    )
    several = f", {plan.accumulation_steps} batches a step" if plan.accumulation_steps > 1 else ""
    yield f"plan: {length}; an epoch is {epoch}{several}"
    warmup = (
        "a part of the time" if plan.warmup_steps is None else counted(plan.warmup_steps, "step")
    )
    yield f"plan: learning rate up to {plan.learning_rate:g}, reached by a warm-up of {warmup}"
    yield (
        f"plan: {plan.precision} on {plan.device}; {plan.num_parameters:,} parameters, whose "
        f"weights, gradients and optimizer state take {_bytes(plan.state_bytes)}; a batch's "
        "activations come on top"
    )


def _result(done: Overfit) -> str:
    figure, loss = done.figures[done.figure], done.figures["loss"]
    labels = ", ".join(f"{label} {count}" for label, count in done.label_counts.items())
    of = f"one batch of {counted(done.num_records, 'record')}" + (f" ({labels})" if labels else "")
    how = "was learned in" if done.is_learned else "was not learned in"
    return (
        f"{of} {how} {counted(done.steps, 'step')}: loss {done.first_loss:.3f} -> {loss:.3f}, "
        f"{done.figure.replace('_', ' ')} {figure:.3f}"
    )


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _say(line: str) -> None:
    print(line, file=sys.stderr)
