"""`RecordSource`: where records come from: a file, or a data set that has a name.

A data set with a name is read from a folder of its files as published, or else from Hugging Face's
hub by the package `datasets`, which is imported only then.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from bertsmith.data.columns import label_name, texts_of
from bertsmith.data.compression import SUFFIXES, file_kind
from bertsmith.data.layout import Layout
from bertsmith.data.named_sets import NamedSet, is_name, named_set
from bertsmith.data.record import Record
from bertsmith.data.records import read_records
from bertsmith.errors import ConfigError, DataError

MAX_CELLS_SHOWN = 5


@dataclass(frozen=True)
class RecordSource:
    """A file of records, or a data set.

    Args:
        where: a file, "-" for standard input, or a name of `bertsmith.data.named_sets`.
        layout: what the user says about a file.
        folder: where the files of a data set lie; None: they come from the hub.
        split: the part of a data set to read; None: the one that it is read for.

    Raises:
        ConfigError: the name or the split is none; or there is a layout for a data set, whose
            files are known, or a folder or split for a file.
    """

    where: str | Path
    layout: Layout | None = None
    folder: Path | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        named = self.named
        if named is None:
            if self.folder is not None or self.split is not None:
                raise ConfigError(
                    f"{self.where} is not the name of a data set, and data.folder and data.split "
                    "are for those; leave them away, or give a name such as glue:mrpc"
                )
        elif self.layout is not None:
            raise ConfigError(
                f"{self.where} is a data set whose layout is known; leave data.text and its like "
                "away, or give the file in place of the name"
            )
        elif self.split is not None:
            self._check_split(named, self.split)

    @property
    def named(self) -> NamedSet | None:
        """The data set; None for a file."""
        return named_set(str(self.where)) if is_name(str(self.where)) else None

    def read(
        self, split: str, *, on_open: Callable[[BinaryIO], None] | None = None
    ) -> Iterator[Record]:
        """Stream the records of a file, or of the source's own split, or else of this one.

        Args:
            split: of a data set.
            on_open: as for `read_records`.

        Raises:
            ConfigError: the data set has no such split.
            DataError: with file and line, for what cannot be read.
        """
        named = self.named
        if named is None:
            return read_records(self.where, layout=self.layout, on_open=on_open)
        split = self.split or split
        self._check_split(named, split)
        name = str(self.where)
        records = (
            _read_hub(name, named, split)
            if self.folder is None
            else _read_folder(name, named, split, self.folder, on_open)
        )
        # By `map`, which goes on after a record that cannot be read.
        if named.task == "multiple_choice":
            return map(_with_place, records)
        return map(partial(_with_label_name, numbers=named.numbers), records)

    def file(self, split: str) -> Path | None:
        """The file that `read` reads; None for standard input and for the hub.

        Raises:
            DataError: the folder of a data set has no such file.
        """
        named = self.named
        if named is not None:
            split = self.split or split
            return (
                None if self.folder is None else _find(str(self.where), named, split, self.folder)
            )
        return Path(self.where) if Path(self.where).is_file() else None

    def header_remark(self) -> str | None:
        """What to say of a table's first row where it counts as the header of numbered columns.

        Who gives columns by number may have a file without header, whose first record happens to
        hold a well-known name. None where there is nothing to say, and for standard input.
        """
        layout = self.layout
        if layout is None or not layout.has_numbers or not Path(self.where).is_file():
            return None
        kind = layout.format or file_kind(Path(self.where))[0].removeprefix(".")
        if layout.header is not None or kind not in ("csv", "tsv"):
            return None
        plain = Layout(format=layout.format, header=False)
        with contextlib.suppress(DataError, StopIteration):  # reading it says what is wrong
            first = next(read_records(self.where, layout=plain))
            cells = [str(cell) for cell in first.fields.values()]
            if layout.are_header(cells):
                shown = ", ".join(map(repr, cells[:MAX_CELLS_SHOWN]))
                return (
                    f"{first.location} was taken for the header ({shown}); say data.header=false "
                    "if it is a record"
                )
        return None

    def like(self, layout: Layout) -> RecordSource:
        """The same source; a file about which the user says nothing has this layout."""
        if self.named is not None or self.layout is not None:
            return self
        return dataclasses.replace(self, layout=layout)

    def with_conll(self, suffixes: tuple[str, ...]) -> RecordSource:
        """The same source; a file with one of these suffixes is CoNLL's."""
        if self.named is not None:
            return self
        layout = dataclasses.replace(self.layout or Layout(), conll_suffixes=suffixes)
        return dataclasses.replace(self, layout=layout)

    @property
    def columns(self) -> dict[str, str]:
        """The columns that the user, or a data set, has named, for a model to remember."""
        layout = self.layout if self.named is None else self.named.layout
        return {} if layout is None else layout.named

    def measured(self) -> dict[str, RecordSource]:
        """What to measure a model on, by what the names of its figures begin with.

        `{"": source}`, and of MNLI, which has two dev sets, `"mismatched_"` too.
        """
        named = self.named
        if named is None or self.split is not None:
            return {"": self}
        return {
            split.removeprefix("dev_") + "_" if split != "dev" else "": dataclasses.replace(
                self, split=split
            )
            for split in named.files
            if split.startswith("dev")
        }

    def _check_split(self, named: NamedSet, split: str) -> None:
        if split not in named.files:
            raise ConfigError(
                f"{self.where} has no {split} split; those it has are {', '.join(named.files)}, "
                "and data.split=SPLIT chooses one"
            )


