"""Where the files of a TensorFlow checkpoint are: beside each other, or in the published zip.

```
bert_model.ckpt.index  bert_model.ckpt.data-00000-of-00001   the weights
bert_config.json  vocab.txt                                  sizes, wordpieces
```
"""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeVar

from bertsmith.errors import CheckpointError

AnyPath = TypeVar("AnyPath", bound=PurePath)

CONFIG_FILE = "bert_config.json"
VOCABULARY_FILE = "vocab.txt"

_OF_A_PREFIX = re.compile(r"(.+)\.(index|meta|data-\d{5}-of-\d{5})")
# Weights hardly shrink in a zip: the published ones to 0.9 of their size, all-zero ones to 0.001.
_MAX_RATIO = 100
_MAX_BYTES = {".index": 2**24, ".json": 2**20, ".txt": 2**26}
_MAX_DATA_BYTES = 2**36


@dataclass(frozen=True)
class CheckpointFiles:
    """The files of one checkpoint, all of which exist."""

    prefix: Path
    """What the names of the weights' files begin with."""
    config: Path
    vocabulary: Path
    names: tuple[str, ...]
    """What checkpoint, folder and archive are called, which may say whether it is cased."""


def is_tensorflow_checkpoint(path: str | Path) -> bool:
    """Whether a path is a checkpoint's prefix, one of its files, or a folder or zip with one.

    A damaged file called .zip counts as one, so that reading it says what is wrong.
    """
    path = Path(path)
    if path.is_dir():
        return any(path.glob("*.index"))
    if zipfile.is_zipfile(path):
        try:
            with _archive(path) as archive:
                return bool(_indexes(map(PurePosixPath, archive.namelist())))
        except CheckpointError:
            return path.suffix == ".zip"
    return _index_of(checkpoint_prefix(path)).is_file()


@contextmanager
def open_checkpoint(
    source: str | Path, *, config: str | Path | None = None, vocabulary: str | Path | None = None
) -> Iterator[CheckpointFiles]:
    """Find a checkpoint's files; those of a zip are unpacked for as long as the block runs.

    Args:
        source: the checkpoint's prefix (`FOLDER/bert_model.ckpt`), one of its files, the folder, or
            the zip.
        config: in place of the bert_config.json beside the checkpoint.
        vocabulary: in place of the vocab.txt beside it.

    Raises:
        CheckpointError: a file is missing, or the archive is damaged or unsafe to unpack.
    """
    source = Path(source)
    if not zipfile.is_zipfile(source):
        yield _files(source, config, vocabulary, ())
        return
    with tempfile.TemporaryDirectory(prefix="bertsmith-") as unpacked:
        try:
            names = _unpack(source, Path(unpacked))
            yield _files(Path(unpacked), config, vocabulary, names)
        except CheckpointError as error:
            raise CheckpointError(str(error).replace(unpacked, str(source))) from None


def _files(
    source: Path,
    config: str | Path | None,
    vocabulary: str | Path | None,
    names: tuple[str, ...],
) -> CheckpointFiles:
    if source.is_dir():
        index = _only(_indexes(source.iterdir()), source)
        prefix = checkpoint_prefix(index)
    else:
        prefix = checkpoint_prefix(source)
        if not _index_of(prefix).is_file():
            if source.is_file():
                raise CheckpointError(
                    f"{source} is neither of a TensorFlow checkpoint nor a zip with one; unpack "
                    "archives of other kinds and give the folder"
                )
            raise CheckpointError(
                f"{_index_of(prefix)} does not exist; a TensorFlow checkpoint is NAME.index and "
                "NAME.data-00000-of-00001, and is named by what they have in common"
            )
    return CheckpointFiles(
        prefix,
        _beside(prefix, CONFIG_FILE, config),
        _beside(prefix, VOCABULARY_FILE, vocabulary),
        names or (prefix.name, prefix.resolve().parent.name),
    )


def _beside(prefix: Path, name: str, given: str | Path | None) -> Path:
    file = prefix.with_name(name) if given is None else Path(given)
    if not file.is_file():
        raise CheckpointError(
            f"{file} does not exist; give the {name} that was published with the checkpoint, or "
            "that it was fine-tuned with"
        )
    return file


