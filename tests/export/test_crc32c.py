"""The checksum of TensorFlow's files."""

from __future__ import annotations

import numpy as np
import pytest

from bertsmith.export.crc32c import crc32c, masked_crc32c

ROW = 4 << 14


def bit_by_bit(data: bytes) -> int:
    """The definition: RFC 3720's polynomial, reflected, register of ones, complemented."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
    ],
)
def test_it_gives_the_values_of_rfc_3720(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, ROW - 4, ROW - 3, ROW, ROW + 1, 2 * ROW - 1])
def test_it_is_the_definition_at_every_length_around_a_row(size: int) -> None:
    data = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    assert crc32c(data) == crc32c(data.tobytes()) == bit_by_bit(data.tobytes())


def test_the_masked_form_turns_by_15_bits_and_adds() -> None:
    crc = crc32c(b"foo")
    turned = int(f"{crc:032b}"[-15:] + f"{crc:032b}"[:-15], 2)
    assert masked_crc32c(b"foo") == (turned + 0xA282EAD8) % 2**32
