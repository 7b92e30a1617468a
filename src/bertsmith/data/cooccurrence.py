"""How often wordpieces stand near each other (Pennington et al. 2014, sections 3 and 4.2).

Two wordpieces that are d places apart in one document, d at most the window, count 1/d. X_ij is the
sum over all places where j stands near i, on either side, so that X is symmetric and the half of it
with i at most j says everything.

Pairs are sorted and added up by chunks of the corpus. What does not fit in memory goes to disk in
sorted runs, and these are merged a range of pairs at a time: the result is exact, and beside it no
more than a stated number of pairs is in memory.

Where not all of the corpus is read, what is read is pieces from all over it, each of whole
documents, in an order that is drawn: its beginning may be of one source alone.

Dimension key: `P` pairs, `V` vocabulary size.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bertsmith.data.corpus_reader import Block, CorpusReader
from bertsmith.data.shards import TokenizedCorpus
from bertsmith.errors import ConfigError, DataError

# Pairs that are held in memory at once, 16 bytes each, besides those of the block at hand.
PAIRS_IN_MEMORY = 1 << 26
# Wordpieces whose pairs are made at once: with a window of 10, as many tens of pairs.
CHUNK_WORDPIECES = 1 << 19
# Of a piece, more where a document has more. As small as reading from one place to the next allows:
# a budget is to be of many places.
PIECE_WORDPIECES = 1 << 14

Run = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Cooccurrences:
    """The pairs that occur, each once, with rising `rows * vocab_size + columns`."""

    vocab_size: int
    """V."""
    rows: npt.NDArray[np.int64]
    """(P,) i."""
    columns: npt.NDArray[np.int64]
    """(P,) j, at least i."""
    counts: npt.NDArray[np.float32]
    """(P,) X_ij, above 0."""
    num_wordpieces: int
    """How many wordpieces of the corpus have been read."""


def count_cooccurrences(
    corpus: TokenizedCorpus,
    *,
    window: int = 10,
    max_wordpieces: int | None = None,
    is_over: Callable[[], bool] = lambda: False,
    seed: int = 12345,
    device: torch.device | str = "cpu",
    pairs_in_memory: int = PAIRS_IN_MEMORY,
    scratch: Path | None = None,
) -> Cooccurrences:
    """Count the pairs of a corpus.

    Args:
        corpus: what to read; documents keep to themselves, sentences do not.
        window: how far apart two wordpieces may be; 10 in the paper.
        max_wordpieces: how much of the corpus to read, where it has as much; None: all.
        is_over: asked between two chunks; the corpus is read no further when it says so.
        seed: decides the order in which it is read, and so what a part of it is.
        device: where pairs are sorted.
        pairs_in_memory: what is more goes to disk.
        scratch: where to; None: where the system has its temporary files.

    Raises:
        ConfigError: the window is none.
        DataError: nothing stands near anything.
    """
    if not isinstance(window, int) or window < 1:
        raise ConfigError(f"window ({window!r}) must be a whole number of at least 1")
    device = torch.device(device)
    size = corpus.vocab_size
    read = 0
    held: list[Run] = []
    with tempfile.TemporaryDirectory(dir=scratch, prefix="cooccurrence-") as folder:
        spilled: list[Run] = []
        reader = CorpusReader(corpus, block_wordpieces=PIECE_WORDPIECES)
        for ids, documents, seen in _chunks(reader, window, seed):
            left = len(ids) if max_wordpieces is None else max_wordpieces - read
            if is_over() or left < 1:
                break
            ids, documents = ids[: seen + left], documents[: seen + left]
            held.append(_pairs_of(ids.to(device), documents.to(device), seen, window, size))
            read += len(ids) - seen
            if sum(len(keys) for keys, _ in held) > pairs_in_memory:
                held = [_merged(held)]
            if len(held) == 1 and len(held[0][0]) > pairs_in_memory:
                spilled.append(_spill(held[0], Path(folder), len(spilled)))
                held = []
        runs = [*spilled, *([_merged(held)] if held else [])]
        keys, sums = _all_merged(runs, pairs_in_memory, size)
        rows, columns = np.divmod(keys, size)
        counts = sums.astype(np.float32)
    if not len(rows):
        raise DataError(
            f"{corpus.path} has no two wordpieces beside each other in one document; prepare "
            "longer texts"
        )
    return Cooccurrences(size, rows, columns, counts, read)


def _chunks(reader: CorpusReader, window: int, seed: int) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Wordpieces in the drawn order, the document of each, and how many are seen again.

    These are the last of the chunk before: as many as may be near one of this. No document is in
    two pieces.
    """
    order = np.random.default_rng(seed).permutation(len(reader.blocks))
    ids, documents = np.empty(0, np.int64), np.empty(0, np.int64)
    seen = 0
    for number, place in enumerate(order.tolist(), 1):
        more, numbers = _read(reader, reader.blocks[place])
        ids = np.concatenate([ids, more])
        documents = np.concatenate([documents, numbers])
        is_last = number == len(order)
        while len(ids) - seen >= CHUNK_WORDPIECES or (is_last and len(ids) > seen):
            end = seen + CHUNK_WORDPIECES
            yield torch.from_numpy(ids[:end]), torch.from_numpy(documents[:end]), seen
            end = min(end, len(ids))
            seen = min(end, window)
            ids, documents = ids[end - seen :], documents[end - seen :]


