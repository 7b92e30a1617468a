"""Writing files and folders that are there whole or not at all, whatever kills the program."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bertsmith.errors import DataError

# What has not been touched for so long nobody is writing.
_ABANDONED_SECONDS = 3600


def write_atomically(path: Path, parts: Iterable[Any]) -> None:
    """Write parts (bytes, or C-contiguous arrays) one after the other as the file `path`.

    The bytes go to a hidden neighbour first and reach the disk before it is renamed, so a reader
    sees the old file or the new one. A link stays, and the file that it leads to is replaced.

    Raises:
        DataError: the disk is full or the folder cannot be written, and the neighbour is removed;
            or there is something else than a file.
    """
    path = path.resolve() if path.is_symlink() else path
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is not a regular file; choose another name")
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        flush_to_disk(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise _cannot_write(path, error) from None
        raise


@contextlib.contextmanager
def atomic_folder(
    path: Path, *, key_file: str | None = None, outdated: Iterable[str] = ()
) -> Iterator[Path]:
    """Give a hidden neighbour to write into, and put its files in place when the block succeeds.

    A folder that is new appears whole, by one rename. In one that exists each file is replaced
    by its successor in one step, and files that have none stay. After an error nothing is
    changed and the neighbour is gone.

    Args:
        path: the folder.
        key_file: without which nobody opens the folder. It goes before anything else is replaced
            and comes back last, so that what is half old and half new is refused.
        outdated: names of files and folders that go where they have no successor.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    path = path.resolve()
    if not path.name or path.is_file():
        raise DataError(f"{path} cannot be a folder of results; choose another")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    _remove_abandoned(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        yield partial
        for file in partial.iterdir():
            flush_to_disk(file)
        if path.exists():
            _replace(path, partial, key_file, outdated)
        else:
            partial.replace(path)
        flush_to_disk(path)
        flush_to_disk(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace(path: Path, partial: Path, key_file: str | None, outdated: Iterable[str]) -> None:
    """Move the files of one folder to the place of those of another."""
    names = sorted(file.name for file in partial.iterdir())
    others = [name for name in names if name != key_file]
    if key_file is not None:
        (path / key_file).unlink(missing_ok=True)
        flush_to_disk(path)
    for name in others:
        if (partial / name).is_dir():  # which cannot take the place of another
            shutil.rmtree(path / name, ignore_errors=True)
        (partial / name).replace(path / name)
    for name in set(outdated) - set(names):
        if (path / name).is_dir() and not (path / name).is_symlink():
            shutil.rmtree(path / name)
        else:
            (path / name).unlink(missing_ok=True)
    if key_file in names:
        flush_to_disk(path)
        (partial / key_file).replace(path / key_file)


def _remove_abandoned(path: Path) -> None:
    """Remove what processes that were killed have left of the same folder."""
    for partial in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        process = partial.name.removesuffix(".partial").rpartition(".")[2]
        # Another machine may write to the same disk, whose processes are not seen from here.
        is_old = time.time() - partial.stat().st_mtime > _ABANDONED_SECONDS
        if process.isdecimal() and is_old and not _is_running(int(process)):
            shutil.rmtree(partial, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _cannot_write(path: Path, error: OSError) -> DataError:
    return DataError(
        f"{path} cannot be written: {error.strerror or error}; "
        "make room or choose another folder, then run the same command again"
    )


def flush_to_disk(path: Path) -> None:
    """Make what was written survive a loss of power; not every system can do it for folders."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