def checkpoint_prefix(path: Path) -> Path:
    """What the names of a checkpoint's files begin with, from that or from one of them."""
    found = _OF_A_PREFIX.fullmatch(path.name)
    return path.with_name(found[1]) if found else path


def _index_of(prefix: Path) -> Path:
    return prefix.parent / f"{prefix.name}.index"


def _indexes(paths: Iterable[AnyPath]) -> list[AnyPath]:
    """The index files among paths; those that start with a dot are a file system's own notes."""
    return sorted(p for p in paths if p.suffix == ".index" and not p.name.startswith("."))


def _only(indexes: list[AnyPath], source: Path) -> AnyPath:
    if not indexes:
        raise CheckpointError(
            f"{source} holds no .index file; a TensorFlow checkpoint is NAME.index and "
            "NAME.data-00000-of-00001"
        )
    if len(indexes) > 1:
        names = [str(index).removesuffix(".index") for index in indexes[:3]]
        raise CheckpointError(
            f"{source} holds {len(indexes)} checkpoints; give one of them: {', '.join(names)}"
            f"{', ...' if len(indexes) > 3 else ''}"
        )
    return indexes[0]


@contextmanager
def _archive(source: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip; whatever turns out to be wrong with it in the block is one kind of error."""
    try:
        with zipfile.ZipFile(source) as archive:
            yield archive
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{source} cannot be unpacked: {error.strerror or error}") from None
    except Exception as error:  # `zipfile` raises many kinds at damage, IndexError among them
        raise CheckpointError(
            f"{source} is damaged or not a zip that can be unpacked: {error}; copy it again from "
            "its source"
        ) from None


def _unpack(source: Path, folder: Path) -> tuple[str, ...]:
    """Unpack the checkpoint's files into a folder, by their last names; gives what it is called."""
    with _archive(source) as archive:
        members = {
            PurePosixPath(member.filename): member
            for member in archive.infolist()
            if not member.is_dir()
        }
        prefix = _prefix_of_member(members, source)
        wanted = {path: member for path, member in members.items() if _belongs(path, prefix)}
        _check_members(wanted, source, folder)
        for path, member in wanted.items():
            with archive.open(member) as packed, (folder / path.name).open("wb") as file:
                shutil.copyfileobj(packed, file, 2**20)
    return prefix.name, prefix.parent.name, source.stem


def _prefix_of_member(paths: Iterable[PurePosixPath], source: Path) -> PurePosixPath:
    paths = list(paths)
    for path in paths:
        if path.is_absolute() or ".." in path.parts or "\\" in str(path):
            raise CheckpointError(
                f"{source} has a file that would lie outside of its folder ({path}); this is none "
                "of the published archives"
            )
    index = _only(_indexes(paths), source)
    return index.with_name(index.name.removesuffix(".index"))


def _belongs(path: PurePosixPath, prefix: PurePosixPath) -> bool:
    found = _OF_A_PREFIX.fullmatch(path.name)
    is_of_prefix = found is not None and found[1] == prefix.name and found[2] != "meta"
    return path.parent == prefix.parent and (
        is_of_prefix or path.name in (CONFIG_FILE, VOCABULARY_FILE)
    )


def _check_members(
    members: Mapping[PurePosixPath, zipfile.ZipInfo], source: Path, folder: Path
) -> None:
    for path, member in members.items():
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise CheckpointError(
                f"{source}: {path} is compressed in a way (type {member.compress_type}) that no "
                "published archive is; unpack it yourself and give the folder"
            )
        limit = _MAX_BYTES.get(path.suffix, _MAX_DATA_BYTES)
        if member.file_size > min(limit, 2**20 + _MAX_RATIO * member.compress_size):
            raise CheckpointError(
                f"{source}: {path} would be unpacked from {member.compress_size:,} to "
                f"{member.file_size:,} bytes, as no file of a checkpoint is; copy the archive "
                "again from its source"
            )
    total = sum(member.file_size for member in members.values())
    free = shutil.disk_usage(folder).free
    if total > free:
        raise CheckpointError(
            f"{source} needs {total:,} bytes in {folder.parent} to be unpacked, which has "
            f"{free:,}; make room there, or unpack it yourself and give the folder"
        )
