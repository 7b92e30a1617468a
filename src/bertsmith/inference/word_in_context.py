"""How the vector of one word moves with its sentence, which is what BERT is about.

A table of words has one vector for "right". BERT has one for each place where the word stands, made
of all that stands around it (paper, sections 1 and 2.1): those of one sense are nearer to each
other than to those of the other.

Dimension key: `S` wordpieces of a sequence, `H` hidden size, `N` occurrences, `W` other words.
"""

from __future__ import annotations

import itertools
import reprlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.data.example import Example
from bertsmith.data.example_batches import pack_examples
from bertsmith.errors import DataError
from bertsmith.export.model_folder import LoadedModel
from bertsmith.inference.embedder import layer_index
from bertsmith.tasks.model import BertForTasks
from bertsmith.text.encoding import Encoding
from bertsmith.text.tokenizer import Tokenizer

MAX_OCCURRENCES = 64
"""All of them are compared with each other."""
NUM_NEIGHBOURS = 3


@dataclass(frozen=True)
class Word:
    """A word of one of the sentences."""

    text: str
    sentence: int
    """Which one, from 0."""
    start: int
    """In characters of the sentence."""
    end: int
    pieces: range
    """Its wordpieces' places in the sequence."""


@dataclass(frozen=True)
class FoundWord:
    """Where a word stands in sentences."""

    sequences: list[Example]
    """The sentences as the encoder reads them."""
    occurrences: list[Word]
    others: list[Word]
    """All words that are not the word itself, without punctuation marks."""


@dataclass(frozen=True)
class Neighbour:
    """An occurrence's near word: its place in `WordInContext.neighbours`, and how near it is."""

    place: int
    similarity: float


@dataclass(frozen=True)
class WordInContext:
    """What the vectors of a word's occurrences say."""

    occurrences: list[Word]
    similarities: list[list[float]]
    """(N, N) cosines of the occurrences' vectors."""
    nearest: list[list[Neighbour]]
    """For each occurrence the nearest words of other sentences, the nearest first."""
    neighbours: list[Word]
    """Every word that is near to an occurrence, once."""
    points: list[tuple[float, float]]
    """Of occurrences, then of neighbours: the two principal components of their vectors."""
    shown_variance: float
    """The share of the vectors' variance that the points show, 0 to 1."""


def word_in_context(
    loaded: LoadedModel, word: str, sentences: Sequence[str], *, layer: int = -1
) -> WordInContext:
    """Compare a word's vectors in several sentences.

    A word's vector is the mean of its wordpieces'. All are scaled to length 1 before they are
    compared and drawn, so that near points are vectors of a great cosine.

    Args:
        loaded: a model of any kind.
        word: a word, or several that stand together; found as the model's tokenizer sees it, in
            capitals too where that lowers them.
        sentences: not all of them need to have the word: the others are where neighbours are from.
        layer: whose vectors: -1 the last, 0 the first.

    Raises:
        ConfigError: there is no such layer.
        DataError: the word is none, is not in the vocabulary, or stands fewer than two or more than
            `MAX_OCCURRENCES` times in the sentences.
    """
    model, tokenizer = loaded.model.eval(), loaded.tokenizer
    place = layer_index(layer, model.config.num_hidden_layers)
    max_length = tokenizer.limit(model.config.max_position_embeddings)
    found = find_word(tokenizer, word, sentences, max_length)
    states = layer_states(model, found.sequences, [place] * len(found.sequences))
    return compare_occurrences(found, states)


def find_word(
    tokenizer: Tokenizer, word: str, sentences: Sequence[str], max_length: int
) -> FoundWord:
    """Find a word in sentences, which are cut at `max_length`; errors as `word_in_context`."""
    found = locate_word(tokenizer, word, sentences, max_length)
    count, shown = len(found.occurrences), reprlib.repr(word)
    if count < 2:
        raise DataError(
            f"the word {shown} stands {'once' if count else 'nowhere'} in the sentences, as far as "
            "the model reads them; give sentences with it at least twice"
        )
    if count > MAX_OCCURRENCES:
        raise DataError(
            f"the word {shown} stands {count:,} times in the sentences and at most "
            f"{MAX_OCCURRENCES} are compared; give fewer sentences"
        )
    return found


def locate_word(
    tokenizer: Tokenizer, word: str, sentences: Sequence[str], max_length: int | None
) -> FoundWord:
    """Find a word in sentences, however often they have it.

    Args:
        tokenizer: decides what a word is.
        word: a word, or several that stand together.
        sentences: any.
        max_length: where they are cut; None: nowhere.

    Raises:
        DataError: the word is none, or is not in the vocabulary.
    """
    wanted = _spelled(tokenizer, word)
    sequences, occurrences, others = [], [], []
    for number, sentence in enumerate(sentences):
        encoding = tokenizer.encode(sentence, max_length=max_length)
        sequences.append(Example(array("i", encoding.ids), array("b", encoding.segment_ids)))
        words = sentence_words(encoding, sentence, number)
        spellings = [tuple(encoding.ids[each.pieces.start : each.pieces.stop]) for each in words]
        at = 0
        while at < len(words):
            if spellings[at : at + len(wanted)] == wanted:
                occurrences.append(_joined(words[at : at + len(wanted)], sentence))
                at += len(wanted)
            else:
                others.append(words[at])
                at += 1
    named = [each for each in others if any(map(str.isalnum, each.text))]
    return FoundWord(sequences, occurrences, named)


