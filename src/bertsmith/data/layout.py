"""What the user says about the layout of a file of records, where the file does not say it.

The settings are `data.text=`, `data.pair=`, `data.label=` (a column's name, or its number counted
from 1), `data.choices=` (one column or several, with commas), `data.header=` and `data.format=`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from bertsmith.data.columns import KNOWN_NAMES, TEXT_NAMES, listed
from bertsmith.data.record import Record
from bertsmith.errors import ConfigError, DataError

SETTINGS = ("text", "pair", "label", "choices", "header", "format")
"""What of a `Layout` the user may say."""
FORMATS = ("csv", "tsv", "json", "jsonl", "txt", "conll", "conllu")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The columns that hold text, second text and label, and how the file is to be read.

    Raises:
        ConfigError: the format is none.
    """

    text: str | None = None
    pair: str | None = None
    label: str | None = None
    choices: str | None = None
    """A column that holds a list of choices, or the columns of one choice each, with commas."""
    header: bool | None = None
    """Whether the first row names the columns; None looks at it."""
    format: str | None = None
    """One of `FORMATS`; None goes by the file's name."""
    is_required: bool = True
    """False for columns that a model remembers of its training file, or that only some files of a
    data set have: where a file does not have them, the well-known names are looked for."""
    skips_broken_rows: bool = False
    """Whether rows with too few cells, too many or an empty one are left out, as in Quora's
    question pairs, where some texts hold line ends; otherwise they are errors."""

    conll_suffixes: tuple[str, ...] = ()
    """Those of files that are CoNLL's although their name does not say so."""

    def __post_init__(self) -> None:
        if self.format not in (None, *FORMATS):
            raise ConfigError(f"data.format ({self.format!r}) must be one of {', '.join(FORMATS)}")

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Build from the `data.` settings, such as `{"text": "4", "header": False}`.

        Raises:
            ConfigError: for another setting or a value that is none.
        """
        known = list(SETTINGS)
        values: dict[str, Any] = {}
        for key, value in settings.items():
            if key not in known:
                close = difflib.get_close_matches(key, known, 1)
                those = ", ".join(f"data.{name}" for name in known)
                hint = f"did you mean data.{close[0]}?" if close else f"those are {those}"
                raise ConfigError(f"data.{key} is not a setting; {hint}")
            if key == "header":
                value = _truth(value)
            elif key != "format":
                value = _column(key, value)
            values[key] = value
        return cls(**values)

    @property
    def named(self) -> dict[str, str]:
        """The roles that the user has given a column: role to column."""
        roles = {"text": self.text, "pair": self.pair, "label": self.label, "choices": self.choices}
        return {role: column for role, column in roles.items() if column is not None}

    @property
    def has_numbers(self) -> bool:
        """Whether the user has given a column by its number."""
        columns = ",".join(self.named.values()).split(",")
        return any(column.strip().isdecimal() for column in columns)

    def are_header(self, cells: list[str]) -> bool:
        """Whether a table's first row names its columns.

        It does when no cell is a number and at least one is a name that is well known or that
        the user has given, capitals ignored. Rows of data mostly hold a number, a label or an
        id, and a text that is exactly such a name is hardly ever the first of a file;
        `data.header=false` is for the file where it is.
        """
        if self.header is not None:
            return self.header
        named = ",".join(self.named.values()).lower().split(",")
        known = KNOWN_NAMES | {name.strip() for name in named}
        return any(cell.lower() in known for cell in cells) and not any(map(_is_number, cells))

    def rename(self, record: Record, *, is_table: bool) -> Record:
        """Call the named columns by their roles; `is_table` says whether numbers count columns.

        Where the text is named, other columns are texts no longer, whatever they are called.

        Raises:
            DataError: when the record does not have a column that it must have.
        """
        named = self.named
        if not named:
            return record
        roles: dict[str, Any] = {}
        for role, column in named.items():
            columns = column.split(",") if role == "choices" else [column]
            values = [
                record.fields[name]
                for each in columns
                if (name := self._find(record, role, each.strip(), is_table)) is not None
            ]
            if len(values) == len(columns):
                roles[role] = values if len(values) > 1 else values[0]
        if not self.is_required and not {"text", "pair", "choices"} & set(named) <= set(roles):
            return record
        kept = {
            name: value
            for name, value in record.fields.items()
            if "text" not in roles or name.lower() not in TEXT_NAMES
        }
        return Record(kept | roles, record.location)

    def _find(self, record: Record, role: str, column: str, is_table: bool) -> str | None:
        """The name of the column in this record; None where it need not have one."""
        if column in record.fields:
            return column
        names = list(record.fields)
        if is_table and column.isdecimal() and 0 < int(column) <= len(names):
            return names[int(column) - 1] if self.is_required else None
        if self.is_required and (role != "label" or is_table):
            raise DataError(
                f"{record.location}: data.{role} ({column}) is not one of the columns "
                f"({listed(record)}); name one of them"
            )
        return None


def _is_number(cell: str) -> bool:
    """Whether a cell holds a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _column(role: str, value: object) -> str:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if not is_count and not (isinstance(value, str) and value):
        raise ConfigError(
            f"data.{role} ({value!r}) must be the name of a column, or its number counted from 1"
        )
    return str(value)


def _truth(value: object) -> bool:
    if value not in (True, False, "true", "false"):
        raise ConfigError(f"data.header ({value!r}) must be true or false")
    return value in (True, "true")
