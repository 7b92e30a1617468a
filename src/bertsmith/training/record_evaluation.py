"""Measuring a model on records: windows of one are joined before anything is counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from bertsmith.data.example import EncodedRecord, Example
from bertsmith.data.example_batches import pack_examples
from bertsmith.errors import ConfigError, DataError
from bertsmith.tasks.losses import is_scored
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.scoring import score_records
from bertsmith.tasks.task import RecordTask, ScoredRecord
from bertsmith.training.parallelize import precision_context

# What a CPU computes of so many tokens stays in its caches, and in memory that is at hand. With
# four times as many the C library gives memory back and asks for it anew in every layer: a fifth of
# the speed. A GPU takes more to be kept busy.
CPU_BATCH_TOKENS = 1024
GPU_BATCH_TOKENS = 32768


@dataclass(frozen=True)
class RecordEvaluation:
    """What a model says about records whose answers are known."""

    scored: list[ScoredRecord]
    loss: float
    """Mean over the targets of all examples, of what training lowers."""

    def figures(self, task: RecordTask) -> dict[str, float]:
        """The task's figures, and `loss`."""
        return task.figures(self.scored) | {"loss": self.loss}


@torch.inference_mode()
def evaluate_records(
    model: BertForTasks,
    records: Iterable[EncodedRecord],
    device: torch.device | str,
    *,
    precision: str = "fp32",
) -> RecordEvaluation:
    """Score labelled records; the model leaves in the mode that it came in.

    Args:
        model: on `device`, with one task that is learned from records.
        records: as the task's `encode` gives them.
        device: where to compute.
        precision: `fp32`, or `bf16` for matrix products in bfloat16.

    Raises:
        DataError: there are no records.
    """
    device = torch.device(device)
    task = record_task(model)
    losses: list[Tensor] = []  # (2,) each: loss times count, count; on the device, unread
    was_training = model.training
    model.eval()

    def logits_of(examples: list[Example]) -> Tensor:
        batch = pack_examples(examples, device)
        targets = {key: value.to(device) for key, value in task.collate(examples).items()}
        with precision_context(device, precision):
            logits: Tensor = model(batch, targets)[task.name]
            loss = task.loss(logits, targets)
        count = is_scored(targets[task.target]).sum().double()
        losses.append(torch.stack([loss.double() * count, count]))
        return logits

    try:
        scored = list(score_records(task, records, logits_of, batch_tokens_on(device)))
    finally:
        model.train(was_training)
    if not scored:
        raise DataError("there is nothing to evaluate on; give data with at least one record")
    total, count = torch.stack(losses).sum(0).tolist()
    return RecordEvaluation(scored, total / max(count, 1))


def batch_tokens_on(device: torch.device) -> int:
    """How many tokens to compute at once."""
    return CPU_BATCH_TOKENS if device.type == "cpu" else GPU_BATCH_TOKENS


def record_task(model: BertForTasks) -> RecordTask:
    """The model's only task, if it is learned from records.

    Raises:
        ConfigError: it is not, or there are several.
    """
    match model.tasks:
        case (RecordTask() as task,):
            return task
    names = ", ".join(task.name for task in model.tasks) or "none"
    raise ConfigError(
        f"the model's tasks ({names}) must be one that is learned from records; make it with "
        "`bertsmith finetune`"
    )
