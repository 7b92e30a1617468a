"""Batches through an encoder on a GPU, replayed as CUDA graphs.

The encoder's hundreds of kernels take longer to launch than to run where a batch is one text or
some, as in a service. Where it is large, launching keeps Python from the thread that reads the
next one. A graph launches them all at once, on tensors of fixed shape in fixed places; so a batch
is filled up to one of few shapes, each of which has its graph.

Dimension key: `T` tokens of the batch, `B` sequences, `H` hidden size.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.model.bert import Bert, BertOutput, check_length
from bertsmith.training.graph_recording import record

MAX_TOKENS = 32768
"""More than these keep a GPU busy for several times as long as their kernels take to launch."""
FEW_TOKENS = 4096
"""Up to these, kernels take longer to launch than to run: any shape is worth a graph at once."""
TIMES_SEEN = 3
"""Larger batches are filled up by less, so that there are more shapes; what does not come again is
not worth a graph."""
MIN_TOKENS = 64
MAX_GRAPHS = 64
"""They share the memory of their activations; one more shape than these runs without a graph."""

_log = logging.getLogger(__name__)


def replay_batches(bert: Bert) -> None:
    """Let an encoder that only answers replay its batches, where its shapes are fixed.

    Args:
        bert: on a CUDA device, where it stays, with the parameters that it keeps.
    """
    if bert.has_fixed_shapes:
        bert.forward = GraphedEncoder(bert)  # type: ignore[method-assign]


@dataclass(frozen=True)
class Shape:
    """What batches are filled up to."""

    num_tokens: int
    num_sequences: int
    max_seqlen: int

    @classmethod
    def holding(cls, batch: Batch, *, max_positions: int) -> Shape:
        """The shape for a batch, with at most a quarter more tokens, or `MIN_TOKENS`.

        Of more than `FEW_TOKENS`, which a GPU has to compute, at most a sixteenth more.
        """
        parts = 4 if batch.num_tokens <= FEW_TOKENS else 16
        step = max(MIN_TOKENS, 2 ** (batch.num_tokens.bit_length() - 1) // parts)
        num_tokens = -(-batch.num_tokens // step) * step
        longest = max(MIN_TOKENS, 2 ** (batch.max_seqlen - 1).bit_length())
        longest = min(longest, max_positions)
        # The padding is cut to sequences no longer than the longest.
        padding = -(-step // longest)
        num_sequences = 2 ** (batch.num_sequences + padding - 1).bit_length()
        return cls(num_tokens, num_sequences, longest)


class StaticBatch:
    """A batch of one shape, in tensors that stay where they are.

    Args:
        shape: of the batch.
        device: where its tensors are.
    """

    def __init__(self, shape: Shape, device: torch.device) -> None:
        tokens = torch.zeros(3, shape.num_tokens, dtype=torch.int64, device=device)
        self._ends = torch.arange(1, shape.num_sequences + 1, device=device) * shape.max_seqlen
        self.batch = Batch(
            input_ids=tokens[0],
            segment_ids=tokens[1],
            position_ids=tokens[2],
            cu_seqlens=torch.zeros(shape.num_sequences + 1, dtype=torch.int32, device=device),
            max_seqlen=shape.max_seqlen,
            is_static=True,
        )

    def fill(self, batch: Batch) -> None:
        """Hold these sequences; what is behind them is whatever was there, in other sequences."""
        count, num_tokens = batch.num_sequences, batch.num_tokens
        for name in ("input_ids", "segment_ids", "position_ids"):
            getattr(self.batch, name)[:num_tokens].copy_(getattr(batch, name))
        bounds = self.batch.cu_seqlens
        bounds[: count + 1].copy_(batch.cu_seqlens)
        ends = self._ends[: len(bounds) - count - 1] + num_tokens
        bounds[count + 1 :].copy_(ends.clamp(max=self.batch.num_tokens))


@dataclass(frozen=True)
class _Recorded:
    graph: torch.cuda.CUDAGraph
    inputs: StaticBatch
    output: BertOutput


class GraphedEncoder:
    """What `Bert.forward` is where batches are replayed; arguments and results are its own.

    Batches in inference mode are replayed, except the largest, and all others go through
    `Bert.forward`: whoever wants gradients, or looks at what happens between the layers, is not in
    inference mode.
    """

    def __init__(self, bert: Bert) -> None:
        self._plain = bert.forward
        self._config = bert.config
        self._device = bert.embeddings.wordpiece.weight.device
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: dict[Shape, _Recorded] = {}
        self._times_seen: Counter[Shape] = Counter()
        self._is_broken = False
        self._one_at_a_time = threading.Lock()

    def __call__(self, batch: Batch, *, all_hidden_states: bool = False) -> BertOutput:
        """Encode a batch."""
        may_be_replayed = batch.num_tokens <= MAX_TOKENS and not batch.is_static
        if (
            all_hidden_states
            or self._is_broken
            or not (may_be_replayed and torch.is_inference_mode_enabled())
        ):
            return self._plain(batch, all_hidden_states=all_hidden_states)
        check_length(batch, self._config)
        with self._one_at_a_time:
            recorded = self._recorded(batch)
            if recorded is not None:
                recorded.inputs.fill(batch)
                recorded.graph.replay()
                return _first(recorded.output, batch)
        return self._plain(batch)

    def _recorded(self, batch: Batch) -> _Recorded | None:
        """The graph for a batch, made where it is worth it; None where there is none."""
        shape = Shape.holding(batch, max_positions=self._config.max_position_embeddings)
        if shape not in self._graphs and len(self._graphs) < MAX_GRAPHS:
            self._times_seen[shape] += 1
            if batch.num_tokens > FEW_TOKENS and self._times_seen[shape] < TIMES_SEEN:
                return None
            try:
                self._graphs[shape] = self._record(shape, batch)
            except RuntimeError as error:
                # Answers matter more than how soon they come.
                self._is_broken = True
                reason = str(error).partition("\n")[0]
                _log.warning("batches are computed without CUDA graphs: %s", reason)
        return self._graphs.get(shape)

    def _record(self, shape: Shape, batch: Batch) -> _Recorded:
        # What is made in inference mode could not be written outside of it later.
        with torch.inference_mode(mode=False), torch.no_grad():
            inputs = StaticBatch(shape, self._device)
            inputs.fill(batch)

            def run() -> Any:
                return self._plain(inputs.batch)

            # Each shape may choose kernels of its own, which are then made.
            graph, output = record(run, self._device, self._pool, warm_up=run)
        return _Recorded(graph, inputs, output)


def _first(output: BertOutput, batch: Batch) -> BertOutput:
    """(T, H) and (B, H) of the batch itself, which the next replay does not write over."""
    pooled: Tensor | None = output.pooled_output
    if pooled is not None:
        pooled = pooled[: batch.num_sequences].clone()
    return BertOutput(output.hidden_states[: batch.num_tokens].clone(), pooled)
