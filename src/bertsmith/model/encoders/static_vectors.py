"""One vector a wordpiece, whatever its sentence: word2vec's and GloVe's kind of representation.

The vectors that both have brought into use before there were any in context (Mikolov et al. 2013;
Pennington et al. 2014). A sequence is represented by the mean of its tokens' vectors. Of
`BertConfig` it reads the vocabulary's size and the vectors'. There is one layer, which gives the
vectors as they are, so that whoever asks for a model's last layer gets them.

Dimension key: `T` tokens of the batch, `B` sequences, `H` hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.errors import ConfigError
from bertsmith.model.bert import Bert, BertOutput, check_length
from bertsmith.model.initialization import initialize
from bertsmith.ops.attention import Attention, auto


class VectorTable(nn.Module):
    """The vectors."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.wordpiece = nn.Embedding(config.vocab_size, config.hidden_size)

    def forward(self, batch: Batch) -> Tensor:
        """(T, H)."""
        output: Tensor = self.wordpiece(batch.input_ids)
        return output


class NoContext(nn.Module):
    """What stands where other encoders let tokens see each other: nothing is changed."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Identity()])
        self.gradient_checkpointing = False

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(T, H) → (T, H)."""
        output: Tensor = self.layers[0](hidden_states)
        return output


class StaticVectors(Bert):
    """A table of vectors.

    Args:
        config: sizes; see above for what is read of them.
        with_pooler: whether there is a vector of the whole sequence.
        attention: there is none; taken as every encoder takes it.

    Raises:
        ConfigError: `num_hidden_layers` is not 1.
    """

    def __init__(
        self,
        config: BertConfig,
        *,
        with_pooler: bool = True,
        attention: Attention = auto,  # noqa: ARG002
    ) -> None:
        nn.Module.__init__(self)  # without a Transformer's layers
        if config.num_hidden_layers != 1:
            raise ConfigError(
                f"num_hidden_layers ({config.num_hidden_layers}) must be 1 where the encoder is a "
                "table of vectors"
            )
        self.config = config
        self.embeddings = VectorTable(config)  # type: ignore[assignment]
        self.encoder = NoContext()  # type: ignore[assignment]
        self.pooler = nn.Identity() if with_pooler else None
        self.output_size = config.hidden_size
        initialize(self, config.initializer_range)

    def forward(self, batch: Batch, *, all_hidden_states: bool = False) -> BertOutput:
        """Look a batch up; see `Bert.forward`."""
        check_length(batch, self.config)
        embedded = self._embedded(batch)
        hidden_states = self.encoder(embedded)
        kept = (embedded, hidden_states) if all_hidden_states else None
        return BertOutput(hidden_states, self._pooled(hidden_states, batch), kept)

    def _pooled(self, hidden_states: Tensor, batch: Batch) -> Tensor | None:
        """(T, H) → (B, H): the mean over each sequence; 0 for a sequence of length 0."""
        if self.pooler is None:
            return None
        lengths = batch.cu_seqlens.diff().long()
        sequences = torch.arange(len(lengths), device=lengths.device)
        places = sequences.repeat_interleave(lengths, output_size=len(hidden_states))
        sums = hidden_states.new_zeros(len(lengths), hidden_states.shape[-1])
        sums = sums.index_add(0, places, hidden_states)
        output: Tensor = self.pooler(sums / lengths.clamp(min=1)[:, None])
        return output


ENCODER = StaticVectors