def _read(reader: CorpusReader, block: Block) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    starts, documents = reader.sentences(block)
    bounds = starts[documents]
    base = reader.wordpiece_base[block.shard]
    ids = reader.wordpieces[block.shard][bounds[0] - base : bounds[-1] - base].astype(np.int64)
    first = reader.document_base[block.shard] + block.first_document
    return ids, np.repeat(first + np.arange(len(bounds) - 1), np.diff(bounds))


def _pairs_of(ids: Tensor, documents: Tensor, seen: int, window: int, vocab_size: int) -> Run:
    """The pairs of some wordpieces, added up, but those of the first `seen` with each other."""
    keys, weights = [], []
    for distance in range(1, min(window, len(ids) - 1) + 1):
        first = max(seen, distance)
        left, right = ids[first - distance : -distance], ids[first:]
        is_one = documents[first - distance : -distance] == documents[first:]
        left, right = left[is_one], right[is_one]
        keys.append(torch.minimum(left, right) * vocab_size + torch.maximum(left, right))
        # A wordpiece beside its like is near it on the one's right and on the other's left.
        same = 1.0 + (left == right).double()
        weights.append(same / distance)
    if not keys:
        return np.empty(0, np.int64), np.empty(0)
    return _added_up(torch.cat(keys), torch.cat(weights))


def _added_up(keys: Tensor, weights: Tensor) -> Run:
    """The sum for each key, keys rising."""
    keys, order = keys.sort()
    unique, counts = torch.unique_consecutive(keys, return_counts=True)
    places = torch.arange(len(unique), device=keys.device).repeat_interleave(counts)
    sums = weights.new_zeros(len(unique)).index_add_(0, places, weights[order])
    return unique.cpu().numpy(), sums.cpu().numpy()


def _merged(runs: Sequence[Run]) -> Run:
    if len(runs) == 1:
        return runs[0]
    keys = np.concatenate([keys for keys, _ in runs])
    sums = np.concatenate([sums for _, sums in runs])
    return _added_up(torch.from_numpy(keys), torch.from_numpy(sums))


def _spill(run: Run, folder: Path, number: int) -> Run:
    """The same run, on disk."""
    mapped = []
    for name, array in zip(("keys", "sums"), run, strict=True):
        path = folder / f"{name}-{number}.npy"
        np.save(path, array)
        mapped.append(np.load(path, mmap_mode="r"))
    return mapped[0], mapped[1]


def _all_merged(runs: Sequence[Run], pairs_in_memory: int, vocab_size: int) -> Run:
    """All runs as one, made of ranges of keys that fit in memory."""
    if not runs:
        return np.empty(0, np.int64), np.empty(0)
    if len(runs) == 1:
        return runs[0]
    total = sum(len(keys) for keys, _ in runs)
    num_ranges = -(-total // pairs_in_memory)
    longest = max(runs, key=lambda run: len(run[0]))[0]
    # Keys that divide the longest run evenly; the others are not far from it.
    places = np.linspace(0, len(longest), num_ranges + 1).astype(np.int64)[1:-1]
    edges = [0, *(int(longest[place]) for place in places), vocab_size**2]
    parts = []
    for low, high in itertools.pairwise(edges):
        some = []
        for keys, sums in runs:
            start, end = np.searchsorted(keys, [low, high])
            some.append((np.array(keys[start:end]), np.array(sums[start:end])))
        parts.append(_merged(some))
    return (
        np.concatenate([keys for keys, _ in parts]),
        np.concatenate([sums for _, sums in parts]),
    )
