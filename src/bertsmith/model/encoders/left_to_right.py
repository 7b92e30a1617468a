"""The left-to-right Transformer of OpenAI GPT (Radford et al. 2018, section 3.1).

It is BERT's encoder but for two things: no token attends to one after it, so that the model can be
asked for the next; and a sequence is represented by its last token, which alone has seen all of it,
without a layer of its own (section 3.2). In BERT's paper it is the row "LTR & No NSP" of table 5.

Deviation: Radford et al. bring in the tokens around texts when they fine-tune; here [CLS], [SEP]
and segments are there from the start, as in the paper's row.

Dimension key: `T` tokens of the batch, `B` sequences, `H` hidden size.
"""

from __future__ import annotations

from torch import Tensor, nn

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.model.bert import Bert
from bertsmith.ops.attention import Attention, auto


class LeftToRight(Bert):
    """A Transformer in which a token's vector depends on it and on what stands before it.

    Args:
        config: sizes, as of a BERT.
        with_pooler: whether there is a vector of the whole sequence.
        attention: one of `bertsmith.ops.attention` that can be causal.
    """

    context = "left"

    def __init__(
        self, config: BertConfig, *, with_pooler: bool = True, attention: Attention = auto
    ) -> None:
        super().__init__(config, with_pooler=False, attention=attention)
        self.pooler = nn.Identity() if with_pooler else None

    def _pooled(self, hidden_states: Tensor, batch: Batch) -> Tensor | None:
        """(T, H) → (B, H): the last token's."""
        if self.pooler is None:
            return None
        output: Tensor = self.pooler(hidden_states.index_select(0, batch.last_positions))
        return output


ENCODER = LeftToRight
