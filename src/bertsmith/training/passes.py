"""The passes of a step: what a model says about a microbatch, its losses, and their gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from bertsmith.batch import Batch
from bertsmith.data.loader import LoadedBatch
from bertsmith.errors import ConfigError
from bertsmith.model.bert import BertOutput
from bertsmith.tasks.model import BertForTasks
from bertsmith.training.cuda_graphs import GraphedPasses, Results, Targets
from bertsmith.training.parallelize import precision_context
from bertsmith.training.recipe import TrainSettings


class Passes:
    """Forward and backward pass, which adds to the parameters' gradients.

    It holds the model and nothing that holds it, so that a run's model and its graphs are freed
    as soon as the run is over, and not when Python next collects garbage; but for a compiled one,
    whose layers hold themselves.

    Args:
        model: on the device.
        device: where to compute.
        settings: the `[train]` section.
        precision: `fp32`, or `bf16` for matrix products in bfloat16.
        is_sharded: whether the model's layers are put together as they are computed.
    """

    def __init__(
        self,
        model: BertForTasks,
        device: torch.device,
        settings: TrainSettings,
        *,
        precision: str,
        is_sharded: bool = False,
    ) -> None:
        self.model = model
        self.device = device
        self.precision = precision
        self.microbatches = settings.accumulation_steps
        """Of the step, whose mean the gradients are."""
        if settings.compile and not model.bert.has_fixed_shapes:
            raise ConfigError(
                "train.compile = true is for encoders whose shapes do not change, "
                f"and those of {model.config.encoder!r} follow the lengths of sequences; remove it"
            )
        model.bert.encoder.gradient_checkpointing = settings.gradient_checkpointing
        self._forward: Callable[..., Results] = _logits_and_losses
        if settings.compile:
            # One graph for all layers, and not one of the whole model: a twelfth to compile, and no
            # slower by more than 1 % (benchmarks/pretrain_notes.md).
            for layer in model.bert.encoder.layers:
                _compile_for_training(layer)
            if not is_sharded:
                _compile_for_training(model.bert.embeddings)
                self._forward = functools.partial(_in_parts, torch.compile(_answered))

    def __call__(self, batch: Batch, targets: Targets) -> Results:
        """Logits and losses of a batch on the device; the losses' share of a step is added."""
        with precision_context(self.device, self.precision):
            logits, losses = self._forward(self.model, batch, targets)
        # Gradients are added up over microbatches and processes: a sum of shares is the mean.
        loss = torch.stack(list(losses.values())).sum() / self.microbatches
        loss.backward()  # type: ignore[no-untyped-call]
        return logits, losses


class StepPasses:
    """The passes over what a loader gives, on a GPU by CUDA graphs where these can be had.

    Args:
        model, device, settings, precision, is_sharded: as for `Passes`.
        cuda_graphs: replay the passes as such, where the device is one for them.
    """

    def __init__(
        self,
        model: BertForTasks,
        device: torch.device,
        settings: TrainSettings,
        *,
        precision: str,
        cuda_graphs: bool,
        is_sharded: bool = False,
    ) -> None:
        self.device = device
        self._passes = Passes(model, device, settings, precision=precision, is_sharded=is_sharded)
        # An LSTM over packed sequences has to know their lengths on the CPU.
        is_plain = model.features is None and model.bert.has_fixed_shapes
        is_plain = is_plain and not (is_sharded or settings.gradient_checkpointing)
        self._graphed: GraphedPasses | None = None
        if cuda_graphs and is_plain and device.type == "cuda":
            self._graphed = GraphedPasses(
                self._passes,
                [parameter for parameter in model.parameters() if parameter.requires_grad],
                device,
                # A compiled model's batches have one shape, or it would be compiled for each.
                pad_id=None if settings.compile else model.config.pad_token_id,
                max_positions=model.config.max_position_embeddings,
            )

    @property
    def keep_gradients(self) -> bool:
        """Whether gradients are to be set to zero and not to None.

        A graph adds to the gradients where they were when it was captured.
        """
        return self._graphed is not None

    def __call__(self, loaded: LoadedBatch, microbatches: int) -> tuple[Results, Targets]:
        """Logits, losses, and the targets on the device.

        Args:
            loaded: a microbatch.
            microbatches: how many there are in the step.
        """
        self._passes.microbatches = microbatches
        batch, targets = loaded.batch, loaded.targets
        if self.device.type == "cuda" and (self._graphed is None or self._graphed.pad_id is None):
            # A GPU copies from pinned memory by itself; from other memory the copy, and with it
            # this thread, waits until all that the GPU has been given before is done.
            batch = batch.pin_memory()
            targets = {name: values.pin_memory() for name, values in targets.items()}
        if self._graphed is not None:
            return self._graphed(batch, targets, microbatches)
        batch = batch.to(self.device, non_blocking=True)
        targets = {k: v.to(self.device, non_blocking=True) for k, v in targets.items()}
        return self._passes(batch, targets), targets


def _compile_for_training(module: nn.Module) -> None:
    """Compile what a module computes, and not what is done around it to put it together.

    Modules of one class, such as a model's layers, share what is compiled. Evaluation, whose
    batches may have other shapes, is not compiled.
    """
    eager = module.forward
    compiled = torch.compile(eager)

    def forward(*arguments: Any) -> Any:
        return (compiled if module.training else eager)(*arguments)

    module.forward = forward


def _logits_and_losses(model: BertForTasks, batch: Batch, targets: Targets) -> Results:
    logits = model(batch, targets)
    return logits, model.losses(logits, targets)


def _in_parts(
    answered: Callable[..., Results], model: BertForTasks, batch: Batch, targets: Targets
) -> Results:
    return answered(model, model.encode(batch), targets)


def _answered(model: BertForTasks, output: BertOutput, targets: Targets) -> Results:
    logits = model.answer(output, targets)
    return logits, model.losses(logits, targets)
