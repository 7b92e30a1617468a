"""How likely a text is to a masked language model: its pseudo-log-likelihood.

Each wordpiece in turn is hidden and its probability taken, given all the others; the sum of the
logarithms ranks sentences as a left-to-right model's does (Salazar et al. 2020, "Masked language
model scoring"). A wordpiece is easily guessed from the others of its word, which makes rare words
look likely, so that those after it in its word are hidden with it (Kauf and Ivanova 2023, "A better
way to do masked language model scoring").
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch

from bertsmith.data.answered_in_order import answered_in_order
from bertsmith.data.example import Example
from bertsmith.data.example_batches import pack_examples
from bertsmith.export.model_folder import LoadedModel
from bertsmith.inference.masked_words import check_fills_masks, log_probs_at
from bertsmith.inference.opened_model import open_model
from bertsmith.inference.text_examples import encoded_texts
from bertsmith.text.encoding import Encoding
from bertsmith.training.parallelize import choose_device
from bertsmith.training.record_evaluation import batch_tokens_on


@dataclass(frozen=True)
class Likelihood:
    """What a masked language model makes of one text."""

    log_likelihood: float
    """Sum over the wordpieces, in nats; 0 for a text of none."""
    tokens: list[str]
    """The wordpieces, without [CLS] and [SEP]."""
    log_probs: list[float]
    """The logarithm of each one's probability, in nats."""

    @property
    def perplexity(self) -> float | None:
        """The exponential of the mean's negative; None for a text without wordpieces."""
        count = len(self.log_probs)
        return math.exp(-self.log_likelihood / count) if count else None


@dataclass
class _Asked:
    """A text of which some wordpieces have been answered."""

    tokens: list[str]
    log_probs: list[float] = field(default_factory=list)

    @property
    def is_answered(self) -> bool:
        return len(self.log_probs) == len(self.tokens)

    def answer(self) -> Likelihood:
        return Likelihood(sum(self.log_probs), self.tokens, self.log_probs)


class LikelihoodScorer:
    """Likelihoods of texts, in float32.

    Args:
        loaded: a model with a `masked_lm` head.
        hide_rest_of_word: whether the wordpieces after the one that is asked for are hidden where
            they are of the same word; without it the score is Salazar et al.'s.
        device: where to compute; the model is moved there.

    Raises:
        ConfigError: the model has no such head.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        hide_rest_of_word: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        check_fills_masks(loaded.model)
        self.hide_rest_of_word = hide_rest_of_word
        self.device = torch.device(device)
        self.model = loaded.model.to(self.device).eval()
        self.tokenizer = loaded.tokenizer
        self.max_length = loaded.tokenizer.limit(loaded.model.config.max_position_embeddings)
        """Wordpieces of a text that are read; what is longer is cut."""

    @classmethod
    def load(cls, path: str | Path, *, device: str | None = None, **settings: Any) -> Self:
        """Open a model.

        Args:
            path: as for `open_model`.
            device: such as `cpu` or `cuda`; None takes a GPU where there is one.
            settings: `hide_rest_of_word`.

        Raises:
            CheckpointError: there is no such model, or it is damaged.
            ConfigError: it cannot fill masks, or there is no such device.
        """
        chosen = choose_device(device)
        return cls(open_model(path, device=chosen), device=chosen, **settings)

    def score(
        self, texts: Iterable[Any], *, batch_tokens: int | None = None
    ) -> Iterator[Likelihood]:
        """One likelihood for each text, in order, while the texts are being read.

        A text of n wordpieces is read n times.

        Args:
            texts: texts, pairs of texts, or records with them.
            batch_tokens: the most tokens to compute at once, unless one text alone has more; None:
                what suits the device.

        Raises:
            DataError: one is none of these.
        """
        waiting: deque[_Asked] = deque()

        def examples() -> Iterator[Example]:
            for encoding in encoded_texts(texts, self.tokenizer, self.max_length):
                places = [i for i, word in enumerate(encoding.word_ids) if word is not None]
                waiting.append(_Asked([encoding.tokens[i] for i in places]))
                for place in places:
                    yield self._hidden(encoding, place)

        most = batch_tokens_on(self.device) if batch_tokens is None else batch_tokens
        for log_prob in answered_in_order(examples(), self._log_probs, most):
            yield from _answered(waiting)  # texts without wordpieces
            waiting[0].log_probs.append(log_prob)
            yield from _answered(waiting)
        yield from _answered(waiting)

    def _hidden(self, encoding: Encoding, place: int) -> Example:
        """The text without one of its wordpieces; the target is its place and what stood there."""
        ids = array("i", encoding.ids)
        end = place + 1
        if self.hide_rest_of_word:
            word, segment = encoding.word_ids[place], encoding.segment_ids[place]
            while encoding.word_ids[end] == word and encoding.segment_ids[end] == segment:
                end += 1
        for hidden in range(place, end):
            ids[hidden] = self.tokenizer.mask_id
        return Example(ids, encoding.segment_ids, (place, encoding.ids[place]))

    def _log_probs(self, examples: list[Example]) -> list[float]:
        batch = pack_examples(examples, self.device)
        places = [example.target[0] for example in examples]
        rows = log_probs_at(self.model, batch, places, self.tokenizer.vocab_size)
        pieces = torch.tensor([example.target[1] for example in examples], device=self.device)
        found: list[float] = rows.gather(1, pieces[:, None])[:, 0].tolist()
        return found


def _answered(waiting: deque[_Asked]) -> Iterator[Likelihood]:
    """Give the texts at the front all of whose wordpieces have been answered."""
    while waiting and waiting[0].is_answered:
        yield waiting.popleft().answer()
