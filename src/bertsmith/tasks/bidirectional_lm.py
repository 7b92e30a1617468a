"""Two language models, one in each direction (Peters et al. 2018, section 3.1).

The one from left to right names the next token, the one from right to left the token before. They
share the wordpieces' embeddings and the layer that names them, and nothing in between.

Deviations: wordpieces in place of words made of characters; the output matrix is the embedding, as
in BERT, behind a layer that makes a direction's vectors as wide as it; the loss is the mean over
both directions and not their sum, so that it compares with that of other objectives.

Dimension key: `T` tokens of the batch, `H` hidden size, `V` vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bertsmith.errors import ConfigError
from bertsmith.metrics.accumulator import CrossEntropyAndAccuracy
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.tasks.losses import mean_cross_entropy
from bertsmith.tasks.task import Targets, Task
from bertsmith.tasks.vocabulary_head import VocabularyHead


class BidirectionalLMHead(VocabularyHead):
    """Name a token's neighbours, each by the half of its vector that has not seen it."""

    def __init__(self, bert: Bert) -> None:
        super().__init__(bert, bert.config.hidden_size // 2)

    def forward(self, output: BertOutput, targets: Targets) -> Tensor:  # noqa: ARG002
        """(T, H) hidden states → (T, 2, V): what may follow, and what may stand before."""
        return self.compare(torch.stack(output.hidden_states.chunk(2, -1), 1))


class BidirectionalLM(Task):
    """Targets: `neighbour_labels` (T, 2), -100 where there is no neighbour and in padding."""

    name = "bidirectional_lm"
    needs_pooler = False
    target = "neighbour_labels"
    shown = "whole"

    def build_head(self, bert: Bert) -> BidirectionalLMHead:
        """A transform that both directions share, and a decoder tied to the wordpiece embedding.

        Raises:
            ConfigError: the encoder does not keep the directions apart.
        """
        if bert.context != "apart":
            raise ConfigError(
                "bidirectional_lm asks each of two directions for what the other has seen, and the "
                f"encoder {bert.config.encoder!r} does not keep them apart; set model.encoder to "
                "one that does, or tasks to masked_lm"
            )
        return BidirectionalLMHead(bert)

    def loss(self, logits: Tensor, targets: Targets) -> Tensor:
        """Mean cross-entropy over all neighbours, in both directions alike."""
        return mean_cross_entropy(logits, targets["neighbour_labels"])

    def metrics(self) -> CrossEntropyAndAccuracy:
        """`bidirectional_lm_loss` (nats) and `bidirectional_lm_accuracy`."""
        return CrossEntropyAndAccuracy("bidirectional_lm")


TASK = BidirectionalLM
