"""Fine-tuning (paper, section 4 and appendix A.3), from a recipe to a model folder.

All parameters are trained, starting from all the pre-trained ones; only the head is new.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bertsmith.data.columns import labelled
from bertsmith.data.example import Example
from bertsmith.data.example_batches import ExampleBatches
from bertsmith.data.layout import Layout
from bertsmith.data.records import read_records
from bertsmith.errors import ConfigError
from bertsmith.export.load_report import LoadReport
from bertsmith.export.model_folder import load_pretrained
from bertsmith.ops.attention import get_attention
from bertsmith.tasks.registry import build_task
from bertsmith.tasks.task import RecordTask
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.curves import draw_curves
from bertsmith.training.recipe import FinetuneRecipe
from bertsmith.training.run import Start, start_run, train
from bertsmith.training.trainer import HeldOut, Outcome


@dataclass(frozen=True)
class Preparation:
    """What is known before the first step, for the user to look at."""

    report: LoadReport
    label_counts: dict[str, int]
    """Training records of each label; empty for a task without labels."""
    num_train: int
    num_eval: int
    steps: int | None
    max_length: int
    """Wordpieces at which texts are cut."""


@dataclass(frozen=True)
class Finetuned:
    """What came of a fine-tuning run."""

    outcome: Outcome
    preparation: Preparation
    task: RecordTask


def finetune(
    recipe: FinetuneRecipe,
    *,
    resume: bool = False,
    on_prepared: Callable[[Preparation], None] | None = None,
) -> Finetuned:
    """Run a recipe to its end, or go on with a run that was interrupted.

    Args:
        recipe: what to run.
        resume: go on with the run in the recipe's folder.
        on_prepared: called once before the first step.

    Raises:
        BertsmithError: when recipe, model or records cannot work; before anything is trained.
    """
    layout = Layout.from_settings(recipe.data.layout())
    task = _build_task(recipe, layout)
    with start_run(recipe, resume=resume) as start:
        return _finetune(start, recipe, task, layout, on_prepared)


def _finetune(
    start: Start,
    recipe: FinetuneRecipe,
    task: RecordTask,
    layout: Layout,
    on_prepared: Callable[[Preparation], None] | None,
) -> Finetuned:
    data, settings = recipe.data, recipe.train
    label_counts = task.learn_labels(read_records(data.train, layout=layout))
    model_settings = recipe.model
    loaded = load_pretrained(
        model_settings.init,
        [task],
        attention=get_attention(model_settings.attention),
        **model_settings.published(),
    )
    max_length = min(data.max_seqlen, loaded.model.config.max_position_embeddings)
    # Predictions cut texts where training did: positions beyond it have learned nothing here.
    tokenizer = loaded.tokenizer.with_max_length(max_length)

    def read(path: Path) -> list[Example]:
        return _read_examples(path, layout, task, tokenizer, max_length)

    source = ExampleBatches(
        read(data.train), task.collate, batch_size=settings.batch_size, seed=settings.seed
    )
    held_out = held_out_source = None
    if data.eval is not None:
        held_out_source = ExampleBatches(
            read(data.eval), task.collate, batch_size=4 * settings.batch_size, seed=0
        )
        held_out = HeldOut(held_out_source.one_pass, task.figure, higher_is_better=True)
    steps = settings.steps
    if steps is None and settings.budget_minutes is None:
        batches = source.num_batches * settings.epochs
        steps = math.ceil(batches / settings.accumulation_steps)
    preparation = Preparation(
        report=loaded.report,
        label_counts=label_counts,
        num_train=len(source.examples),
        num_eval=len(held_out_source.examples) if held_out_source else 0,
        steps=steps,
        max_length=max_length,
    )
    if on_prepared is not None:
        on_prepared(preparation)
    outcome = train(start, recipe, loaded.model, tokenizer, source, held_out, steps)
    draw_curves(
        settings.output / "metrics.jsonl",
        settings.output / "curves.png",
        metric=task.figure,
        majority=outcome.figures.get("majority_accuracy"),
    )
    return Finetuned(outcome, preparation, task)


def _build_task(recipe: FinetuneRecipe, layout: Layout) -> RecordTask:
    name = recipe.task["name"]
    columns = {"columns": layout.named} if layout.named else {}
    task = build_task(name, **columns, **recipe.task_settings)
    if not isinstance(task, RecordTask):
        raise ConfigError(
            f"{name} is not learned from records; the objectives of pre-training are run with "
            "`bertsmith pretrain`"
        )
    return task


def _read_examples(
    path: Path, layout: Layout, task: RecordTask, tokenizer: Tokenizer, max_length: int
) -> list[Example]:
    records = labelled(read_records(path, layout=layout))
    return list(task.examples(records, tokenizer, max_length=max_length))
