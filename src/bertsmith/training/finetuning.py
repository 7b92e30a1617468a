"""Fine-tuning (paper, section 4 and appendix A.3), from a recipe to a model folder.

All parameters are trained, starting from all the pre-trained ones, and only the head is new, where
the recipe does not say otherwise (`bertsmith.training.transfer`).
With `mode = "features"` the encoder stays as it is, and a BiLSTM over its layers is new too
(section 5.3).
"""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from bertsmith.data.example import EncodedRecord, Example
from bertsmith.data.example_batches import ExampleBatches
from bertsmith.data.record import Record
from bertsmith.errors import ConfigError
from bertsmith.export.load_report import LoadReport
from bertsmith.export.model_folder import load_pretrained
from bertsmith.ops.attention import get_attention
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task
from bertsmith.tasks.task import RecordTask
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.bad_records import BadRecords
from bertsmith.training.collapse import CollapseWatch
from bertsmith.training.curves import draw_curves
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.held_out import HeldOut
from bertsmith.training.outcome import Outcome
from bertsmith.training.record_check import RecordCheck, RecordChecker
from bertsmith.training.record_evaluation import RecordEvaluation, evaluate_records
from bertsmith.training.report.writing import write_run_report
from bertsmith.training.run import Start, start_run, train
from bertsmith.training.seeds import SeedRun, SeedsOutcome, run_seeds, run_with_restarts
from bertsmith.training.setting_warnings import setting_warnings
from bertsmith.training.stages import Stage
from bertsmith.training.transfer import set_up_encoder


@dataclass(frozen=True)
class Preparation:
    """What is known before the first step, for the user to look at."""

    report: LoadReport
    label_counts: dict[str, int]
    """Training records of each label; empty for a task without labels."""
    remarks: Sequence[str]
    """What the task has to say about the training records, and what was taken for a header."""
    num_train: int
    num_examples: int
    """Training records, or where some are long, their windows."""
    num_eval: int
    steps: int | None
    max_length: int
    """Wordpieces at which texts are cut, or windows end."""
    check: RecordCheck
    warnings: tuple[str, ...]
    """Sentences on settings that usually go wrong with these records."""


@dataclass(frozen=True)
class Prepared:
    """All that training needs."""

    model: BertForTasks
    tokenizer: Tokenizer
    source: ExampleBatches
    held_out_records: list[EncodedRecord]
    also_measured: dict[str, list[EncodedRecord]]
    """Further records to measure the kept model on, by what the figures' names begin with."""
    preparation: Preparation


@dataclass(frozen=True)
class Finetuned:
    """What came of a fine-tuning run."""

    outcome: Outcome
    preparation: Preparation
    task: RecordTask
    tuned: str = ""
    """What was chosen on the evaluation file, such as thresholds, in words; empty for nothing."""


def finetune(
    recipe: FinetuneRecipe,
    *,
    resume: bool = False,
    on_prepared: Callable[[Preparation], None] | None = None,
    on_restart: Callable[[SeedRun], None] | None = None,
) -> Finetuned:
    """Run a recipe to its end, or go on with a run that was interrupted.

    A run that comes to nothing begins again with the next seed, `train.restarts` times at most.

    Args:
        recipe: what to run.
        resume: go on with the run in the recipe's folder.
        on_prepared: called before the first step.
        on_restart: called with a run that has come to nothing before the next begins.

    Raises:
        BertsmithError: when recipe, model or records cannot work; before anything is trained.
    """
    return run_with_restarts(
        recipe,
        lambda recipe, resume: _run(recipe, resume, on_prepared),
        resume=resume,
        on_restart=on_restart,
    )


