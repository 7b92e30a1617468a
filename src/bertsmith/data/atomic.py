"""Writing a file so that it is there whole or not at all, whatever kills the program."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bertsmith.errors import DataError


def write_atomically(path: Path, parts: Iterable[Any]) -> None:
    """Write parts (bytes, or C-contiguous arrays) one after the other as the file `path`.

    The bytes go to a hidden neighbour first and reach the disk before it is renamed, so a reader
    sees the old file or the new one.

    Raises:
        DataError: the disk is full or the folder cannot be written; the neighbour is removed.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise DataError(
            f"{path} cannot be written: {error.strerror or error}; "
            "make room or choose another folder, then run the same command again"
        ) from None


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last; a folder cannot be opened for that on every system."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
