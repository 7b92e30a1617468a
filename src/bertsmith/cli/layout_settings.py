"""The `data.` settings of the verbs that read records."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertsmith.data.layout import Layout


def add_input(parser: argparse.ArgumentParser) -> None:
    """Let `--input FILE` say where the records come from, and settings say how it is laid out."""
    parser.add_argument(
        "--input",
        required=True,
        metavar="FILE",
        help="records: .csv, .tsv, .json, .jsonl or .txt, also .gz, .xz or .zst; - is standard "
        "input, of JSON or a text a line",
    )
    add_layout_settings(parser)


def add_layout_settings(parser: argparse.ArgumentParser) -> None:
    """Let `data.text=sentence` and its like follow the options."""
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="data.KEY=VALUE",
        help="where names do not tell: the columns data.text, data.pair and data.label (by name, "
        "or by number from 1), data.header (true or false), data.format (csv, tsv, json, jsonl or "
        "txt)",
    )


def read_layout_settings(settings: list[str]) -> Layout | None:
    """What the user says about the file; None when nothing.

    Raises:
        ConfigError: for a setting that is none of these.
    """
    from bertsmith.data.layout import Layout
    from bertsmith.errors import ConfigError
    from bertsmith.training.recipe_file import apply_overrides

    sections = apply_overrides({}, settings)
    other = next((name for name in sections if name != "data"), None)
    if other is not None:
        raise ConfigError(f"{other} is not a section of settings here; the only one is data")
    data = sections.get("data", {})
    if not isinstance(data, dict):
        raise ConfigError(f"data ({data!r}) must be a section of settings, such as data.text=2")
    return Layout.from_settings(data) if data else None
