"""Exporting a model and holding the export to the model, before anybody gets it.

Dimension key: `T` tokens of a batch, `H` hidden size.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.data.example import EncodedRecord, Example
from bertsmith.data.example_batches import pack_examples
from bertsmith.data.record import Record
from bertsmith.data.record_source import RecordSource
from bertsmith.errors import CheckpointError, ConfigError, DataError
from bertsmith.export.exported_folder import (
    FORMATS,
    Calibration,
    open_exported,
    read_facts,
    write_exported,
    write_facts,
)
from bertsmith.export.graph import HIDDEN, LOGITS
from bertsmith.export.graph_bert import GraphBert
from bertsmith.export.model_folder import LoadedModel, load_model
from bertsmith.export.model_source import CONFIG, is_exported
from bertsmith.export.padded_rows import padded_rows
from bertsmith.export.replaced_folder import replaced_folder
from bertsmith.inference.predictor import remembered_layout
from bertsmith.inference.text_examples import text_examples
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.task import RecordTask
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.record_evaluation import evaluate_records

# The most records that are looked at: figures of more differ by less than an error in a hundred.
MAX_CALIBRATION, MAX_CHECKED = 300, 1000
# Ranges measured on fewer say little.
MIN_CALIBRATION = 20
# Of a sample that is to calibrate and to check, each fifth record is kept for the check.
_HELD_BACK = 5
_MADE_TEXTS = 32
_BATCH_TOKENS = 2048


@dataclass(frozen=True)
class Tolerance:
    """What an export may differ by from the model that it was made from."""

    difference: float | None
    """The most that any number may differ by, in parts of the largest there is; None: any."""
    cosine: float
    """The least that the mean cosine of the vectors of wordpieces, before and after, may be."""
    figure: float
    """The most that the task's figure may fall by."""


TOLERANCES: Mapping[str, Tolerance] = {
    "fp32": Tolerance(difference=1e-3, cosine=0.9999, figure=0.002),
    "int8": Tolerance(difference=None, cosine=0.95, figure=0.02),
}


@dataclass
class Check:
    """How an export compares with its model."""

    texts: int = 0
    tokens: int = 0
    shortest: int = 0
    longest: int = 0
    """Of the texts, in wordpieces."""
    largest_difference: float = 0.0
    """Of hidden states and logits, in parts of the largest that the model has of the same kind."""
    mean_cosine: float = 1.0
    """Between the vectors of the same wordpiece."""
    figures: dict[str, float] = field(default_factory=dict)
    """The task's, of the model; empty where there are no labelled records."""
    exported_figures: dict[str, float] = field(default_factory=dict)
    figure: str | None = None
    """Which of them decides."""
    unmeasured: str | None = None
    """Why there are no figures, where records were given."""

    def failure(self, tolerance: Tolerance) -> str | None:
        """What is not as it must be, with its numbers; None where all is."""
        most = tolerance.difference
        # So that what is not a number fails too.
        if most is not None and not self.largest_difference <= most:
            return (
                f"its largest difference from the model is {self.largest_difference:.2g} of the "
                f"largest number, and at most {most:g} is let through"
            )
        if not self.mean_cosine >= tolerance.cosine:
            return (
                f"the mean cosine of its vectors with the model's is {self.mean_cosine:.4f}, and "
                f"at least {tolerance.cosine} is let through"
            )
        if self.figure is not None:
            before, after = self.figures[self.figure], self.exported_figures[self.figure]
            if before - after > tolerance.figure:
                return (
                    f"its {self.figure} is {after:.4f} where the model's is {before:.4f}, and a "
                    f"fall of at most {tolerance.figure} is let through"
                )
        return None


