"""Which files a list of paths, globs and folders means, in an order that does not change."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bertsmith.data.compression import file_kind
from bertsmith.errors import DataError

KINDS = (".txt", ".jsonl", ".parquet")
_READABLE = "a .txt, .jsonl or .parquet file, as it is or as .gz, .xz or .zst"


@dataclass(frozen=True)
class SourceFile:
    """A file of text, and what tells whether it has changed since."""

    path: str
    size_bytes: int
    modified_ns: int


def find_sources(sources: Sequence[str | Path]) -> list[SourceFile]:
    """The files meant by paths, globs and folders, in the order given, sorted within each.

    A folder means every readable file below it that is not hidden. A file that is named twice is
    taken once.

    Raises:
        DataError: one does not exist, matches nothing, or is not a kind of file that can be read.
    """
    if isinstance(sources, str | Path):
        sources = [sources]
    found: dict[Path, SourceFile] = {}
    for source in sources:
        try:
            for file in _files(source):
                status = file.stat()
                entry = SourceFile(str(file), status.st_size, status.st_mtime_ns)
                found.setdefault(file.resolve(), entry)
        except OSError as error:
            raise DataError(f"{source} cannot be read: {error.strerror or error}") from None
    return list(found.values())


def _files(source: str | Path) -> Iterator[Path]:
    path = Path(source)
    if path.is_dir():
        yield from _files_of_folder(path)
    elif path.exists():
        if file_kind(path)[0] not in KINDS:
            raise DataError(f"{path} is not a kind of file that can be read; give {_READABLE}")
        yield path
    elif glob.has_magic(str(source)):
        # pathlib takes no glob that is an absolute path.
        matches = [Path(match) for match in sorted(glob.glob(str(source), recursive=True))]  # noqa: PTH207
        files = [match for match in matches if match.is_file() and file_kind(match)[0] in KINDS]
        if not files:
            raise DataError(f"the glob {source} matches nothing that can be read ({_READABLE})")
        yield from files
    else:
        raise DataError(f"{path} does not exist; give {_READABLE}, a glob or a folder")


def _files_of_folder(folder: Path) -> Iterator[Path]:
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if file_kind(file)[0] in KINDS
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and file.is_file()
    ]
    if not files:
        raise DataError(f"the folder {folder} holds nothing that can be read ({_READABLE})")
    yield from files
