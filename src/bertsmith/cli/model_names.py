"""`--model [NAME=]DIR`, of verbs that take several models."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bertsmith.errors import ConfigError


def add_models(parser: argparse.ArgumentParser) -> None:
    """Let `--model [NAME=]DIR` be given, once or more."""
    parser.add_argument(
        "--model",
        action="append",
        required=True,
        metavar="[NAME=]DIR",
        help="a model of any kind; its name is that of the folder; may be given again",
    )


def named_model(model: str) -> tuple[str, str]:
    """Name and folder; what stands before = is a name unless it is part of a path.

    Raises:
        ConfigError: there is no name or no folder.
    """
    name, equals, folder = model.partition("=")
    if not equals or "/" in name:
        # A link is called as the user calls it; "." and ".." have no names of their own.
        name = Path(model).name
        name, folder = Path(model).resolve().name if name in ("", "..") else name, model
    if not name.strip() or not folder.strip():
        raise ConfigError(
            f"--model {model!r} lacks {'a folder' if name.strip() else 'a name'}; give NAME=DIR, "
            "or DIR alone for the name of the folder"
        )
    return name, folder


def named_models(models: Sequence[str]) -> dict[str, str]:
    """Folders by name, in the order given.

    Raises:
        ConfigError: two have the same name, or one lacks a name or a folder.
    """
    found: dict[str, str] = {}
    for name, folder in map(named_model, models):
        if name in found:
            raise ConfigError(f"two models are called {name!r}; name them with --model NAME=DIR")
        found[name] = folder
    return found
