"""Measuring a model on batches that it does not learn from."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from bertsmith.data.loader import LoadedBatch
from bertsmith.errors import DataError
from bertsmith.tasks.losses import is_scored
from bertsmith.tasks.model import BertForTasks
from bertsmith.training.parallelize import precision_context


# Not inference_mode: a model that is sharded keeps buffers, which could not be trained with then.
@torch.no_grad()
def evaluate(
    model: BertForTasks,
    batches: Iterable[LoadedBatch],
    device: torch.device | str,
    *,
    precision: str = "fp32",
) -> dict[str, float]:
    """Give the figures of all the tasks' metrics, and as `loss` the sum of their mean losses.

    A task's mean is over its targets that count, not over batches, whose sizes differ. The model
    leaves in the mode, training or evaluation, that it came in.

    Args:
        model: on `device`.
        batches: each with its targets.
        device: where to compute.
        precision: `fp32`, or `bf16` for matrix products in bfloat16.

    Raises:
        DataError: there is no batch.
    """
    device = torch.device(device)
    metrics = {task.name: task.metrics() for task in model.tasks}
    sums: dict[str, Tensor] = {}  # (2,) each: loss times count, count; on the device, unread
    was_training = model.training
    model.eval()
    try:
        for loaded in batches:
            batch = loaded.batch.to(device, non_blocking=True)
            targets = {k: v.to(device, non_blocking=True) for k, v in loaded.targets.items()}
            with precision_context(device, precision):
                logits = model(batch, targets)
                losses = model.losses(logits, targets)
            for task in model.tasks:
                labels = targets[task.target]
                metrics[task.name].update(task.rows(logits[task.name], targets), labels)
                count = is_scored(labels).sum().double()
                share = torch.stack([losses[task.name].double() * count, count])
                sums[task.name] = sums[task.name] + share if task.name in sums else share
    finally:
        model.train(was_training)
    if not sums:
        raise DataError("there is nothing to evaluate on; give data with at least one batch")
    figures = {name: x for metric in metrics.values() for name, x in metric.compute().items()}
    means = [total / max(count, 1) for total, count in (x.tolist() for x in sums.values())]
    return figures | {"loss": sum(means)}
