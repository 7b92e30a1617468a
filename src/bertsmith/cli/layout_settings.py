"""The `data.` settings of the verbs that read records."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bertsmith.data.layout import Layout
    from bertsmith.data.record_source import RecordSource


def add_input(parser: argparse.ArgumentParser, *, named: bool = False) -> None:
    """Let `--input FILE` say where the records come from, and settings say how it is laid out.

    Args:
        parser: the verb's.
        named: whether the verb takes data sets by name, too.
    """
    parser.add_argument(
        "--input",
        required=True,
        metavar="FILE",
        help="records: .csv, .tsv, .json, .jsonl, .txt, .conll or .conllu, also .gz, .xz or .zst; "
        "- is standard input, of JSON or a text a line"
        + ("; or a data set such as glue:mrpc" if named else ""),
    )
    add_layout_settings(parser, named=named)


def add_layout_settings(
    parser: argparse.ArgumentParser, *, named: bool = False, more: str = ""
) -> None:
    """Let `data.text=sentence` and its like follow the options.

    Args:
        parser: the verb's.
        named: whether the verb takes data sets by name, too.
        more: what `--help` says of settings that this verb alone has.
    """
    of_sets = (
        "; of a data set with a name data.folder, where its published files are, and data.split"
        if named
        else ""
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="data.KEY=VALUE",
        help="where names do not tell: the columns data.text, data.pair and data.label (by name, "
        "or by number from 1) and data.choices (one or several, with commas), data.header (true "
        f"or false), data.format (csv, tsv, json, jsonl, txt, conll, conllu){of_sets}{more}",
    )


def read_layout_settings(settings: list[str]) -> Layout | None:
    """What the user says about the file; None when nothing.

    Raises:
        ConfigError: for a setting that is none of these.
    """
    from bertsmith.data.layout import Layout

    data = data_section(settings)
    return Layout.from_settings(data) if data else None


def read_source(where: str, settings: list[str]) -> RecordSource:
    """What to read records from: a file, or a data set by its name.

    Says on stderr which row of numbered columns is taken for their header.

    Raises:
        ConfigError: for a setting that is none, or none of such a source.
    """
    from pathlib import Path

    from bertsmith.data.layout import Layout
    from bertsmith.data.record_source import RecordSource

    data = data_section(settings)
    folder, split = data.pop("folder", None), data.pop("split", None)
    source = RecordSource(
        where,
        layout=Layout.from_settings(data) if data else None,
        folder=None if folder is None else Path(str(folder)),
        split=None if split is None else str(split),
    )
    if (remark := source.header_remark()) is not None:
        print(remark, file=sys.stderr)
    return source


def data_section(settings: list[str]) -> dict[str, Any]:
    """What the settings say, all of them of the section `data`.

    Raises:
        ConfigError: for a setting of another section.
    """
    from bertsmith.errors import ConfigError
    from bertsmith.training.recipe_file import apply_overrides

    sections = apply_overrides({}, settings)
    other = next((name for name in sections if name != "data"), None)
    if other is not None:
        raise ConfigError(f"{other} is not a section of settings here; the only one is data")
    data = sections.get("data", {})
    if not isinstance(data, dict):
        raise ConfigError(f"data ({data!r}) must be a section of settings, such as data.text=2")
    return data
