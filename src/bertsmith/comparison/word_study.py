"""One word in its sentences, as several systems see it.

A table of words has one vector for "right", whatever is said. That BERT has one for each place,
made of what stands on both sides, is the point of the paper (sections 1 and 2.1); here it is
measured, beside the systems that the paper names: static vectors, vectors from two one-way LSTMs,
and those of a Transformer that looks back alone.

Dimension key: `N` sentences, `H` size of a layer's vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bertsmith.comparison.corpus_sentences import CorpusSentences
from bertsmith.comparison.labelled_sentences import LabelledSentence
from bertsmith.comparison.mean_attention import MeanAttention, mean_attention
from bertsmith.comparison.sense_separation import Separation, mean_between, separation
from bertsmith.comparison.word_index import NearWord, WordIndex, centred
from bertsmith.comparison.word_vectors import max_length_of, word_vectors
from bertsmith.errors import DataError
from bertsmith.export.model_folder import LoadedModel
from bertsmith.inference.word_in_context import (
    MAX_OCCURRENCES,
    FoundWord,
    Word,
    locate_word,
    principal_plane,
)
from bertsmith.text.tokenizer import Tokenizer

NUM_NEIGHBOURS = 4


@dataclass(frozen=True)
class SystemStudy:
    """The word in one system."""

    name: str
    similarities: list[list[float]]
    """(N, N): cosines of the last layer's vectors, the mean of all words taken away."""
    separation: Separation | None
    """Of these; None without two senses, of which one has two sentences."""
    between: float | None
    """Mean similarity of two sentences of different senses; None without two senses."""
    layers: list[Separation | None]
    """The same of each layer, the embeddings first."""
    neighbours: list[list[NearWord]]
    """Of each sentence the nearest words of the corpus, the word itself among them."""
    points: list[tuple[float, float]]
    """Of the sentences: the two principal components of their vectors and of the corpus's;"""
    corpus_points: list[tuple[float, float]]
    """and of the sentences of the corpus that have the word."""
    shown_variance: float
    """The share of the vectors' variance that the points show, 0 to 1."""
    mean_similarity: float
    """The cosine of two words of the corpus, on average, before the mean is taken away."""
    attention: MeanAttention | None
    """What its tokens attend to; None for a system without attention."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: figures alone, no text of the corpus."""
        return {
            "name": self.name,
            "separation": self.separation and asdict(self.separation),
            "between": self.between,
            "layers": [each and asdict(each) for each in self.layers],
            "mean_similarity": self.mean_similarity,
            "shown_variance": self.shown_variance,
            "similarities": self.similarities,
            "points": self.points,
            "attention": self.attention and self.attention.shares.to_dict(),
        }


