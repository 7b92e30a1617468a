"""From a stream of records to what a model says about each: windows apart, answers together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import torch
from torch import Tensor

from bertsmith.data.answered_in_order import Answers, answered_in_order, on_host
from bertsmith.data.example import EncodedRecord, Example
from bertsmith.tasks.task import RecordTask, ScoredRecord


def score_records(
    task: RecordTask,
    records: Iterable[EncodedRecord],
    logits_of: Callable[[list[Example]], Tensor],
    batch_tokens: int,
) -> Iterator[ScoredRecord]:
    """Score records in order, while they are being read.

    Args:
        task: whose records they are.
        records: each with its windows, which need not come into the same batch.
        logits_of: the task's logits of a packed batch of examples, on any device.
        batch_tokens: the most tokens to compute at once, unless one example alone has more.

    Raises:
        ConfigError: `batch_tokens` is below 1.
    """
    waiting: deque[EncodedRecord] = deque()  # safe where a thread appends and another takes

    def examples() -> Iterator[Example]:
        for record in records:
            waiting.append(record)
            yield from record.examples

    def rows_of(batch: list[Example]) -> Answers[Tensor]:
        sizes = [
            len(each.input_ids) if task.scores_tokens else each.num_sequences for each in batch
        ]
        return on_host(logits_of(batch).float(), lambda rows: list(torch.split(rows, sizes)))

    rows = answered_in_order(examples(), rows_of, batch_tokens)
    for first in rows:
        record = waiting.popleft()
        logits = [first, *islice(rows, len(record.examples) - 1)]
        yield ScoredRecord(record, task.join(record, logits))
