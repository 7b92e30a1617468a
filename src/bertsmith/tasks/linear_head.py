"""Dropout and a linear layer: the head of most fine-tuning tasks (paper, section 3.2).

Dimension key: `H` hidden size, `C` outputs.
"""

from __future__ import annotations

from torch import nn

from bertsmith.errors import ConfigError
from bertsmith.model.bert import Bert
from bertsmith.model.initialization import initialize_head
from bertsmith.ops.dropout import Dropout
from bertsmith.tasks.task import Head


class LinearHead(Head):
    """What the heads on tokens and on whole sequences share: `dropout` and `classifier`."""

    def __init__(self, bert: Bert, num_outputs: int, classifier_dropout: float | None) -> None:
        super().__init__()
        config = bert.config
        # Google's code fixes 0.1 here; every published configuration says the same.
        self.dropout = Dropout(
            config.hidden_dropout_prob if classifier_dropout is None else classifier_dropout
        )
        self.classifier = nn.Linear(bert.output_size, num_outputs)
        initialize_head(self, config.initializer_range)


def check_dropout(classifier_dropout: float | None) -> None:
    """Refuse a probability that is none, before any model is built.

    Raises:
        ConfigError: it is out of range.
    """
    if classifier_dropout is not None and not 0 <= classifier_dropout < 1:
        raise ConfigError(
            f"task.classifier_dropout ({classifier_dropout}) must be at least 0 and below 1"
        )