@dataclass(frozen=True)
class WordStudy:
    """The word in all systems."""

    word: str
    sentences: list[LabelledSentence]
    places: list[tuple[int, int]]
    """Where the word starts and ends in each sentence, in characters."""
    systems: list[SystemStudy]
    num_corpus_sentences: int
    """Sentences of the corpus that were read; 0: near words are from the sentences themselves."""
    num_with_word: int
    """How many of them have the word."""

    @property
    def senses(self) -> list[str]:
        """The names of the senses, in the order of the sentences."""
        return list(dict.fromkeys(each.sense for each in self.sentences if each.sense is not None))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: figures and the sentences that were asked about."""
        return {
            "word": self.word,
            "sentences": [asdict(each) for each in self.sentences],
            "corpus_sentences": self.num_corpus_sentences,
            "corpus_sentences_with_word": self.num_with_word,
            "systems": [system.to_dict() for system in self.systems],
        }


def study_word(
    models: Mapping[str, LoadedModel],
    corpus: CorpusSentences,
    word: str,
    sentences: Sequence[LabelledSentence],
) -> WordStudy:
    """Look at a word in sentences through several systems, of the corpus's vocabulary or any other.

    The first place of a sentence that has the word counts.

    Args:
        models: by their names.
        corpus: where near words are from.
        word: a word, or several that stand together.
        sentences: each has the word; those of a sense are brought together.

    Raises:
        DataError: the word is none, is not in a model's vocabulary, or not in one of the sentences,
            as far as the model reads it; or there are fewer than two sentences, or too many.
    """
    sentences = _by_sense(sentences)
    # What cannot be compared is refused before any model has read the corpus.
    located = {}
    for name, loaded in models.items():
        try:
            located[name] = first_places(loaded.tokenizer, word, sentences, max_length_of(loaded))
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
    systems = [
        _study(name, loaded, corpus, word, sentences, located[name])
        for name, loaded in models.items()
    ]
    places = [(each.start, each.end) for each in next(iter(located.values())).occurrences]
    return WordStudy(word, sentences, places, systems, len(corpus.all), len(corpus.with_word))


def _by_sense(sentences: Sequence[LabelledSentence]) -> list[LabelledSentence]:
    """Those of a sense side by side, else in their order."""
    senses = list(dict.fromkeys(each.sense for each in sentences))
    return sorted(sentences, key=lambda each: senses.index(each.sense))


def first_places(
    tokenizer: Tokenizer, word: str, sentences: Sequence[LabelledSentence], max_length: int
) -> FoundWord:
    """The word's first place in each sentence, and no other; arguments as `locate_word`.

    Raises:
        DataError: one does not have it, or the vocabulary does not; or there are fewer than two
            sentences, or too many.
    """
    if not 2 <= len(sentences) <= MAX_OCCURRENCES:
        raise DataError(
            f"{len(sentences)} {'sentence is' if len(sentences) == 1 else 'sentences are'} given; "
            f"2 to {MAX_OCCURRENCES} can be compared"
        )
    texts = [each.text for each in sentences]
    found = locate_word(tokenizer, word, texts, max_length)
    first: dict[int, Word] = {}
    for each in found.occurrences:
        first.setdefault(each.sentence, each)
    for number, text in enumerate(texts):
        if number not in first:
            shown = text if len(text) <= 80 else text[:79] + "…"
            if locate_word(tokenizer, word, [text], None).occurrences:
                raise DataError(
                    f"the word {word!r} is not within the {max_length} wordpieces that the model "
                    f"reads of the sentence {shown!r}; shorten it, so that the word stands earlier"
                )
            raise DataError(
                f"the word {word!r} is not in the sentence {shown!r}, spelled as the "
                "tokenizer has it; give sentences that have it"
            )
    return replace(found, occurrences=[first[number] for number in range(len(texts))])


def _study(
    name: str,
    loaded: LoadedModel,
    corpus: CorpusSentences,
    word: str,
    sentences: Sequence[LabelledSentence],
    located: FoundWord,
) -> SystemStudy:
    texts = corpus.all or [each.text for each in sentences]
    index = WordIndex.build(loaded, texts)
    layers = _centred_vectors(loaded, index, located)
    senses = [each.sense for each in sentences]
    figures = [separation(vectors @ vectors.T, senses) for vectors in layers]
    last = layers[-1]
    others = locate_word(loaded.tokenizer, word, corpus.with_word, max_length_of(loaded))
    of_corpus = _centred_vectors(loaded, index, others)[-1] if others.occurrences else last[:0]
    points, shown = principal_plane(torch.cat([last, of_corpus]))
    return SystemStudy(
        name=name,
        similarities=(last @ last.T).tolist(),
        separation=figures[-1],
        between=mean_between(last @ last.T, senses),
        layers=figures,
        neighbours=index.nearest(last, [each.text for each in sentences], NUM_NEIGHBOURS),
        points=points[: len(last)],
        corpus_points=points[len(last) :],
        shown_variance=shown,
        mean_similarity=index.mean_similarity,
        attention=mean_attention(loaded, texts),
    )


def _centred_vectors(loaded: LoadedModel, index: WordIndex, located: FoundWord) -> list[Tensor]:
    """(N, H) of each layer: the occurrences' vectors as `centred` makes them."""
    chosen: list[list[Word]] = [[] for _ in located.sequences]
    for word in located.occurrences:
        chosen[word.sentence].append(word)
    parts = word_vectors(loaded, located.sequences, chosen)
    layers = [torch.cat(each) for each in zip(*parts, strict=True)]
    return [centred(*each) for each in zip(layers, index.means, strict=True)]
