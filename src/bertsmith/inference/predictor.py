"""`Predictor`: a fine-tuned model that stays loaded and answers records, however many there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from bertsmith.data.example import EncodedRecord, Example
from bertsmith.data.example_batches import pack_examples
from bertsmith.data.layout import Layout
from bertsmith.data.record import Record
from bertsmith.errors import DataError
from bertsmith.inference.opened_model import open_model
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.scoring import score_records
from bertsmith.tasks.task import RecordTask, ScoredRecord
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.parallelize import choose_device
from bertsmith.training.record_evaluation import batch_tokens_on, record_task


class Predictor:
    """Answers for records.

    Args:
        model: with one task, learned from records.
        tokenizer: the model's.
        device: where to compute; the model is moved there.

    Raises:
        ConfigError: the model has another task, or several.
    """

    def __init__(
        self, model: BertForTasks, tokenizer: Tokenizer, *, device: torch.device | str = "cpu"
    ) -> None:
        self.task = record_task(model)
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        self.tokenizer = tokenizer
        self.max_length = tokenizer.limit(model.config.max_position_embeddings)
        """Wordpieces of a record that are read; what is longer is cut."""
        self.layout = remembered_layout(self.task)
        """What the model remembers of its training file, for reading files like it."""

    @classmethod
    def load(cls, path: str | Path, *, device: str | None = None, precision: str = "fp32") -> Self:
        """Open a model folder.

        Args:
            path: the folder.
            device: such as `cpu` or `cuda`; None takes a GPU where there is one.
            precision: `fp32`, `bf16`, `fp16` or `auto`, as for `open_model`.

        Raises:
            CheckpointError: the folder is not a model's, or damaged.
            ConfigError: its task is none that answers records, or there is no such device.
        """
        chosen = choose_device(device)
        loaded = open_model(path, device=chosen, precision=precision)
        return cls(loaded.model, loaded.tokenizer, device=chosen)

    @property
    def num_truncated(self) -> int:
        """Records cut to `max_length` so far."""
        return self.task.num_truncated

    def predict(
        self, records: Iterable[Any], *, batch_tokens: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """One JSON-ready answer for each record, in order, while the records are being read.

        Args:
            records: texts, pairs of texts, or for a task on words lists of them; mappings of
                fields by name, or `Record`s; a label among the fields is not looked at.
            batch_tokens: the most tokens to compute at once, unless one sequence alone has more;
                None: what suits the device.

        Raises:
            ConfigError: `batch_tokens` is below 1.
            DataError: a record is none of these, or has no text.
        """
        for scored in self.scores(records, batch_tokens=batch_tokens):
            yield self.task.answer(scored.record, scored.scores)

    def scores(
        self, records: Iterable[Any], *, batch_tokens: int | None = None
    ) -> Iterator[ScoredRecord]:
        """The task's scores of each record before an answer is made of them; else as `predict`."""
        yield from self.score(self.encode(records), batch_tokens=batch_tokens)

    def encode(self, records: Iterable[Any], *, first: int = 1) -> Iterator[EncodedRecord]:
        """The records as the encoder reads them, in order; arguments and errors as `predict`.

        In errors the first of them has the number `first`.
        """
        if isinstance(records, str | Mapping | Record):
            raise DataError("predict takes many records and got a single one; put it in a list")
        unlabelled = (
            self.task.without_label(self._record(item, i)) for i, item in enumerate(records, first)
        )
        return self.task.encode(unlabelled, self.tokenizer, max_length=self.max_length)

    def score(
        self, encoded: Iterable[EncodedRecord], *, batch_tokens: int | None = None
    ) -> Iterator[ScoredRecord]:
        """The task's scores of what `encode` gave, in order; `batch_tokens` as for `predict`."""
        tokens = batch_tokens_on(self.device) if batch_tokens is None else batch_tokens
        return score_records(self.task, encoded, self._logits, tokens)

    def _logits(self, examples: list[Example]) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = self.model(pack_examples(examples, self.device), {})[self.task.name]
        return logits

    def _record(self, item: Any, number: int) -> Record:
        if isinstance(item, Record):
            return item
        location = f"record {number}"
        fields = self.task.fields_of(item)
        if fields is None:
            raise DataError(
                f"{location} is of type {type(item).__name__}; it must be {self.task.item_kinds}"
            )
        return self.layout.rename(Record(dict(fields), location), is_table=False)


def remembered_layout(task: RecordTask) -> Layout:
    """The columns of the task's training file, to be used where a file has them."""
    columns: Mapping[str, str] = task.settings().get("columns", {})
    return dataclasses.replace(Layout.from_settings(columns), is_required=False)
