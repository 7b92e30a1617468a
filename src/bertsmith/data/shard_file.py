"""One shard: a safetensors file of wordpieces, mapped into memory and never loaded.

The file is written here and not by the safetensors package because that one orders the metadata
at random (the same corpus must give the same bytes) and wants all tensors in memory twice. Any
reader of safetensors opens it.

Dimension key: `W` wordpieces, `S` sentences, `D` documents of the shard, `V` vocabulary size.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bertsmith.atomic import write_atomically
from bertsmith.errors import DataError

Array = npt.NDArray[Any]

FORMAT = "bertsmith-shard-1"
DTYPES: Mapping[str, np.dtype[Any]] = {"U16": np.dtype("<u2"), "U32": np.dtype("<u4")}
# Offsets are uint32 and a shard is written from memory: far more than anyone should want.
MAX_WORDPIECES = 2**31
_TENSORS = ("document_starts", "sentence_starts", "unigram_counts", "wordpieces")


def wordpiece_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest dtype of the format that holds every id."""
    return DTYPES["U16"] if vocab_size <= 2**16 else DTYPES["U32"]


def write_shard(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    """Write the four tensors of a shard atomically.

    Returns:
        The SHA-256 of the tensors' bytes in file order, which also goes into the metadata.

    Raises:
        DataError: the file cannot be written.
    """
    names = {dtype: name for name, dtype in DTYPES.items()}
    # Four-byte tensors come first, so that each starts at a multiple of its item size.
    arrays = {name: np.ascontiguousarray(tensors[name]) for name in _TENSORS}
    digest = hashlib.sha256()
    header: dict[str, Any] = {}
    end = 0
    for name, array in arrays.items():
        digest.update(array.data)
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": names[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
    checksum = digest.hexdigest()
    header["__metadata__"] = {"format": FORMAT, **metadata, "sha256": checksum}
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    write_atomically(path, [struct.pack("<Q", len(text)), text, *(a.data for a in arrays.values())])
    return checksum


class Shard:
    """A shard opened for reading; its arrays are read-only views of the mapped file.

    Making one reads the header alone. It travels to other processes as its path.

    Raises:
        DataError: the file is missing, truncated, or not a shard.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.metadata, self._layout, self._data_start = _read_header(self.path)

    def __reduce__(self) -> tuple[type[Shard], tuple[Path]]:
        return Shard, (self.path,)

    @property
    def wordpieces(self) -> Array:
        """(W,) uint16, or uint32 for more than 65,536 ids: all wordpieces end to end."""
        return self._view("wordpieces")

    @property
    def sentence_starts(self) -> Array:
        """(S + 1,) uint32: offset of each sentence's first wordpiece, and W."""
        return self._view("sentence_starts")

    @property
    def document_starts(self) -> Array:
        """(D + 1,) uint32: index of each document's first sentence, and S."""
        return self._view("document_starts")

    @property
    def unigram_counts(self) -> Array:
        """(V,) uint32: how often each id occurs."""
        return self._view("unigram_counts")

    @property
    def num_wordpieces(self) -> int:
        """W."""
        return self._length("wordpieces")

    @property
    def num_sentences(self) -> int:
        """S."""
        return self._length("sentence_starts") - 1

    @property
    def num_documents(self) -> int:
        """D."""
        return self._length("document_starts") - 1

    def verify(self) -> None:
        """Read the whole file and check what opening cannot.

        Raises:
            DataError: a byte has changed, or the offsets do not describe sentences and documents.
        """
        digest = hashlib.sha256()
        for name in _TENSORS:
            digest.update(self._view(name).data)
        if digest.hexdigest() != self.metadata.get("sha256"):
            raise DataError(
                f"{self.path} is damaged: its checksum is not the one written; {_AGAIN}"
            )
        for starts, end in (
            (self.sentence_starts, self.num_wordpieces),
            (self.document_starts, self.num_sentences),
        ):
            if starts[0] != 0 or starts[-1] != end or (starts[1:] <= starts[:-1]).any():
                raise DataError(f"{self.path} holds starts that do not rise from 0 to {end}")
        if int(self.wordpieces.max()) >= self._length("unigram_counts"):
            raise DataError(f"{self.path} holds wordpieces beyond its vocabulary")

    @cached_property
    def _bytes(self) -> Array:
        return np.memmap(self.path, np.uint8, mode="r")

    def _view(self, name: str) -> Array:
        dtype, _, start, end = self._layout[name]
        first = self._data_start
        view: Array = self._bytes[first + start : first + end].view(dtype)
        return view

    def _length(self, name: str) -> int:
        return self._layout[name][1]


_AGAIN = "delete the folder and prepare it again"
# name: (dtype, length, first byte, end byte), counted from the end of the header
_Layout = dict[str, tuple[np.dtype[Any], int, int, int]]


def _read_header(path: Path) -> tuple[dict[str, str], _Layout, int]:
    """A shard's metadata, layout, and the place in the file where the tensors start."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
            text = file.read(length) if 8 + length <= size else b""
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}; restore it, or {_AGAIN}"
        ) from None
    try:
        header = json.loads(text)
        metadata = header["__metadata__"]
        if metadata["format"] != FORMAT:
            raise ValueError(metadata["format"])
        layout = {name: _tensor_layout(header[name]) for name in _TENSORS}
    except (ValueError, KeyError, TypeError):
        raise DataError(
            f"{path} is not a shard of wordpieces, or its header is damaged; {_AGAIN}"
        ) from None
    expected = 8 + length + layout["wordpieces"][3]
    if size != expected:
        raise DataError(
            f"{path} is truncated or damaged: it has {size} bytes and its header says {expected}; "
            f"{_AGAIN}"
        )
    return metadata, layout, 8 + length


def _tensor_layout(entry: Mapping[str, Any]) -> tuple[np.dtype[Any], int, int, int]:
    dtype = DTYPES[entry["dtype"]]
    (length,) = entry["shape"]
    start, end = entry["data_offsets"]
    if length < 1 or start < 0 or end - start != length * dtype.itemsize:
        raise ValueError(entry)
    return dtype, length, start, end
