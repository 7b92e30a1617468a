"""Forward and backward passes replayed as CUDA graphs.

A step of a small model, or on short texts, is bound by the launching of its thousand kernels and
not by their work. A graph launches them all at once, but works on tensors of fixed shape in fixed
places: so batches are filled up with padding to one of few shapes, and each shape has its graph.
The batches of pre-training all have one shape already.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.batch import Batch
from bertsmith.training.graph_recording import record

Targets = dict[str, Tensor]
Results = tuple[dict[str, Tensor], dict[str, Tensor]]
Passes = Callable[[Batch, Targets], Results]

# Tokens are rounded up by at most an eighth, lengths to a multiple of this.
LENGTH_STEP = 64
MIN_TOKEN_STEP = 64
# They share the memory of their activations, and each keeps its kernels and a batch; one more shape
# than these runs without a graph.
MAX_GRAPHS = 48


@dataclass(frozen=True)
class _Captured:
    graph: torch.cuda.CUDAGraph
    batch: Batch
    targets: Targets
    results: Results


class GraphedPasses:
    """Runs passes over batches, by a graph for each shape.

    To record one takes hardly longer than the passes without it, so the first batch of a shape is
    recorded already.

    Args:
        passes: computes logits and losses, and adds to the gradients, of a batch on the device.
            It must not look at the device's values.
        parameters: whose gradients it adds to; they are to be set to zero, never to None.
        device: a CUDA device.
        pad_id: the wordpiece to fill up with; None: batches have few shapes as they are.
        max_positions: the longest sequence.
    """

    def __init__(
        self,
        passes: Passes,
        parameters: Sequence[nn.Parameter],
        device: torch.device,
        *,
        pad_id: int | None,
        max_positions: int,
    ) -> None:
        self._passes = passes
        self.parameters = parameters
        self.device = device
        self.pad_id = pad_id
        self.max_positions = max_positions
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: dict[object, _Captured] = {}
        self._is_warm = False

    def __call__(
        self, batch: Batch, targets: Targets, variant: object = None
    ) -> tuple[Results, Targets]:
        """Run the passes.

        Args:
            batch: on the CPU.
            targets: on the CPU; a row for each sequence or token, or for something of which there
                are always as many.
            variant: what else the passes depend on.

        Returns:
            Logits and losses, which hold until the next call, and the targets with a row for each
            row of the logits; rows of padding do not count.
        """
        filled, rows = batch, targets
        if self.pad_id is not None:
            filled = filled_to_shape(batch, pad_id=self.pad_id, max_positions=self.max_positions)
            rows = _padded_targets(targets, batch, filled)
        shapes = (rows[name].shape for name in sorted(rows))
        key = (variant, filled.num_tokens, filled.num_sequences, filled.max_seqlen, *shapes)
        captured = self._graphs.get(key)
        if captured is None:
            filled = filled.to(self.device)
            rows = {key: value.to(self.device) for key, value in rows.items()}
            if len(self._graphs) == MAX_GRAPHS:
                return self._run(filled, rows), rows
            captured = self._graphs[key] = self._capture(filled, rows)
        else:
            _copy(filled, captured.batch)
            for name, value in rows.items():
                captured.targets[name].copy_(value, non_blocking=True)
        captured.graph.replay()
        return captured.results, captured.targets

    def _run(self, batch: Batch, targets: Targets) -> Results:
        """The passes; no graph of autograd outlives them, since a capture must make its own."""
        logits, losses = self._passes(batch, targets)
        return (
            {name: value.detach() for name, value in logits.items()},
            {name: value.detach() for name, value in losses.items()},
        )

    def _capture(self, batch: Batch, targets: Targets) -> _Captured:
        """Record the passes, which does not run them; the random generator is left as it was."""
        generator = torch.cuda.get_rng_state(self.device)
        graph, results = record(
            lambda: self._run(batch, targets),
            self.device,
            self._pool,
            warm_up=None if self._is_warm else lambda: self._warm_up(batch, targets),
        )
        torch.cuda.set_rng_state(generator, self.device)
        return _Captured(graph, batch, targets, results)

    def _warm_up(self, batch: Batch, targets: Targets) -> None:
        """Let libraries set themselves up on the capture's stream; gradients stay as they were."""
        gradients = [None if p.grad is None else p.grad.clone() for p in self.parameters]
        for _ in range(2):
            self._run(batch, targets)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            if parameter.grad is None:
                continue  # takes no part
            if gradient is None:
                parameter.grad.zero_()
            else:
                parameter.grad.copy_(gradient)
        self._is_warm = True


def filled_to_shape(batch: Batch, *, pad_id: int, max_positions: int) -> Batch:
    """The same sequences in one of few shapes: padding after them, in sequences of its own.

    Tokens, sequences and the bound on the lengths are rounded up.
    """
    step = max(MIN_TOKEN_STEP, 2 ** (batch.num_tokens.bit_length() - 1) // 8)
    num_tokens = -(-batch.num_tokens // step) * step
    max_seqlen = min(max_positions, -(-batch.max_seqlen // LENGTH_STEP) * LENGTH_STEP)
    num_sequences = batch.num_sequences + -(-step // max_seqlen)
    filled = dataclasses.replace(batch, max_seqlen=max_seqlen)
    if num_tokens > batch.num_tokens:
        filled = filled.filled_up(num_tokens, pad_id)
    missing = num_sequences - filled.num_sequences
    bounds = F.pad(filled.cu_seqlens, (0, missing), value=num_tokens)
    return dataclasses.replace(filled, cu_seqlens=bounds, is_static=True)


def _padded_targets(targets: Mapping[str, Tensor], batch: Batch, filled: Batch) -> Targets:
    """Rows for sequences and tokens of the padding too, with nothing to learn from."""
    rows = {batch.num_sequences: filled.num_sequences, batch.num_tokens: filled.num_tokens}
    padded = {}
    for name, value in targets.items():
        shape = [rows.get(value.shape[0], value.shape[0]), *value.shape[1:]]
        # Numbers for each label are no places in the text, though there may be as many of them.
        is_of_places = value.dim() > 1 and not value.is_floating_point()
        if is_of_places and value.shape[1] == batch.max_seqlen:
            shape[1] = filled.max_seqlen
        padded[name] = value.new_full(shape, torch.nan if value.is_floating_point() else -100)
        padded[name][tuple(map(slice, value.shape))] = value
    return padded


def _copy(batch: Batch, place: Batch) -> None:
    for name in ("input_ids", "segment_ids", "position_ids", "cu_seqlens"):
        getattr(place, name).copy_(getattr(batch, name), non_blocking=True)
