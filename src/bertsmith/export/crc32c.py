"""CRC-32C (Castagnoli), the checksum in TensorFlow's files, at the speed of numpy.

A checksum is linear: that of `A` and then `B` is that of `A`, moved on by the length of `B`, xor
that of `B`. So a long array is read in rows, each word of a row has a checksum of its own, and
moving all of them on by a row is a few table lookups. At the end the row is folded in half until
one word is left.

Source: RFC 3720, appendix B.4; the masking is that of TensorFlow's `crc32c.h`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

_POLYNOMIAL = 0x82F63B78
_ROW = 14
"""A row has 2^14 words: 64 KiB, which stay in the processor's cache."""
_MASK_DELTA = 0xA282EAD8


def masked_crc32c(data: bytes | NDArray[np.uint8]) -> int:
    """The checksum as TensorFlow stores it: turned by 15 bits, plus a constant."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def crc32c(data: bytes | NDArray[np.uint8]) -> int:
    """The CRC-32C of some bytes; `crc32c(b"123456789") == 0xE3069283`."""
    values = np.frombuffer(data, np.uint8)
    row_bytes = 4 << _ROW
    # Zeros before the data change nothing, so the first row takes what the others leave over. It
    # starts with the word that brings a register of zeros to ones, as the definition asks.
    first = len(values) % row_bytes
    padding = -(first + 4) % row_bytes
    head = np.concatenate([np.zeros(padding, np.uint8), _primer(), values[:first]]).view("<u4")
    words = head[: 1 << _ROW].astype(np.uint32)
    for row in head[1 << _ROW :], values[first:].view("<u4"):
        for start in range(0, len(row), 1 << _ROW):
            words = _moved(words, _ROW)
            words ^= row[start : start + (1 << _ROW)]
    for power in reversed(range(_ROW)):
        words = _moved(words[: 1 << power], power) ^ words[1 << power :]
    return int(_moved(words, 0)[0]) ^ 0xFFFFFFFF


def _moved(words: Words, power: int) -> Words:
    """The checksums of what `words` are those of, with 2^power words of zeros behind it."""
    low, high = _tables(power)
    moved: Words = low[words & 0xFFFF] ^ high[words >> 16]
    return moved


@cache
def _tables(power: int) -> tuple[Words, Words]:
    """What `_moved` makes of every lower and of every upper half of a word."""
    bits: Words = np.uint32(1) << np.arange(32, dtype=np.uint32)
    if power:
        moved = _moved(_moved(bits, power - 1), power - 1)
    else:
        moved = bits
        for _ in range(32):
            moved = moved >> np.uint32(1) ^ (moved & np.uint32(1)) * np.uint32(_POLYNOMIAL)
    return _combinations(moved[:16]), _combinations(moved[16:])


def _combinations(bits: Words) -> Words:
    """The xor of every choice among 16 words, at the place that the choice's bits make."""
    table = np.zeros(1, np.uint32)
    for word in bits:
        table = np.concatenate([table, table ^ word])
    return table


@cache
def _primer() -> NDArray[np.uint8]:
    """The four bytes after which a register that began with zeros holds ones."""
    word = 0xFFFFFFFF
    for _ in range(32):
        word = (word ^ _POLYNOMIAL) << 1 | 1 if word >> 31 else word << 1
    return np.array([word], "<u4").view(np.uint8)
