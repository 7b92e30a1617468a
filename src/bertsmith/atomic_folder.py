"""Writing a folder of files so that nobody ever finds it half-written."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a hidden neighbour to write into, and put its files in place when the block succeeds.

    A folder that is new appears whole, by one rename. In one that exists each file is replaced
    by its successor in one step, and files that have none stay. After an error nothing is
    changed and the neighbour is gone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        for file in partial.iterdir():
            _flush_to_disk(file)
        if path.exists():
            for file in sorted(partial.iterdir()):
                file.replace(path / file.name)
        else:
            partial.replace(path)
        _flush_to_disk(path)
        _flush_to_disk(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _flush_to_disk(path: Path) -> None:
    """Make what was written survive a loss of power; not every system can do it for folders."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
