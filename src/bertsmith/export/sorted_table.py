"""Sorted tables: the files of keys and values that LevelDB began and TensorFlow took over.

```
blocks      entries, then where every 16th of them starts, then how many of these starts there are
              each block is followed by its compression (1 byte) and a masked CRC-32C (4 bytes)
index       a block whose values say where the other blocks are
footer      48 bytes: where the index is, padding, a magic number
```

Keys are sorted, and each is written as what it does not share with the one before it.

Source: `tensorflow/core/lib/io/format.cc`, `block.cc` and `table_builder.cc` of TensorFlow, read
and not copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bertsmith.errors import CheckpointError
from bertsmith.export.crc32c import masked_crc32c

# The index of BERT-large with the optimizer's slots is 0.1 MB. With these limits no damaged or
# hostile file can ask for more memory than this or more time than reading it takes.
MAX_FILE_BYTES = 16 * 2**20
_MAX_KEY_BYTES = 64 * 2**20

_FOOTER_BYTES = 48
_MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
_TRAILER_BYTES = 5
_NO_COMPRESSION = 0


class Damaged(Exception):  # noqa: N818 (it never leaves the readers, which name the file)
    """Why bytes are not what they should be."""


def read_sorted_table(file: Path) -> dict[bytes, bytes]:
    """Read all keys and values of a table, every checksum verified.

    Raises:
        CheckpointError: the file is missing, damaged, compressed or no table.
    """
    try:
        size = file.stat().st_size
        if size > MAX_FILE_BYTES:
            raise Damaged(f"it has {size:,} bytes, and no checkpoint's index has that many")
        return _entries(file.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}") from None
    except Damaged as error:
        raise CheckpointError(
            f"{file} is damaged or not the index of a TensorFlow checkpoint: {error}; copy it "
            "again from its source"
        ) from None


def read_varint(data: bytes, start: int) -> tuple[int, int]:
    """The number of up to 64 bits that starts at a place, seven bits a byte, and where it ends."""
    value = 0
    for count, byte in enumerate(data[start : start + 10]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, start + count + 1
    raise Damaged("a number in it does not end")


def _entries(data: bytes) -> dict[bytes, bytes]:
    footer = data[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or not footer.endswith(_MAGIC):
        raise Damaged("the magic number at its end is missing")
    _, end = _handle(footer, 0)  # a second index, which TensorFlow leaves empty
    index, _ = _handle(footer, end)
    entries: dict[bytes, bytes] = {}
    key_bytes = 0
    previous_key, previous_end = None, 0
    for _, value in _block_entries(_block(data, *index)):
        (offset, size), _ = _handle(value, 0)
        if offset < previous_end:
            raise Damaged("two of its blocks overlap")
        previous_end = offset + size
        for key, entry in _block_entries(_block(data, offset, size)):
            key_bytes += len(key)
            if key_bytes > _MAX_KEY_BYTES:
                raise Damaged("its keys take up more room than any checkpoint's")
            if previous_key is not None and key <= previous_key:
                raise Damaged("its keys are out of order")
            entries[key] = entry
            previous_key = key
    return entries


def _handle(data: bytes, start: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and where they end in `data`."""
    offset, start = read_varint(data, start)
    size, start = read_varint(data, start)
    return (offset, size), start


def _block(data: bytes, offset: int, size: int) -> bytes:
    end = offset + size
    if end + _TRAILER_BYTES > len(data):
        raise Damaged(f"a block of it is said to end at byte {end:,} of {len(data):,}")
    checksum = int.from_bytes(data[end + 1 : end + _TRAILER_BYTES], "little")
    if masked_crc32c(data[offset : end + 1]) != checksum:
        raise Damaged(f"the checksum of its block at byte {offset:,} is wrong")
    if data[end] != _NO_COMPRESSION:
        raise Damaged(f"a block of it is compressed (type {data[end]}), as TensorFlow writes none")
    return data[offset:end]


def _block_entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a block; its list of starts serves searching, and is passed over."""
    num_starts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * num_starts
    if len(block) < 4 or end < 0:
        raise Damaged("a block of it is too short")
    start, key = 0, b""
    while start < end:
        shared, start = read_varint(block, start)
        added, start = read_varint(block, start)
        length, start = read_varint(block, start)
        if shared > len(key) or start + added + length > end:
            raise Damaged("an entry of it is longer than its block")
        key = key[:shared] + block[start : start + added]
        value = block[start + added : start + added + length]
        start += added + length
        yield key, value