def export_model(
    model: str | Path,
    output: str | Path,
    *,
    graph_format: str,
    int8: bool = False,
    calibration: RecordSource | None = None,
    check: RecordSource | None = None,
) -> Check:
    """Write an exported model's folder, if it is as good as the model.

    Args:
        model: as for `load_model`.
        output: the folder; one that exists is replaced if an exported model is in it, and else it
            must be empty.
        graph_format: `onnx` or `openvino`.
        int8: 8-bit integers in the place of float32.
        calibration: with `int8`, a sample of what the model will read: OpenVINO's ranges are
            measured on it, and without `check` a fifth of it is kept for the check.
        check: records, with labels or without; None: texts made of the vocabulary's wordpieces, in
            all lengths, or what `calibration` has kept back.

    Raises:
        CheckpointError: the export fails its check, and there is no folder; or the model cannot be
            opened.
        ConfigError: a setting cannot be, a package is not installed, or the model cannot be
            exported.
        DataError: records cannot be read.
    """
    output = Path(output)
    if graph_format not in FORMATS:
        raise ConfigError(f"format ({graph_format!r}) must be one of {', '.join(FORMATS)}")
    if int8 and calibration is None:
        raise ConfigError(
            "int8 needs a calibration file, some hundred records such as the model will read; name "
            "it with --calibration"
        )
    if calibration is not None and not int8:
        raise ConfigError("a calibration file is for int8; add --int8 or leave --calibration out")
    if (output / CONFIG).is_file() and not is_exported(output):
        raise ConfigError(f"{output} is a model's folder; choose another for the export")
    if output.is_dir() and not is_exported(output) and any(output.iterdir()):
        raise ConfigError(f"{output} is there and not empty; choose another folder for the export")
    loaded = load_model(model)
    sample = _Sample(loaded)
    fitting = None
    if calibration is not None:
        records = sample.records(calibration)
        kept = records[::_HELD_BACK] if check is None else []
        used = [each for i, each in enumerate(records) if check is not None or i % _HELD_BACK]
        if len(records) < MIN_CALIBRATION:
            raise DataError(
                f"{calibration.where} has too few records to measure on ({len(records)}); give at "
                f"least {MIN_CALIBRATION}, better some hundred"
            )
        fitting = Calibration(str(calibration.where), sample.inputs(used[:MAX_CALIBRATION]))
        checked = sample.records(check) if check is not None else kept
    else:
        checked = [] if check is None else sample.records(check)
    with replaced_folder(output) as partial:
        write_exported(
            partial, loaded, graph_format=graph_format, made_from=str(model), calibration=fitting
        )
        exported = open_exported(partial)
        found = sample.compared(exported, checked)
        precision = "int8" if int8 else "fp32"
        if (failure := found.failure(TOLERANCES[precision])) is not None:
            raise CheckpointError(
                f"the export was not written, since {failure}; "
                + ("give a sample that is more like what is checked" if int8 else "report this")
            )
        write_facts(partial, read_facts(partial) | {"check": _facts(found)})
    return found


def _facts(check: Check) -> dict[str, Any]:
    return {name: value for name, value in vars(check).items() if value not in (None, {})}