def _read_folder(
    name: str,
    named: NamedSet,
    split: str,
    folder: Path,
    on_open: Callable[[BinaryIO], None] | None,
) -> Iterator[Record]:
    path = _find(name, named, split, folder)
    layout = named.layout
    if split.startswith("test"):  # whose answers must be complete
        layout = dataclasses.replace(layout, skips_broken_rows=False)
    records = read_records(path, layout=layout, on_open=on_open)
    splits = named.divided.get(path.name.removesuffix(file_kind(path)[1]))
    if splits is None:
        return records
    return filter(lambda record: _part(record, splits) == split, records)


def _find(name: str, named: NamedSet, split: str, folder: Path) -> Path:
    """The file of a split, in the folder or in one inside it that is called as the data set."""
    if not folder.is_dir():
        raise DataError(
            f"data.folder ({folder}) is not a folder; give the one that holds the files of {name}"
        )
    inside = [each for each in sorted(folder.iterdir()) if _plain(each.name) in named.folders]
    places = (*inside, folder)
    for place in places:
        for file in named.files[split]:
            path = _variant(place, file)
            if path is not None and not _is_divided_already(place, file, named):
                return path
    usual = [file for file in named.files[split] if not _is_divided_already(folder, file, named)]
    files = " or ".join(usual)
    own = "" if inside else f", nor a folder named {' or '.join(named.folders)} that could have it"
    raise DataError(
        f"{places[0]} has no {files} for the {split} split of {name}{own}; put the published files "
        "there"
    )


def _variant(place: Path, file: str) -> Path | None:
    """The file, compressed or not."""
    paths = (place / f"{file}{suffix}" for suffix in ("", *SUFFIXES))
    return next((path for path in paths if path.is_file()), None)


def _is_divided_already(place: Path, file: str, named: NamedSet) -> bool:
    """Whether a file of several splits stands beside one of a single split, which it repeats."""
    single = {each for split in named.divided.get(file, ()) for each in named.files[split]}
    return any(_variant(place, each) is not None for each in single - {file})


def _plain(name: str) -> str:
    """`SST-2` and `sst2` are one name."""
    return "".join(filter(str.isalnum, name.lower()))


def _part(record: Record, splits: tuple[str, ...]) -> str:
    """The split that a record of a file of several belongs to, by its text: a tenth to each.

    `train`, the first, has the rest. Records of one text come into one split.
    """
    text, _ = texts_of(record)
    tenth = hashlib.sha256(text.encode()).digest()[0] % 10 + 1
    return splits[tenth] if tenth < len(splits) else splits[0]


def _read_hub(name: str, named: NamedSet, split: str) -> Iterator[Record]:
    instead = "give the folder of its files with data.folder=FOLDER"
    if named.hub is None or split not in named.hub_splits:
        raise DataError(f"the {split} split of {name} is not taken from the hub; {instead}")
    try:
        import datasets
    except ImportError:
        raise DataError(
            f"{name} comes from the hub by the package datasets, which is not installed; "
            f"`pip install bertsmith[hub-data]`, or {instead}"
        ) from None
    path, part = named.hub
    hub_split = named.hub_splits[split]
    try:
        with _without_talk():
            rows: Iterable[Mapping[str, Any]] = datasets.load_dataset(path, part, split=hub_split)
    # What the package raises without a network or for a data set that is not there.
    except (OSError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise DataError(
            f"{name} cannot be had from the hub as {path} ({reason}); check the connection, or "
            f"{instead}"
        ) from None
    where = "/".join(filter(None, (path, part, hub_split)))
    return (
        Record({key: _listed(value) for key, value in row.items()}, f"{where}:{number}")
        for number, row in enumerate(rows, 1)
    )


@contextlib.contextmanager
def _without_talk() -> Iterator[None]:
    """Let the hub's packages not say each time that they try again; the error says it all."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _listed(value: Any) -> Any:
    """A list of objects, which the package gives as an object of lists."""
    if isinstance(value, Mapping) and value and all(isinstance(x, list) for x in value.values()):
        return [dict(zip(value, each, strict=True)) for each in zip(*value.values(), strict=True)]
    return value


def _with_place(record: Record) -> Record:
    """The label as a number: in these data sets it is a place, whatever the choices say."""
    name = label_name(tuple(record.fields))
    label = None if name is None else record.fields[name]
    if name is None or not isinstance(label, str) or not label.strip().isdecimal():
        return record
    return Record({**record.fields, name: int(label)}, record.location)


def _with_label_name(record: Record, numbers: tuple[str, ...]) -> Record:
    """The label by its name where it is a number; -1 is no label, on the hub."""
    name = label_name(tuple(record.fields))
    if name is None:
        return record
    label: Any = record.fields[name]
    if not isinstance(label, str) and label == -1:
        label = None
    elif str(label).isdecimal() and int(label) < len(numbers):
        label = numbers[int(label)]
    return Record({**record.fields, name: label}, record.location)
