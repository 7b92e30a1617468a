"""Can the model learn one batch by heart? If not, something is wrong that more data will not mend.

Dropout is off, and so is what else keeps the loss from 0; all the rest is the recipe's own.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Self

import torch
from tqdm import tqdm

from bertsmith.data.example import EncodedRecord
from bertsmith.data.example_batches import ExampleBatches
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.task import RecordTask
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.finetuning import Prepared, prepare_finetuning, task_of
from bertsmith.training.held_out import HeldOut
from bertsmith.training.log import Log
from bertsmith.training.outcome import Outcome
from bertsmith.training.record_check import RecordCheck, RecordChecker
from bertsmith.training.record_evaluation import evaluate_records
from bertsmith.training.run import set_up_torch
from bertsmith.training.schedule import ScheduleSettings
from bertsmith.training.stages import Stage
from bertsmith.training.trainer import Trainer

MAX_EXAMPLES = 16
MAX_STEPS = 200
LOOK_EVERY_STEPS = 5
# One wrong answer of 16 has more: at least ln 2 / 16 = 0.043 nats.
LEARNED_NATS = 0.04
# Of scores, in place of nats: the part of their variance that may be left.
LEARNED_VARIANCE = 0.05
MAX_UNKNOWN_SHARE = 0.2


@dataclass(frozen=True, kw_only=True)
class Overfit:
    """How far a batch was learned."""

    num_records: int
    label_counts: dict[str, int]
    """Of the batch."""
    is_learned: bool
    steps: int
    """Taken until it was, looked at every few, or in vain."""
    first_loss: float
    """Before the first step."""
    figures: dict[str, float]
    """Of the last look, `loss` and the task's own."""
    figure: str
    """Which of them says how good the answers are."""
    causes: tuple[str, ...]
    """What may have kept it from being learned; empty where it was."""


def overfit_one_batch(recipe: FinetuneRecipe) -> Overfit:
    """Train on up to 16 examples alone until their loss is near 0; nothing is written.

    Args:
        recipe: its model, optimizer and learning rate are used, and of the training records a
            few of each label.

    Raises:
        BertsmithError: as for `finetune`; also where the loss becomes infinite.
        KeyboardInterrupt: the user has had enough.
    """
    recipe = _without_regularization(recipe)
    task = task_of(recipe)
    device = set_up_torch(recipe.train)
    choice = _Choice(task)
    prepared = prepare_finetuning(recipe, task, see=choice.see)
    records = choice.records()
    model = prepared.model.to(device)
    first_loss = evaluate_records(model, records, device).loss
    near_zero = _near_zero(task, records)
    outcome = _train(recipe, task, prepared, records, near_zero)
    if outcome.stopped_by is not None:
        raise KeyboardInterrupt
    figures = evaluate_records(model, records, device).figures(task)
    is_learned = outcome.figures["loss"] <= near_zero
    check = _check(task, prepared, records)
    return Overfit(
        num_records=len(records),
        label_counts={label: n for label, n in check.train.label_counts.items() if n},
        is_learned=is_learned,
        steps=outcome.state.step,
        first_loss=first_loss,
        figures=figures,
        figure=task.figure,
        causes=() if is_learned else tuple(_causes(recipe, check, first_loss, figures["loss"])),
    )


class _Choice:
    """A few records of each label, chosen while all of them stream by."""

    def __init__(self, task: RecordTask) -> None:
        self._task = task
        self._by_label: dict[tuple[str, ...], list[EncodedRecord]] = {}

    def see(self, record: EncodedRecord) -> None:
        alike = self._by_label.setdefault(tuple(self._task.label_names(record)), [])
        if len(alike) < MAX_EXAMPLES:
            alike.append(record)

    def records(self) -> list[EncodedRecord]:
        """The first of each label, then the second of each, up to `MAX_EXAMPLES` examples."""
        in_turn = chain.from_iterable(zip_longest(*self._by_label.values()))
        chosen: list[EncodedRecord] = []
        room = MAX_EXAMPLES
        for record in in_turn:
            if record is not None and (len(record.examples) <= room or not chosen):
                chosen.append(record)
                room -= len(record.examples)
        return chosen


