"""The encoder of ELMo: LSTMs in two directions that never meet (Peters et al. 2018, section 3.1).

Each layer has an LSTM from left to right and one from right to left, with a linear projection of
its state as in the published model, and a residual connection from the second layer on. A layer's
output is both side by side; but the next layer of a direction reads that direction alone. So
everything that the whole knows of both sides of a word it has put side by side, and not put
together: BERT's paper calls it a "shallow concatenation" (section 1).

Of `BertConfig` it reads `hidden_size`, of both directions' vectors together; `intermediate_size`,
of an LSTM's memory; `num_hidden_layers`; and `hidden_dropout_prob`. The published model has
1024, 4096 and 2. A sequence is represented by the end of each direction: the forward state at its
last token and the backward state at its first.

Dimension key: `T` tokens of the batch, `B` sequences, `H` hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils.checkpoint import checkpoint

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.errors import ConfigError
from bertsmith.model.bert import Bert, BertOutput, check_length
from bertsmith.model.bilstm import step_order
from bertsmith.model.initialization import initialize
from bertsmith.ops.attention import Attention, auto
from bertsmith.ops.dropout import Dropout


class WordpieceEmbeddings(nn.Module):
    """A vector for each wordpiece, dropped out; LSTMs need no positions."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.wordpiece = nn.Embedding(config.vocab_size, config.hidden_size)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, batch: Batch) -> Tensor:
        """(T, H)."""
        output: Tensor = self.dropout(self.wordpiece(batch.input_ids))
        return output


class Steps:
    """The order in which the tokens of a batch go through an LSTM of either direction.

    Args:
        batch: packed sequences.
    """

    def __init__(self, batch: Batch) -> None:
        bounds = batch.cu_seqlens.long()
        forward, self.sizes = step_order(bounds, batch.num_tokens)
        lengths = bounds.diff()
        # A token's mirror image stands as far from its sequence's end as it from the start.
        sums = (bounds[:-1] + bounds[1:] - 1).repeat_interleave(
            lengths, output_size=batch.num_tokens
        )
        mirrored = sums - torch.arange(batch.num_tokens, device=bounds.device)
        self.orders = (forward, mirrored[forward])
        """(T,) each: which token each step has, from left to right and from right to left."""
        self.returns = tuple(order.argsort() for order in self.orders)

    def through(self, lstm: nn.LSTM, vectors: Tensor, direction: int) -> Tensor:
        """(T, ...) vectors of tokens through an LSTM, 0 from left to right and 1 back."""
        packed = PackedSequence(vectors.index_select(0, self.orders[direction]), self.sizes)
        states, _ = lstm(packed)
        output: Tensor = states.data.index_select(0, self.returns[direction])
        return output


class Layer(nn.Module):
    """An LSTM in each direction; each reads its own half of what is below, or all in the first."""

    def __init__(self, config: BertConfig, *, is_first: bool) -> None:
        super().__init__()
        half = config.hidden_size // 2
        self.is_first = is_first
        input_size = config.hidden_size if is_first else half
        self.forward_lstm = nn.LSTM(input_size, config.intermediate_size, proj_size=half)
        self.backward_lstm = nn.LSTM(input_size, config.intermediate_size, proj_size=half)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: Tensor, steps: Steps) -> Tensor:
        """(T, H) → (T, H)."""
        below = (hidden_states,) * 2 if self.is_first else hidden_states.chunk(2, -1)
        lstms = (self.forward_lstm, self.backward_lstm)
        halves = [steps.through(lstm, below[d], d) for d, lstm in enumerate(lstms)]
        output: Tensor = self.dropout(torch.cat(halves, -1))
        return output if self.is_first else hidden_states + output


class LSTMEncoder(nn.Module):
    """The stack of layers; with `gradient_checkpointing` as `bertsmith.model.encoder.Encoder`."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Layer(config, is_first=number == 0) for number in range(config.num_hidden_layers)
        )
        self.gradient_checkpointing = False

    def forward(
        self, hidden_states: Tensor, steps: Steps, collected: list[Tensor] | None = None
    ) -> Tensor:
        """(T, H) embeddings → (T, H) of the last layer; `collected` gets every layer's."""
        if collected is not None:
            collected.append(hidden_states)
        for layer in self.layers:
            if self.gradient_checkpointing and self.training:
                hidden_states = checkpoint(layer, hidden_states, steps, use_reentrant=False)
            else:
                hidden_states = layer(hidden_states, steps)
            if collected is not None:
                collected.append(hidden_states)
        return hidden_states


class TwoLSTMs(Bert):
    """Vectors of which one half knows what stands before a token, and the other what after it.

    Args:
        config: sizes; see above for what they mean here.
        with_pooler: whether there is a vector of the whole sequence.
        attention: there is none; taken as every encoder takes it.

    Raises:
        ConfigError: the hidden size cannot be halved, or the memory is no larger than that half.
    """

    context = "apart"
    has_fixed_shapes = False  # PyTorch's LSTM has to know the lengths on the CPU

    def __init__(
        self,
        config: BertConfig,
        *,
        with_pooler: bool = True,
        attention: Attention = auto,  # noqa: ARG002
    ) -> None:
        nn.Module.__init__(self)  # without a Transformer's layers
        if config.hidden_size % 2:
            raise ConfigError(
                f"hidden_size ({config.hidden_size}) must be even: a half of it is for each "
                "direction"
            )
        if config.intermediate_size <= config.hidden_size // 2:
            raise ConfigError(
                f"intermediate_size ({config.intermediate_size}) must be above "
                f"{config.hidden_size // 2}, the half of hidden_size that an LSTM's memory is "
                "projected to"
            )
        self.config = config
        self.embeddings = WordpieceEmbeddings(config)  # type: ignore[assignment]
        self.encoder = LSTMEncoder(config)  # type: ignore[assignment]
        self.pooler = nn.Identity() if with_pooler else None
        self.output_size = config.hidden_size
        initialize(self, config.initializer_range)

    def forward(self, batch: Batch, *, all_hidden_states: bool = False) -> BertOutput:
        """Encode a batch; see `Bert.forward`."""
        check_length(batch, self.config)
        collected: list[Tensor] | None = [] if all_hidden_states else None
        hidden_states = self.encoder(self._embedded(batch), Steps(batch), collected)
        kept = None if collected is None else tuple(collected)
        return BertOutput(hidden_states, self._pooled(hidden_states, batch), kept)

    def _pooled(self, hidden_states: Tensor, batch: Batch) -> Tensor | None:
        """(T, H) → (B, H)."""
        if self.pooler is None:
            return None
        forward, backward = hidden_states.chunk(2, -1)
        ends = [
            forward.index_select(0, batch.last_positions),
            backward.index_select(0, batch.cls_positions),
        ]
        output: Tensor = self.pooler(torch.cat(ends, -1))
        return output


ENCODER = TwoLSTMs
