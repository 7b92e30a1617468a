"""Vectors to a .npy file while they are being made, in memory that does not grow."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from bertsmith.atomic import write_atomically


def write_vectors(path: str | Path, vectors: Iterable[Any], size: int) -> int:
    """Write an array (N, size) of float32, whole or not at all, and return N.

    Args:
        path: `numpy.load(path, mmap_mode="r")` opens it.
        vectors: N of them, each (size,).
        size: the length of each.
    """
    path = Path(path)
    count = 0
    raw = path.with_name(f".{path.name}.vectors")

    def contents() -> Iterator[bytes]:
        nonlocal count
        # How many there are stands at the file's beginning and is known at the end.
        try:
            with raw.open("wb") as file:
                for vector in vectors:
                    file.write(np.asarray(vector, np.float32).tobytes())
                    count += 1
            yield _header(count, size)
            with raw.open("rb") as file:
                while block := file.read(2**22):
                    yield block
        finally:
            raw.unlink(missing_ok=True)

    write_atomically(path, contents())
    return count


def _header(count: int, size: int) -> bytes:
    stream = io.BytesIO()
    description = {"descr": "<f4", "fortran_order": False, "shape": (count, size)}
    npy.write_array_header_1_0(stream, description)
    return stream.getvalue()
