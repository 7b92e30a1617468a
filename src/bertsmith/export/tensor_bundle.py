"""Tensor bundles: TensorFlow's checkpoints on disk, read without TensorFlow.

```
NAME.index                  a sorted table: "" → how many data files there are and the byte order,
                              a tensor's name → its type, shape, place, size and checksum
NAME.data-00000-of-00001    the tensors' bytes
```

The values of the table are protocol buffers, of which only the few fields read here matter.

Source: `tensor_bundle.proto`, `tensor_shape.proto` and `types.proto` of TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bertsmith.errors import CheckpointError
from bertsmith.export.crc32c import masked_crc32c
from bertsmith.export.sorted_table import Damaged, read_sorted_table, read_varint

# TensorFlow's number of a type → its name and what its bytes are read as. numpy has no bfloat16.
_TYPES: Mapping[int, tuple[str, str]] = {
    1: ("float32", "<f4"),
    2: ("float64", "<f8"),
    3: ("int32", "<i4"),
    9: ("int64", "<i8"),
    14: ("bfloat16", "<u2"),
    19: ("float16", "<f2"),
}
_BFLOAT16 = 14
# The newest version of the format, and the only one there is.
_VERSION = 1
_MAX_RANK = 8
_MAX_SHARDS = 99_999
_MAX_NAME = 1000
# The first byte of the keys under which the parts of a partitioned tensor stand.
_SLICE_KEY = b"\0"

# The fields of a message: number → its values in the order they came, numbers or bytes.
Fields = dict[int, list[Any]]


@dataclass(frozen=True)
class Entry:
    """What the index says of a tensor; nothing of it has been read yet."""

    type_number: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int
    is_partitioned: bool

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """Read a BundleEntryProto."""
        fields = _fields(message)
        dimensions = _all(_fields(_last(fields, 2, b"")), 2, b"")
        return cls(
            type_number=_last(fields, 1, 0),
            shape=tuple(_last(_fields(dimension), 1, 0) for dimension in dimensions),
            shard=_last(fields, 3, 0),
            offset=_last(fields, 4, 0),
            size=_last(fields, 5, 0),
            checksum=_last(fields, 6, 0),
            is_partitioned=7 in fields,
        )


class TensorBundle:
    """The tensors of a checkpoint by name; each is read from disk when it is asked for.

    Args:
        prefix: the path of the files without `.index` and `.data-00000-of-00001`.

    Raises:
        CheckpointError: a file is missing or damaged, or tensors lie outside their file or one
            over the other. Opening checks all that the index says; the tensors' own bytes are
            checked by `read`.
    """

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self._index = prefix.with_name(f"{prefix.name}.index")
        table = read_sorted_table(self._index)
        num_shards = self._read_header(table)
        self.entries: dict[str, Entry] = {}
        places: dict[int, list[tuple[int, int, str]]] = {}
        for key, message in table.items():
            if not key:
                continue
            is_slice = key.startswith(_SLICE_KEY)
            name = "a part of a tensor" if is_slice else self._name(key)
            entry = self._parse(name, message)
            if not entry.is_partitioned:
                if entry.shard >= num_shards:
                    raise self._damaged(
                        name, f"is in data file {entry.shard}, and there are {num_shards}"
                    )
                places.setdefault(entry.shard, []).append((entry.offset, entry.size, name))
            if not is_slice:
                self.entries[name] = entry
        self._files = {shard: self._shard_file(shard, num_shards) for shard in sorted(places)}
        for shard, found in places.items():
            self._check_places(self._files[shard], sorted(found))

    def read(self, name: str) -> NDArray[Any]:
        """A tensor of `entries`, its checksum verified; bfloat16 comes as the same float32.

        Raises:
            CheckpointError: its bytes are damaged, or its type is none that BERT's weights have.
        """
        entry = self.entries[name]
        if entry.is_partitioned:
            raise CheckpointError(
                f"{self._index}: {name} was saved in parts by a partitioned variable, which cannot "
                "be read; save the checkpoint again without a partitioner"
            )
        if entry.type_number not in _TYPES:
            names = ", ".join(type_name for type_name, _ in _TYPES.values())
            raise CheckpointError(
                f"{self._index}: {name} has TensorFlow's type number {entry.type_number}; the "
                f"types that can be read are {names}"
            )
        dtype = np.dtype(_TYPES[entry.type_number][1])
        size = math.prod(entry.shape) * dtype.itemsize
        if len(entry.shape) > _MAX_RANK or not 0 < size == entry.size:
            raise self._damaged(
                name,
                f"cannot be {entry.size:,} bytes of {_TYPES[entry.type_number][0]} in the shape "
                f"{_short(entry.shape)}",
            )
        file = self._files[entry.shard]
        data = self._bytes(file, entry)
        if len(data) != entry.size or masked_crc32c(data) != entry.checksum:
            raise CheckpointError(
                f"{file}: the checksum of {name} is wrong, so its bytes are damaged; copy the "
                "file again from its source"
            )
        array = data.view(dtype).reshape(entry.shape)
        if entry.type_number == _BFLOAT16:
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array

    def _bytes(self, file: Path, entry: Entry) -> NDArray[np.uint8]:
        try:
            return np.fromfile(file, np.uint8, count=entry.size, offset=entry.offset)
        except OSError as error:
            raise CheckpointError(f"{file} cannot be read: {error.strerror}") from None

    def _read_header(self, table: Mapping[bytes, bytes]) -> int:
        """The number of data files."""
        if b"" not in table:
            raise CheckpointError(
                f"{self._index} lacks the header of a checkpoint; copy it again from its source"
            )
        try:
            header = _fields(table[b""])
            num_shards: int = _last(header, 1, 0)
            is_big_endian = _last(header, 2, 0) != 0
            oldest_reader = _last(_fields(_last(header, 3, b"")), 2, 0)
        except Damaged as error:
            raise self._damaged("the header", f"cannot be read: {error}") from None
        if is_big_endian:
            raise CheckpointError(
                f"{self._index} was written by a big-endian computer, whose checkpoints cannot be "
                "read; save it again on another"
            )
        if oldest_reader > _VERSION:
            raise CheckpointError(
                f"{self._index} needs a reader of version {oldest_reader} of the format, and this "
                f"is one of version {_VERSION}; save it with an older TensorFlow"
            )
        if not 1 <= num_shards <= _MAX_SHARDS:
            raise self._damaged("the header", f"counts {num_shards} data files")
        return num_shards

    def _name(self, key: bytes) -> str:
        """A key as text that can be printed."""
        name = key.decode("utf-8", "replace")
        if len(name) > _MAX_NAME or not name.isprintable() or "\ufffd" in name:
            raise self._damaged("a tensor", f"has a name that is none ({name[:40]!a})")
        return name

    def _parse(self, name: str, message: bytes) -> Entry:
        try:
            return Entry.parse(message)
        except Damaged as error:
            raise self._damaged(name, f"has an entry that cannot be read: {error}") from None

    def _shard_file(self, shard: int, num_shards: int) -> Path:
        file = self.prefix.with_name(f"{self.prefix.name}.data-{shard:05}-of-{num_shards:05}")
        if not file.is_file():
            raise CheckpointError(
                f"{file} does not exist; {self._index.name} has tensors in it, so copy all files "
                "of the checkpoint into one folder"
            )
        return file

    def _check_places(self, file: Path, places: list[tuple[int, int, str]]) -> None:
        available = file.stat().st_size
        previous_end = 0
        for offset, size, name in places:
            if offset + size > available:
                raise CheckpointError(
                    f"{file} has {available:,} bytes, and {name} is said to end at byte "
                    f"{offset + size:,}; the file is cut short, so copy it again from its source"
                )
            if size and offset < previous_end:
                raise self._damaged(name, "lies over another tensor")
            previous_end = max(previous_end, offset + size)

    def _damaged(self, what: str, reason: str) -> CheckpointError:
        return CheckpointError(
            f"{self._index} is damaged: {what} {reason}; copy it again from its source"
        )


def _fields(message: bytes) -> Fields:
    """The fields of a protocol buffer: numbers for wire types 0, 1 and 5, bytes for 2."""
    fields: Fields = {}
    for number, value in _walk(message):
        fields.setdefault(number, []).append(value)
    return fields


def _walk(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    start = 0
    while start < len(message):
        tag, start = read_varint(message, start)
        wire_type = tag & 7
        if wire_type == 0:
            value, start = read_varint(message, start)
            yield tag >> 3, value
            continue
        if wire_type == 2:
            length, start = read_varint(message, start)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise Damaged(f"a field has the wire type {wire_type}")
        end = start + length
        if end > len(message):
            raise Damaged("a field is longer than its message")
        content = message[start:end]
        yield tag >> 3, content if wire_type == 2 else int.from_bytes(content, "little")
        start = end


def _all(fields: Fields, number: int, example: Any) -> list[Any]:
    """The values of a field that may occur often, each of the type of an example."""
    values = fields.get(number, [])
    if any(type(value) is not type(example) for value in values):
        raise Damaged(f"field {number} has another type")
    return values


def _last(fields: Fields, number: int, default: Any) -> Any:
    """A field that occurs once, of the type of its default, which stands where it is left out."""
    return [default, *_all(fields, number, default)][-1]


def _short(shape: tuple[int, ...]) -> str:
    more = ", ..." if len(shape) > _MAX_RANK else ""
    return f"({', '.join(map(str, shape[:_MAX_RANK]))}{more})"