def finetune_seeds(
    recipe: FinetuneRecipe,
    num_seeds: int = 5,
    *,
    resume: bool = False,
    on_prepared: Callable[[Preparation], None] | None = None,
    on_ended: Callable[[SeedRun], None] | None = None,
) -> SeedsOutcome:
    """Run a recipe with several seeds, one after the other; see `run_seeds`.

    Args:
        recipe: what to run.
        num_seeds: `train.seed` and those that follow it.
        resume: go on with the runs in the recipe's folder.
        on_prepared: called before each run's first step.
        on_ended: called with each run that ends.

    Raises:
        BertsmithError: when recipe, model or records cannot work; before anything is trained.
    """
    return run_seeds(
        recipe,
        num_seeds,
        lambda recipe, resume: _run(recipe, resume, on_prepared),
        resume=resume,
        on_ended=on_ended,
    )


def _run(
    recipe: FinetuneRecipe, resume: bool, on_prepared: Callable[[Preparation], None] | None
) -> Finetuned:
    """One run, however it ends."""
    task = task_of(recipe)
    with start_run(recipe, resume=resume) as start:
        prepared = prepare_finetuning(recipe, task)
        if on_prepared is not None:
            on_prepared(prepared.preparation)
        return _finetune(start, recipe, task, prepared)


def prepare_finetuning(
    recipe: FinetuneRecipe,
    task: RecordTask,
    *,
    bad: BadRecords | None = None,
    see: Callable[[EncodedRecord], None] = lambda _: None,
) -> Prepared:
    """Read and check the records, and load the model; nothing is written.

    Args:
        recipe: what is to be run.
        task: learns its labels.
        bad: collects the records that cannot be used; None: the first of them is an error.
        see: called with each training record.

    Raises:
        BertsmithError: as for `finetune`.
    """
    data, settings = recipe.data, recipe.train
    train_source = data.train_source().with_conll(task.conll_suffixes)

    def train_records() -> Iterator[Record]:
        return _first(train_source.read("train"), data.max_train_records)

    if bad is None:
        label_counts = task.learn_labels(train_records())
    else:
        label_counts = bad.learn_labels(task, train_records)
    model_settings = recipe.model
    loaded = load_pretrained(
        model_settings.init,
        [task],
        features=recipe.features_config,
        attention=get_attention(model_settings.attention),
        **model_settings.published(),
    )
    report = set_up_encoder(loaded.model.bert, model_settings, loaded.report)
    max_seqlen = data.max_seqlen or task.default_max_seqlen
    max_length = min(max_seqlen, loaded.model.config.max_position_embeddings)
    # Predictions cut texts where training did: positions beyond it have learned nothing here.
    tokenizer = loaded.tokenizer.with_max_length(max_length)

    def read(records: Iterator[Record]) -> Iterator[EncodedRecord]:
        if bad is not None:
            return bad.encode(task, records, tokenizer, max_length)
        return task.encode(task.labelled(records), tokenizer, max_length=max_length)

    checker = RecordChecker(task, unk_id=tokenizer.unk_id, max_length=max_length)
    counted = 0
    examples: list[Example] = []
    for record in checker.training(read(train_records())):
        examples += record.examples
        counted += 1
        see(record)
    source = ExampleBatches(
        examples, task.collate, batch_size=settings.batch_size, seed=settings.seed
    )
    measured = {}
    for name, each in data.eval_sources().items():
        all_records = each.with_conll(task.conll_suffixes).read("dev")
        records = read(_first(all_records, data.max_eval_records))
        measured[name] = list(records if name else checker.held_out(records))
    held_out_records = measured.pop("", [])
    if bad is not None and bad.count:  # labels were counted where texts were not looked at
        label_counts = checker.label_counts(label_counts)
    steps = settings.steps
    if steps is None and settings.budget_minutes is None:
        batches = source.num_batches * settings.epochs
        steps = math.ceil(batches / settings.accumulation_steps)
    check = checker.report(label_counts)
    sources = (train_source, *data.eval_sources().values())
    headers = dict.fromkeys(each.header_remark() for each in sources)
    preparation = Preparation(
        report=report,
        label_counts=label_counts,
        remarks=(*task.remarks, *filter(None, headers)),
        num_train=counted,
        num_examples=len(examples),
        num_eval=len(held_out_records),
        steps=steps,
        max_length=max_length,
        check=check,
        warnings=setting_warnings(recipe, task, loaded.model.config, check),
    )
    return Prepared(loaded.model, tokenizer, source, held_out_records, measured, preparation)


