"""Learns wordpieces from counted words by merging, again and again, the most frequent pair.

This is the procedure of byte-pair encoding with WordPiece's marks (Sennrich et al. 2016), which is
what other public trainers of BERT vocabularies do too; Google's own was never released. Nothing
depends on the order of the words or on chance: of pairs that are equally frequent, the one whose
pieces are older merges first. Counts are 64 bits wide.

All words stand end to end in arrays, -1 between them, and one merge rewrites all its places at
once. Dimension key: `P` places, the characters of all distinct words and the marks between them.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bertsmith.text.vocabulary import CONTINUATION

Places = NDArray[np.int64]

_BOUNDARY, _GONE = -1, -2
_SHIFT = 32  # a pair of ids as one number: left << 32 | right


class Merger:
    """The words as sequences of pieces, and the pairs in them.

    Args:
        counts: word to how often it occurs.
        alphabet: pieces of one character, in the order of their ids; each character of the words
            must be there as it stands at a word's start and, with ##, where it continues one.
    """

    def __init__(self, counts: Mapping[str, int], alphabet: Sequence[str]) -> None:
        self.pieces = list(alphabet)
        self.last_count = 0
        """How often the pair of the latest merge occurred."""
        self._ids = {piece: index for index, piece in enumerate(self.pieces)}
        self._lay_out(counts)
        self._pair_counts: dict[int, int] = {}
        self._pair_places: dict[int, list[Places]] = {}
        self._heap: list[tuple[int, int]] = []  # may hold counts that have fallen since
        left = np.flatnonzero((self._piece[:-1] >= 0) & (self._piece[1:] >= 0))
        self._add_pairs(left, left + 1)

    def merge_until(self, size: int, *, min_count: int) -> None:
        """Merge until there are `size` pieces or no pair occurs `min_count` times."""
        while len(self.pieces) < size and self._heap:
            negative, pair = heapq.heappop(self._heap)
            count = self._pair_counts.get(pair, 0)
            if count < -negative:
                if count >= min_count:
                    heapq.heappush(self._heap, (-count, pair))
            elif count == -negative:
                if count < min_count:
                    return
                self.last_count = count
                self._merge(pair)

    def _lay_out(self, counts: Mapping[str, int]) -> None:
        """(P,) arrays: piece, weight (the word's count), and the places before and after."""
        lengths = np.fromiter(map(len, counts), np.int64, len(counts))
        weights = np.fromiter(counts.values(), np.int64, len(counts))
        ends = np.cumsum(lengths + 1)
        codes = np.frombuffer("\n".join([*counts, ""]).encode("utf-32-le"), np.uint32)
        self._piece = self._first_pieces(codes, ends - 1, ends - 1 - lengths)
        self._weight = np.repeat(weights, lengths + 1)
        self._after = np.arange(1, len(codes) + 1)
        self._before = np.arange(-1, len(codes) - 1)  # -1 is the last place, a boundary
        self._is_merging = np.zeros(len(codes), bool)

    def _first_pieces(
        self, codes: NDArray[np.uint32], boundaries: Places, starts: Places
    ) -> NDArray[np.int64]:
        distinct, index = np.unique(codes, return_inverse=True)
        characters = [chr(code) for code in distinct.tolist()]
        at_start = np.array([self._ids.get(c, _GONE) for c in characters], np.int64)
        inside = np.array([self._ids.get(CONTINUATION + c, _GONE) for c in characters], np.int64)
        pieces = inside[index]
        pieces[starts] = at_start[index[starts]]
        pieces[boundaries] = _BOUNDARY
        return pieces

    def _merge(self, pair: int) -> None:
        """Put a pair together wherever it stands, and count the pairs that come and go by it.

        The words hug (10 times), hugs (5) and bug (4), and the pair ##u ##g, `|` a boundary and
        `.` a place that is gone:

            place     0   1   2   3  4   5   6   7  8  9   10  11  12
            before    h  ##u ##g  |  h  ##u ##g ##s |  b  ##u ##g  |
            after     h  ##ug .   |  h  ##ug .  ##s |  b  ##ug .   |

            at        1, 5, 10     the left pieces of the pair
            second    2, 6, 11     the right ones
            left      0, 4, 9      what stands before the pair
            right     3, 7, 12     what stands after it

            pairs that go      h ##u (15), b ##u (4), ##g ##s (5)
            pairs that come    h ##ug (15), b ##ug (4), ##ug ##s (5)

        Places keep their numbers: the merged piece stands where the left one stood, and `_after`
        and `_before` lead past what is gone. Pairs with a boundary are none and are not counted.
        """
        left_id, right_id = pair >> _SHIFT, pair & (2**_SHIFT - 1)
        del self._pair_counts[pair]
        at = np.sort(np.concatenate(self._pair_places.pop(pair)))
        at = at[(self._piece[at] == left_id) & (self._piece[self._after[at]] == right_id)]
        if left_id == right_id:
            at = self._without_overlaps(at)
        new_id = self._id_of(left_id, right_id)
        second = self._after[at]
        left, right = self._before[at], self._after[second]
        # Where two merging pairs touch, the pair between them is the left one's right neighbour
        # and the right one's left neighbour, and must be counted once.
        self._is_merging[at] = True
        apart = ~self._is_merging[right]
        self._is_merging[at] = False
        self._remove_pairs(left, at)
        self._remove_pairs(second[apart], right[apart])
        self._piece[at] = new_id
        self._piece[second] = _GONE
        self._after[at] = right
        self._before[right] = at
        self._add_pairs(
            np.concatenate([self._before[at], at[apart]]), np.concatenate([at, right[apart]])
        )

    def _id_of(self, left_id: int, right_id: int) -> int:
        """The merged piece; it may be there already, put together in another way."""
        merged = self.pieces[left_id] + self.pieces[right_id].removeprefix(CONTINUATION)
        if merged not in self._ids:
            self._ids[merged] = len(self.pieces)
            self.pieces.append(merged)
        return self._ids[merged]

    def _without_overlaps(self, at: Places) -> Places:
        """Of a run such as aaa, whose pairs overlap, the pairs that merge from the left."""
        kept: list[int] = []
        taken = -1
        for place, after in zip(at.tolist(), self._after[at].tolist(), strict=True):
            if place != taken:
                kept.append(place)
                taken = after
        return np.array(kept, np.int64)

    def _pairs(self, left: Places, right: Places) -> tuple[NDArray[np.int64], Places]:
        """The pairs at these places as numbers, and which places hold two pieces."""
        first, second = self._piece[left], self._piece[right]
        inside = (first >= 0) & (second >= 0)
        return first[inside] << _SHIFT | second[inside], left[inside]

    def _remove_pairs(self, left: Places, right: Places) -> None:
        pairs, places = self._pairs(left, right)
        for pair, start, end, order in _groups(pairs):
            if pair in self._pair_counts:
                self._pair_counts[pair] -= int(self._weight[places[order[start:end]]].sum())

    def _add_pairs(self, left: Places, right: Places) -> None:
        pairs, places = self._pairs(left, right)
        for pair, start, end, order in _groups(pairs):
            here = places[order[start:end]]
            count = self._pair_counts.get(pair, 0) + int(self._weight[here].sum())
            self._pair_counts[pair] = count
            self._pair_places.setdefault(pair, []).append(here)
            heapq.heappush(self._heap, (-count, pair))


def _groups(keys: NDArray[np.int64]) -> list[tuple[int, int, int, NDArray[np.intp]]]:
    """Each distinct key, and where in the sorting order its occurrences start and end."""
    if not len(keys):
        return []
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    ends = np.r_[starts[1:], len(keys)]
    distinct = zip(ordered[starts].tolist(), starts.tolist(), ends.tolist(), strict=True)
    return [(key, start, end, order) for key, start, end in distinct]
