"""An encoder with the heads of its tasks: what is trained, saved and asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.errors import ConfigError
from bertsmith.model.bert import BertOutput
from bertsmith.model.encoders.registry import encoder_class
from bertsmith.model.feature_encoder import FeatureEncoder, FeaturesConfig
from bertsmith.model.initialization import initialize
from bertsmith.ops.attention import Attention, auto
from bertsmith.tasks.task import Targets, Task


class BertForTasks(nn.Module):
    """One encoder and a head for each task, all of whose parameters are trained together.

    With `features` the heads are on a BiLSTM over the encoder's layers (paper, section 5.3). Where
    they are frozen, the encoder learns nothing and never drops out.

    Args:
        config: which encoder, and its sizes.
        tasks: what to learn; pre-training is `[MaskedLM(), NextSentence()]`; none for the
            encoder alone.
        with_pooler: whether there is a vector of the whole sequence; None: where a task reads it.
        features: the layers that the heads read through a BiLSTM; None: they read the encoder.
        attention: one of `bertsmith.ops.attention`.
        is_drawn: whether the encoder's parameters start as published; without it they are whatever
            is in memory, to be read from a file, which saves a large model seconds.

    Raises:
        ConfigError: a task is named twice, or the model has no such layers; there is no such
            encoder, or it sees what a task asks for.
    """

    def __init__(
        self,
        config: BertConfig,
        tasks: Sequence[Task],
        *,
        with_pooler: bool | None = None,
        features: FeaturesConfig | None = None,
        attention: Attention = auto,
        is_drawn: bool = True,
    ) -> None:
        super().__init__()
        names = [task.name for task in tasks]
        if len(set(names)) < len(names):
            raise ConfigError(f"tasks ({', '.join(names)}) must name each task once")
        self.config = config
        self.tasks = tuple(tasks)
        if with_pooler is None:
            with_pooler = features is None and any(task.needs_pooler for task in tasks)
        with torch.device("meta"):  # so that what PyTorch's layers start as is not drawn first
            self.bert = encoder_class(config.encoder)(
                config, with_pooler=with_pooler, attention=attention
            )
        self.bert.to_empty(device="cpu")
        if is_drawn:
            initialize(self.bert, config.initializer_range)
        self.features: FeatureEncoder | None = None
        if features is not None:
            self.features = FeatureEncoder(config, features)
            if features.is_frozen:
                self.bert.requires_grad_(False).eval()
            self.bert.output_size = self.features.output_size
        self.heads = nn.ModuleDict({task.name: task.build_head(self.bert) for task in tasks})

    def forward(self, batch: Batch, targets: Targets) -> dict[str, Tensor]:
        """Logits of each task, by its name."""
        return self.answer(self.encode(batch), targets)

    def encode(self, batch: Batch) -> BertOutput:
        """What the heads read of a batch."""
        output: BertOutput
        output = self.bert(batch) if self.features is None else self.features(self.bert, batch)
        return output

    def answer(self, output: BertOutput, targets: Targets) -> dict[str, Tensor]:
        """Logits of each task of what `encode` gave, by the task's name."""
        return {task.name: self.heads[task.name](output, targets) for task in self.tasks}

    def train(self, mode: bool = True) -> Self:
        """Switch dropout on or off; never in an encoder whose layers are fixed features."""
        super().train(mode)
        if self.features is not None and self.features.settings.is_frozen:
            self.bert.eval()
        return self

    def losses(self, logits: dict[str, Tensor], targets: Targets) -> dict[str, Tensor]:
        """Each task's mean loss; training lowers their sum (paper, appendix A.2)."""
        return {task.name: task.loss(logits[task.name], targets) for task in self.tasks}