def _without_regularization(recipe: FinetuneRecipe) -> FinetuneRecipe:
    """The recipe with all off that keeps a loss from 0, and for one short run."""
    off = {"classifier_dropout": 0.0, "label_smoothing": 0.0}
    return recipe.replace(
        task={key: off.get(key, value) for key, value in recipe.task.items()},
        model=recipe.model.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
        data=recipe.data.replace(eval=None),
        train=recipe.train.replace(
            steps=MAX_STEPS,
            budget_minutes=None,
            accumulation_steps=1,
            eval_every_steps=LOOK_EVERY_STEPS,
            checkpoint_every_steps=MAX_STEPS,
            early_stopping_patience=None,
        ),
        schedule=ScheduleSettings(),
    )


def _near_zero(task: RecordTask, records: list[EncodedRecord]) -> float:
    """The loss at which all answers are right."""
    targets = task.collate([each for record in records for each in record.examples])[task.target]
    if targets.is_floating_point() and targets.ndim == 1:
        return max(LEARNED_VARIANCE * float(targets.var(correction=0)), 1e-4)
    return LEARNED_NATS


def _train(
    recipe: FinetuneRecipe,
    task: RecordTask,
    prepared: Prepared,
    records: list[EncodedRecord],
    near_zero: float,
) -> Outcome:
    def measure(model: BertForTasks, device: torch.device, precision: str) -> dict[str, float]:
        return {"loss": evaluate_records(model, records, device, precision=precision).loss}

    examples = [example for record in records for example in record.examples]
    batches = ExampleBatches(
        examples, task.collate, batch_size=len(examples), seed=0, shuffle=False
    )
    with _Bar() as bar:
        return Trainer(
            prepared.model,
            prepared.tokenizer,
            [Stage(batches)],
            held_out=HeldOut(
                measure,
                "loss",
                higher_is_better=False,
                is_enough=lambda evaluated: evaluated.held_out["loss"] <= near_zero,
            ),
            settings=recipe.train,
            steps=MAX_STEPS,
            optimizer=recipe.optimizer,
            schedule=recipe.schedule,
            checkpoints=None,
            log=bar,
            log_every_steps=LOOK_EVERY_STEPS,
            recipe={},
        ).fit()


class _Bar(Log):
    """Says nothing, but shows on a screen that something is going on."""

    def __init__(self) -> None:
        self._bar = tqdm(
            total=1.0,
            desc="one batch",
            bar_format="{desc} {bar:20} {elapsed}",
            disable=not sys.stderr.isatty(),
            leave=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def advance(self, progress: float) -> None:
        """Move the bar."""
        self._bar.update(progress - self._bar.n)


def _check(task: RecordTask, prepared: Prepared, records: list[EncodedRecord]) -> RecordCheck:
    """What is to be known of the batch."""
    checker = RecordChecker(
        task, unk_id=prepared.tokenizer.unk_id, max_length=prepared.preparation.max_length
    )
    seen = Counter(name for each in checker.training(records) for name in task.label_names(each))
    return checker.report({label: seen[label] for label in prepared.preparation.label_counts})


def _causes(
    recipe: FinetuneRecipe, check: RecordCheck, first_loss: float, loss: float
) -> Iterator[str]:
    """What the figures point at, the surest first."""
    if check.contradicting.count:
        record, earlier = check.contradicting.examples[0]
        yield (
            f"{record} and {earlier} are the same to the model and their labels differ, so that no "
            "model can learn both: correct them, or see whether data.text, data.pair and "
            "data.label name the right columns"
        )
    if check.train.unknown_share > MAX_UNKNOWN_SHARE:
        yield (
            f"{check.train.unknown_share:.0%} of the wordpieces are [UNK]: the model's vocabulary "
            "is not of this language or script"
        )
    rate = f"optimizer.learning_rate ({recipe.optimizer.learning_rate:g})"
    if loss > first_loss:
        yield f"the loss has risen from {first_loss:.3g} to {loss:.3g}: {rate} is too high"
    elif not check.contradicting.count:
        yield (
            f"the loss has come from {first_loss:.3g} to {loss:.3g} only: {rate} is too low for "
            "this model or far too high, or labels and texts do "
            "not belong together, as where a wrong column is read"
        )
