"""What a served model computes in its threads: at once what its queue has of one kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bertsmith.data.example import EncodedRecord, Example
from bertsmith.data.example_batches import pack_examples
from bertsmith.export.graph_bert import GraphBert
from bertsmith.inference.embedder import Embedder
from bertsmith.inference.features import attention_maps
from bertsmith.inference.fill_mask import Candidate, compared_words, likeliest_words
from bertsmith.inference.predictor import Predictor
from bertsmith.inference.word_in_context import layer_states
from bertsmith.serving.batching import Compute
from bertsmith.text.encoding import Encoding

# Between operations Python lets one thread go on at a time; more than these would wait for it.
MAX_THREADS = 4


@dataclass(frozen=True)
class Attended:
    """A head's map of a sequence is asked for."""

    sequence: Example
    layer: int
    head: int


@dataclass(frozen=True)
class Attention:
    """What each wordpiece takes from each, by one head."""

    layer: int
    """From 0."""
    tokens: list[str]
    weights: list[list[float]]
    """(S, S); a row sums to 1."""
    is_cut: bool
    """Whether there is more of the text than the model reads."""


@dataclass(frozen=True)
class Masked:
    """Words for the [MASK]s of a text are asked for: the likeliest, or the named ones compared."""

    encoding: Encoding
    top_k: int
    words: Mapping[str, list[int]] | None
    """With their wordpieces."""


class Computing:
    """The kinds of work, and how many batches are computed at once.

    On a CPU some threads compute a batch each, on a part of the cores: where one batch has all of
    them, they wait for each other at every operation, and each of them waits for the event loop and
    whoever else takes one of them away. A text that is alone has all cores, so that it is soonest.

    Args:
        embedder: the model.
        predictor: the same model, where it has a task that is learned from records.
        batch_tokens: the most tokens to compute at once, unless one text alone has more.
    """

    def __init__(self, embedder: Embedder, predictor: Predictor | None, batch_tokens: int) -> None:
        self._embedder = embedder
        self.kinds: dict[str, Compute] = {
            "embed": embedder.pooled,
            "fill_mask": self.fill,
            "attention": self.attend,
            "states": self.states,
        }
        """A function from what is asked to the answers, in order, for each kind."""
        if predictor is not None:
            self.kinds["predict"] = partial(_predict, predictor, batch_tokens)
        cores = torch.get_num_threads()
        # A GPU has one queue of its own, and the program of an exported model its own threads.
        is_ours = embedder.device.type == "cpu" and not isinstance(embedder.model.bert, GraphBert)
        self._cores, self._part = cores, -(-cores // MAX_THREADS)
        self.num_threads = cores // self._part if is_ours else 1
        """How many batches are computed at once."""

    def begin(self, has_others: bool) -> None:
        """Have the next batch of this thread computed on its part of the cores, or on all."""
        if self.num_threads > 1:
            torch.set_num_threads(self._part if has_others else self._cores)

    def attend(self, asked: list[Attended]) -> list[list[list[float]]]:
        """(S, S) of each."""
        return [self._attended(each) for each in asked]

    def _attended(self, asked: Attended) -> list[list[float]]:
        """A sequence by itself: in a batch the maps of all have room for the longest one."""
        batch = pack_examples([asked.sequence], self._embedder.device)
        ((heads,),) = attention_maps(self._embedder.model, batch, layers=[asked.layer])
        weights: list[list[float]] = heads[asked.head].tolist()
        return weights

    def states(self, asked: list[tuple[Example, int]]) -> list[Tensor]:
        """(S, H) of each sequence, of the layer that is named beside it."""
        sequences, layers = zip(*asked, strict=True)
        return layer_states(self._embedder.model, sequences, layers)

    def fill(self, asked: list[Masked]) -> list[list[list[Candidate]]]:
        """Texts that ask for the likeliest words are computed at once, others one by one."""
        plain = [each for each in asked if each.words is None]
        model, tokenizer = self._embedder.model, self._embedder.tokenizer
        found: dict[int, list[list[Candidate]]] = {}
        if plain:
            most = max(each.top_k for each in plain)
            encodings = [each.encoding for each in plain]
            filled = likeliest_words(model, tokenizer, encodings, most)
            for each, masks in zip(plain, filled, strict=True):
                found[id(each)] = [candidates[: each.top_k] for candidates in masks]
        for each in asked:
            if each.words is not None:
                found[id(each)] = compared_words(model, tokenizer, each.encoding, each.words)
        return [found[id(each)] for each in asked]


def _predict(
    predictor: Predictor, batch_tokens: int, encoded: list[EncodedRecord]
) -> list[dict[str, Any]]:
    """The task's answers."""
    scored = predictor.score(encoded, batch_tokens=batch_tokens)
    return [predictor.task.answer(each.record, each.scores) for each in scored]