class _Sample:
    """Records as a model reads them, and what two models say about them.

    Args:
        loaded: the model that is exported.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        tasks = self.model.tasks
        is_of_records = len(tasks) == 1 and isinstance(tasks[0], RecordTask)
        self.task = tasks[0] if is_of_records else None
        self.max_length = self.tokenizer.limit(self.model.config.max_position_embeddings)

    def records(self, source: RecordSource) -> list[Record]:
        """The first of them.

        Raises:
            DataError: there are none.
        """
        if isinstance(self.task, RecordTask):
            source = source.like(remembered_layout(self.task))
            source = source.with_conll(self.task.conll_suffixes)
        found = list(islice(source.read("dev"), MAX_CHECKED))
        if not found:
            raise DataError(f"{source.where} has no records; give at least one")
        return found

    def inputs(self, records: Sequence[Record]) -> list[Mapping[str, Any]]:
        """Each sequence by itself, as a graph reads it."""
        return [
            rows.inputs
            for example in self._examples(records)
            for rows in padded_rows(pack_examples([example]), self.tokenizer.pad_id)
        ]

    def compared(self, exported: LoadedModel, records: Sequence[Record]) -> Check:
        """Hold an export to the model; without records on sequences of random wordpieces."""
        check = Check()
        examples = self._examples(records) if records else self._made()
        lengths = [len(ids) for each in examples for ids, _ in each.sequences()]
        check.texts, check.tokens = len(lengths), sum(lengths)
        check.shortest, check.longest = min(lengths), max(lengths)
        differences: dict[str, float] = {}
        largest: dict[str, float] = {}
        cosines = 0.0
        for batch in _batches(examples):
            before = self._said(self.model, batch)
            for after in (self._said(exported.model, batch), self._said_by_graph(exported, batch)):
                for name, numbers in after.items():
                    gap = float((numbers - before[name]).abs().max())
                    # A NaN is larger than every number, and stays.
                    differences[name] = _larger(differences.get(name, 0.0), gap)
            for name, numbers in before.items():
                largest[name] = max(largest.get(name, 1e-6), float(numbers.abs().max()))
            hidden = F.cosine_similarity(before[HIDDEN], after[HIDDEN], dim=-1)
            cosines += float(hidden.sum())
        for name, gap in differences.items():
            check.largest_difference = _larger(check.largest_difference, gap / largest[name])
        check.mean_cosine = cosines / check.tokens
        if records and self.task is not None:
            self._measure(check, exported, records)
        return check

    def _measure(self, check: Check, exported: LoadedModel, records: Sequence[Record]) -> None:
        task = self.task
        assert isinstance(task, RecordTask)  # noqa: S101 - else there is nothing to measure
        try:
            labelled = list(task.labelled(iter(records)))
            encoded = list(task.encode(labelled, self.tokenizer, max_length=self.max_length))
            evaluation = evaluate_records(self.model, encoded, "cpu")
        except DataError as error:
            check.unmeasured = str(error)
            return
        check.figures = evaluation.figures(task)
        check.exported_figures = evaluate_records(exported.model, encoded, "cpu").figures(task)
        check.figure = task.figure

    def _examples(self, records: Sequence[Record]) -> list[Example]:
        if not isinstance(self.task, RecordTask):
            return list(text_examples(records, self.tokenizer, self.max_length))
        unlabelled = (self.task.without_label(record) for record in records)
        encoded: Iterator[EncodedRecord] = self.task.encode(
            unlabelled, self.tokenizer, max_length=self.max_length
        )
        return [example for record in encoded for example in record.examples]

    def _made(self) -> list[Example]:
        """Sequences of all lengths, in equal steps of their logarithm."""
        draw = random.Random(0)
        step = (self.max_length / 2) ** (1 / (_MADE_TEXTS - 1))
        lengths = [round(2 * step**i) for i in range(_MADE_TEXTS)]
        return [_made(self.tokenizer, length, draw) for length in lengths]

    def _said(self, model: BertForTasks, batch: Batch) -> dict[str, Tensor]:
        """Hidden states and every head's logits, by name; of masked LM those of each [CLS]."""
        with torch.inference_mode():
            output = model.bert(batch)
            if model.features is not None:
                output = model.features(model.bert, batch)
            targets = {"masked_positions": batch.cls_positions}
            said = {name: head(output, targets).float() for name, head in model.heads.items()}
        return {HIDDEN: output.hidden_states} | said

    def _said_by_graph(self, exported: LoadedModel, batch: Batch) -> dict[str, Tensor]:
        """What the graph says by itself, its logits too."""
        bert = exported.model.bert
        assert isinstance(bert, GraphBert)  # noqa: S101 - it was exported
        if not isinstance(self.task, RecordTask):
            return bert.outputs(batch, {HIDDEN: True})
        outputs = bert.outputs(batch, {HIDDEN: True, LOGITS: self.task.scores_tokens})
        return {HIDDEN: outputs[HIDDEN], self.task.name: outputs[LOGITS]}


def _larger(a: float, b: float) -> float:
    return b if b > a or b != b else a  # NaN differs from itself


def _made(tokenizer: Tokenizer, length: int, draw: random.Random) -> Example:
    special = {tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id}
    others = [i for i in range(tokenizer.vocab_size) if i not in special]
    ids = [tokenizer.cls_id, *draw.choices(others, k=length - 2), tokenizer.sep_id]
    return Example(array("i", ids[:length]), array("b", [0] * length))


def _batches(examples: Sequence[Example]) -> Iterator[Batch]:
    """Mixed lengths together, so that padding is among what is checked."""
    group: list[Example] = []
    for example in examples:
        group.append(example)
        if sum(len(each.input_ids) for each in group) >= _BATCH_TOKENS:
            yield pack_examples(group)
            group = []
    if group:
        yield pack_examples(group)
