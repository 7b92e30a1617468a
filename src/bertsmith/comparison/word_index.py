"""`WordIndex`: the vectors of a corpus's words in their sentences, to find near ones.

Vectors of most encoders lie in a narrow cone: any two words of GPT's last layer may have a cosine
of 0.9, and of two systems the cosines cannot be compared. So the mean of all words is taken away
before two vectors are.

Sources: Mu and Viswanath 2018, "All-but-the-Top"; Ethayarajh 2019, "How Contextual are
Contextualized Word Representations?", section 3.4.

Dimension key: `W` words of the index, `N` words, `H` size of a layer's vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.comparison.word_vectors import all_words, flat, read_words, word_vectors
from bertsmith.errors import DataError
from bertsmith.export.model_folder import LoadedModel
from bertsmith.inference.word_in_context import Word

# Of a BERT-base 60 MB.
MAX_WORDS = 20_000


@dataclass(frozen=True)
class NearWord:
    """A word of the corpus beside one that was asked for."""

    word: Word
    sentence: str
    similarity: float


@dataclass(frozen=True)
class WordIndex:
    """Words of a corpus and their vectors of the last layer."""

    sentences: Sequence[str]
    words: list[Word]
    vectors: Tensor
    """(W, H), of length 1 once the mean is taken away."""
    means: list[Tensor]
    """(H,): of each layer's vectors of these words, those of the embeddings first."""
    mean_similarity: float
    """The cosine of two different words of the index, on average, with the mean left in."""

    @classmethod
    def build(cls, loaded: LoadedModel, sentences: Sequence[str]) -> Self:
        """Read sentences until there are `MAX_WORDS` words.

        Args:
            loaded: any model whose encoder answers as `Bert` does.
            sentences: whose words are to be found.

        Raises:
            DataError: they have fewer than two words.
        """
        read = read_words(loaded, sentences)
        chosen = all_words(read, MAX_WORDS)
        words = flat(chosen)
        if len(words) < 2:
            raise DataError(
                "the sentences that neighbours are to be found in have fewer than two words; give "
                "held-out text with more"
            )
        last: list[Tensor] = []
        sums: list[Tensor] = []
        for layers in word_vectors(loaded, [example for example, _ in read], chosen):
            last.append(layers[-1])
            parts = [vectors.double().sum(0) for vectors in layers]
            sums = [a + b for a, b in zip(sums, parts, strict=True)] if sums else parts
        means = [(each / len(words)).float() for each in sums]
        table = torch.cat(last)
        total = F.normalize(table, dim=-1).double().sum(0).square().sum()
        return cls(
            sentences,
            words,
            centred(table, means[-1]),
            means,
            float((total - len(words)) / (len(words) * (len(words) - 1))),
        )

    def nearest(self, vectors: Tensor, sentences: Sequence[str], most: int) -> list[list[NearWord]]:
        """For each of (N, H) centred vectors the nearest words, each spelling once.

        Args:
            vectors: as `centred` makes them.
            sentences: where each is from; words of the same sentence are near for being there,
                which says nothing of the sense, and are left out.
            most: how many words.
        """
        found = []
        for row, own in zip(vectors @ self.vectors.T, sentences, strict=True):
            names: dict[str, NearWord] = {}
            for place in row.argsort(descending=True, stable=True).tolist():
                word = self.words[place]
                sentence = self.sentences[word.sentence]
                if sentence != own:
                    near = NearWord(word, sentence, float(row[place]))
                    names.setdefault(word.text.casefold(), near)
                if len(names) == most:
                    break
            found.append(list(names.values()))
        return found


def centred(vectors: Tensor, mean: Tensor) -> Tensor:
    """(N, H) → (N, H) without the mean, of length 1."""
    return F.normalize(vectors - mean, dim=-1)