def _first(records: Iterator[Record], most: int | None) -> Iterator[Record]:
    """The first records, or all; one that cannot be read counts, and the next is read after it."""
    if most is None:
        return records
    return map(operator.itemgetter(1), zip(range(most), records, strict=False))


def _finetune(
    start: Start, recipe: FinetuneRecipe, task: RecordTask, prepared: Prepared
) -> Finetuned:
    held_out_records, preparation = prepared.held_out_records, prepared.preparation
    held_out = None
    if held_out_records:
        watch = CollapseWatch(prepared.model, prepared.source.examples)
        stops = recipe.train.restarts > 0
        held_out = _held_out(task, held_out_records, watch, stops=stops)
    final: dict[str, float] = {}
    tuned: list[str] = []
    kept: list[RecordEvaluation] = []

    def finish(model: BertForTasks) -> None:
        """Choose thresholds, and measure the kept model as `bertsmith evaluate` will."""
        if held_out_records:
            evaluation = evaluate_records(model, held_out_records, start.device)
            tuned.append(task.tune(evaluation.scored))
            kept.append(evaluation)
            final.update(evaluation.figures(task))
        for prefix, records in prepared.also_measured.items():
            figures = evaluate_records(model, records, start.device).figures(task)
            final.update({f"{prefix}{name}": value for name, value in figures.items()})

    outcome = train(
        start,
        recipe,
        prepared.model,
        prepared.tokenizer,
        [Stage(prepared.source)],
        held_out,
        preparation.steps,
        finish=finish,
        # Compiled for each of their many shapes, batches would be recorded for each of them too.
        cuda_graphs=recipe.train.cuda_graphs and not recipe.train.compile,
    )
    if recipe.train.report:
        draw_curves(
            recipe.train.output / "metrics.jsonl",
            recipe.train.output / "curves.png",
            metric=task.figure,
            majority=outcome.figures.get(f"majority_{task.figure}"),
            kept_step=outcome.state.best_step,
        )
    if outcome.stopped_by is None and recipe.train.report:
        write_run_report(
            recipe,
            outcome,
            task=task,
            model=prepared.model,
            tokenizer=prepared.tokenizer,
            evaluation=kept[0] if kept else None,
            figures=final,
            train_source=recipe.data.train_source(),
            eval_source=recipe.data.eval_sources().get(""),
            num_records=preparation.num_train,
            num_examples=preparation.num_examples,
            label_counts=preparation.label_counts,
        )
    figures = final or outcome.figures
    outcome = dataclasses.replace(outcome, figures=figures)
    return Finetuned(outcome, preparation, task, "".join(tuned))


def _held_out(
    task: RecordTask, records: list[EncodedRecord], watch: CollapseWatch, *, stops: bool
) -> HeldOut:
    def measure(model: BertForTasks, device: torch.device, precision: str) -> dict[str, float]:
        return evaluate_records(model, records, device, precision=precision).figures(task)

    return HeldOut(
        measure,
        task.figure,
        higher_is_better=True,
        remark=watch.remark,
        problem=watch.problem,
        stops_at_problem=stops,
    )


def task_of(recipe: FinetuneRecipe) -> RecordTask:
    """The recipe's task.

    Raises:
        ConfigError: it is not learned from records, or a setting cannot work.
    """
    name = recipe.task["name"]
    columns = recipe.data.train_source().columns
    remembered = {"columns": columns} if columns else {}
    task = build_task(name, **remembered, **recipe.task_settings)
    if not isinstance(task, RecordTask):
        raise ConfigError(
            f"{name} is not learned from records; the objectives of pre-training are run with "
            "`bertsmith pretrain`"
        )
    return task
