"""How many lines of a corpus are repeated, in bounded memory.

Counting distinct lines exactly would need all of them in memory. Instead the lines are sampled by
their hash: all occurrences of a line are in the sample or none, so its share of repeats estimates
the corpus's. The sample begins as everything and is halved whenever it has more distinct lines
than fit (distinct sampling; Gibbons 2001), and it does not depend on the order of the lines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]

# The estimate of the share is then within about 0.002 of the truth; 4 MB.
MAX_LINES = 2**18


def hash_lines(lines: Iterable[str]) -> tuple[Hashes, Counts]:
    """Distinct 64-bit hashes of lines, rising, and how many lines have each."""
    digests = b"".join(hashlib.blake2b(line.encode(), digest_size=8).digest() for line in lines)
    hashes, counts = np.unique(np.frombuffer(digests, "<u8"), return_counts=True)
    return hashes, counts.astype(np.int64)


class RepeatedLines:
    """A running sample of lines; its three attributes are its whole state."""

    def __init__(
        self, hashes: Hashes | None = None, counts: Counts | None = None, halvings: int = 0
    ):
        self.hashes = np.zeros(0, np.uint64) if hashes is None else hashes
        """(N,) distinct lines of the sample, rising."""
        self.counts = np.zeros(0, np.int64) if counts is None else counts
        """(N,) how often each has occurred."""
        self.halvings = halvings
        """How often the sample was halved; 0: it is all lines, and the share exact."""

    def add(self, hashes: Hashes, counts: Counts) -> None:
        """Take in what `hash_lines` returns."""
        sampled = self._is_sampled(hashes)
        merged = np.concatenate([self.hashes, hashes[sampled]])
        self.hashes, places = np.unique(merged, return_inverse=True)
        weights = np.concatenate([self.counts, counts[sampled]])
        self.counts = np.zeros(len(self.hashes), np.int64)
        np.add.at(self.counts, places, weights)
        while len(self.hashes) > MAX_LINES:
            self.halvings += 1
            sampled = self._is_sampled(self.hashes)
            self.hashes, self.counts = self.hashes[sampled], self.counts[sampled]

    @property
    def share(self) -> float:
        """Lines that have occurred before as a share of all lines, 0 to 1."""
        total = int(self.counts.sum())
        return (total - len(self.hashes)) / total if total else 0.0

    def _is_sampled(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        is_sampled: npt.NDArray[np.bool_] = hashes % np.uint64(2**self.halvings) == 0
        return is_sampled
