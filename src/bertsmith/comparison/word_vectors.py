"""The vectors that an encoder of any kind has of words in sentences, layer by layer.

Dimension key: `N` words, `T` tokens of a batch, `H` size of a layer's vectors.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from bertsmith.data.example import Example
from bertsmith.data.example_batches import pack_examples
from bertsmith.export.model_folder import LoadedModel
from bertsmith.inference.word_in_context import Word, sentence_words

BATCH_SENTENCES = 64


def max_length_of(loaded: LoadedModel) -> int:
    """The wordpieces of a sentence that a model reads."""
    return loaded.tokenizer.limit(loaded.model.config.max_position_embeddings)


def read_words(loaded: LoadedModel, sentences: Sequence[str]) -> list[tuple[Example, list[Word]]]:
    """Each sentence as the encoder reads it, and its words; what it is too long for is left out.

    Args:
        loaded: whose tokenizer is asked.
        sentences: any.
    """
    encodings = loaded.tokenizer.encode_batch(sentences, max_length=max_length_of(loaded))
    return [
        (
            Example(array("i", encoding.ids), array("b", encoding.segment_ids)),
            sentence_words(encoding, sentence, number),
        )
        for number, (encoding, sentence) in enumerate(zip(encodings, sentences, strict=True))
    ]


def word_vectors(
    loaded: LoadedModel, sequences: Sequence[Example], words: Sequence[Sequence[Word]]
) -> Iterator[list[Tensor]]:
    """For some sentences after the other the words' vectors, (N, H) of each layer, on the CPU.

    A word's vector is the mean of its wordpieces'. The embeddings count as the first layer.

    Args:
        loaded: any model whose encoder answers as `Bert` does.
        sequences: sentences as the encoder reads them.
        words: of each sentence those that are asked for.
    """
    model = loaded.model.eval()
    device = next(model.parameters()).device
    for first in range(0, len(sequences), BATCH_SENTENCES):
        part = slice(first, first + BATCH_SENTENCES)
        batch = pack_examples(sequences[part])
        places, lengths = [], []
        for start, chosen in zip(batch.cu_seqlens.tolist(), words[part], strict=False):
            places += [start + piece for word in chosen for piece in word.pieces]
            lengths += [len(word.pieces) for word in chosen]
        with torch.inference_mode():
            states = model.bert(batch.to(device), all_hidden_states=True).all_hidden_states
        assert states is not None  # noqa: S101 - asked for above
        index = torch.tensor(places, dtype=torch.int64)
        yield [_means(state.float().cpu()[index], lengths) for state in states]


def _means(rows: Tensor, lengths: Sequence[int]) -> Tensor:
    """(N, H): the means of runs of rows."""
    counts = torch.tensor(lengths, dtype=torch.int64)
    owners = torch.arange(len(lengths)).repeat_interleave(counts)
    sums = rows.new_zeros(len(lengths), rows.shape[1]).index_add_(0, owners, rows)
    return sums / counts[:, None]


def all_words(read: Sequence[tuple[Example, list[Word]]], most: int) -> list[list[Word]]:
    """Of each sentence the words that are no punctuation marks, up to so many in all."""
    kept, room = [], most
    for _, words in read:
        named = [word for word in words if any(map(str.isalnum, word.text))][:room]
        kept.append(named)
        room -= len(named)
    return kept


def flat(words: Sequence[Sequence[Word]]) -> list[Word]:
    """Words of sentences in one list."""
    return list(itertools.chain.from_iterable(words))