def layer_states(
    model: BertForTasks, sequences: Sequence[Example], layers: Sequence[int]
) -> list[Tensor]:
    """(S, H) for each sequence, on the CPU: the vectors of its wordpieces, computed at once.

    Args:
        model: in evaluation mode.
        sequences: what the encoder reads.
        layers: whose vectors, from 0, for each sequence.
    """
    batch = pack_examples(sequences, next(model.parameters()).device)
    with torch.inference_mode():
        states = model.bert(batch, all_hidden_states=True).all_hidden_states
    assert states is not None  # noqa: S101 - asked for above
    bounds = itertools.pairwise(batch.cu_seqlens.tolist())
    return [
        states[layer + 1][start:end].float().cpu()
        for layer, (start, end) in zip(layers, bounds, strict=True)
    ]


def compare_occurrences(found: FoundWord, states: Sequence[Tensor]) -> WordInContext:
    """Compare what `find_word` found by what `layer_states` gave for its sequences."""
    occurrences = _vectors(found.occurrences, states)  # (N, H)
    others = _vectors(found.others, states)  # (W, H)
    near = _nearest(found, occurrences @ others.T)
    chosen = sorted({place for row in near for place, _ in row})
    new_place = {old: new for new, old in enumerate(chosen)}
    points, shown = principal_plane(torch.cat([occurrences, others[chosen]]))
    return WordInContext(
        occurrences=found.occurrences,
        similarities=(occurrences @ occurrences.T).tolist(),
        nearest=[[Neighbour(new_place[place], cosine) for place, cosine in row] for row in near],
        neighbours=[found.others[place] for place in chosen],
        points=points,
        shown_variance=shown,
    )


def _nearest(found: FoundWord, cosines: Tensor) -> list[list[tuple[int, float]]]:
    """For each row of (N, W) the places and cosines of the nearest words."""
    sentences = [word.sentence for word in found.others]
    rows = []
    for occurrence, row in zip(found.occurrences, cosines, strict=True):
        # Words of the same sentence are near for being there, which says nothing of the sense. Of
        # the same word in two sentences, the nearer one says it all.
        nearest: dict[str, tuple[int, float]] = {}
        for place in row.argsort(descending=True, stable=True).tolist():
            if sentences[place] != occurrence.sentence:
                name = found.others[place].text.casefold()
                nearest.setdefault(name, (place, float(row[place])))
            if len(nearest) == NUM_NEIGHBOURS:
                break
        rows.append(list(nearest.values()))
    return rows


def principal_plane(vectors: Tensor) -> tuple[list[tuple[float, float]], float]:
    """Coordinates of (N, H) vectors on their two principal components, and the share they show."""
    centred = (vectors - vectors.mean(0)).double()
    left, singular, _ = torch.linalg.svd(centred, full_matrices=False)
    # What is left of rounding alone is no direction.
    singular = torch.where(singular > 1e-5, singular, 0)
    variances = singular.square()
    total = float(variances.sum())
    axes = left[:, :2] * singular[:2]
    # A component's sign means nothing; this one does not depend on the machine.
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    axes = F.pad(axes * torch.where(largest < 0, -1, 1), (0, 2 - axes.shape[1]))
    points = [(x, y) for x, y in axes.tolist()]
    return points, float(variances[:2].sum()) / total if total else 1.0


def _vectors(words: Sequence[Word], states: Sequence[Tensor]) -> Tensor:
    """(N, H): a vector of length 1 for each word, the mean of its wordpieces'."""
    rows = [states[each.sentence][each.pieces.start : each.pieces.stop].mean(0) for each in words]
    return F.normalize(torch.stack(rows), dim=-1) if rows else torch.empty(0, states[0].shape[1])


def sentence_words(encoding: Encoding, sentence: str, number: int) -> list[Word]:
    """The words of one sentence, as the tokenizer sees them."""
    words = []
    places = [place for place, word in enumerate(encoding.word_ids) if word is not None]
    for _, group in itertools.groupby(places, key=lambda place: encoding.word_ids[place]):
        own = list(group)
        start, end = encoding.offsets[own[0]][0], encoding.offsets[own[-1]][1]
        words.append(Word(sentence[start:end], number, start, end, range(own[0], own[-1] + 1)))
    return words


def _joined(words: Sequence[Word], sentence: str) -> Word:
    """Words that stand together as one."""
    first, last = words[0], words[-1]
    pieces = range(first.pieces.start, last.pieces.stop)
    return Word(sentence[first.start : last.end], first.sentence, first.start, last.end, pieces)


def _spelled(tokenizer: Tokenizer, word: str) -> list[tuple[int, ...]]:
    """The wordpieces of each word of what is looked for.

    Raises:
        DataError: there are none.
    """
    encoding = tokenizer.encode(word)
    if len(encoding) == 2 or tokenizer.unk_id in encoding.ids:
        raise DataError(
            f"the vocabulary has no wordpieces for the word {reprlib.repr(word)}, so that it "
            "cannot be found; give another one"
        )
    words = sentence_words(encoding, word, 0)
    return [tuple(encoding.ids[each.pieces.start : each.pieces.stop]) for each in words]
