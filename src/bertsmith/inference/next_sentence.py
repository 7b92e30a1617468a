"""Whether a text follows another: what next-sentence prediction has learned (section 3.1, task 2).

Dimension key: `B` sequences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from bertsmith.data.answered_in_order import Answers, answered_in_order, on_host
from bertsmith.data.example import Example
from bertsmith.data.example_batches import pack_examples
from bertsmith.errors import ConfigError
from bertsmith.export.model_folder import LoadedModel
from bertsmith.inference.opened_model import open_model
from bertsmith.inference.text_examples import pair_examples
from bertsmith.training.parallelize import choose_device
from bertsmith.training.record_evaluation import batch_tokens_on


class NextSentenceScorer:
    """Probabilities that one text follows another, in float32.

    Args:
        loaded: a model with a `next_sentence` head.
        device: where to compute; the model is moved there.

    Raises:
        ConfigError: the model has no such head.
    """

    def __init__(self, loaded: LoadedModel, *, device: torch.device | str = "cpu") -> None:
        if "next_sentence" not in loaded.model.heads:
            names = ", ".join(loaded.model.heads) or "none"
            raise ConfigError(
                f"the model's tasks ({names}) must have next_sentence among them to judge pairs; "
                "take a model that was pre-trained with it"
            )
        self.device = torch.device(device)
        self.model = loaded.model.to(self.device).eval()
        self.tokenizer = loaded.tokenizer
        self.max_length = loaded.tokenizer.limit(loaded.model.config.max_position_embeddings)
        """Wordpieces of a pair that are read; what is longer is cut."""

    @classmethod
    def load(cls, path: str | Path, *, device: str | None = None) -> Self:
        """Open a model.

        Args:
            path: as for `open_model`.
            device: such as `cpu` or `cuda`; None takes a GPU where there is one.

        Raises:
            CheckpointError: there is no such model, or it is damaged.
            ConfigError: it has no such head, or there is no such device.
        """
        chosen = choose_device(device)
        return cls(open_model(path, device=chosen), device=chosen)

    def score(self, pairs: Iterable[Any], *, batch_tokens: int | None = None) -> Iterator[float]:
        """The probability that B follows A, for each pair in order, while they are being read.

        Args:
            pairs: pairs of texts, or records with them.
            batch_tokens: the most tokens to compute at once, unless one pair alone has more; None:
                what suits the device.

        Raises:
            DataError: one is no pair.
        """
        examples = pair_examples(pairs, self.tokenizer, self.max_length)
        most = batch_tokens_on(self.device) if batch_tokens is None else batch_tokens
        return answered_in_order(examples, self._probabilities, most)

    def _probabilities(self, examples: list[Example]) -> Answers[float]:
        batch = pack_examples(examples, self.device)
        with torch.inference_mode():
            logits = self.model.heads["next_sentence"](self.model.bert(batch), {})  # (B, 2)
        return on_host(logits.float().softmax(-1)[:, 0], Tensor.tolist)
