"""Encoders by name: the files of this folder that define `ENCODER`."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

import bertsmith.model.encoders
from bertsmith.errors import ConfigError
from bertsmith.model.bert import Bert


def encoder_names() -> list[str]:
    """List the names of the encoders, which are those of their files."""
    names = [module.name for module in pkgutil.iter_modules(bertsmith.model.encoders.__path__)]
    return [name for name in names if name != "registry"]


def check_encoder(name: str, setting: str = "encoder") -> None:
    """See that there is such an encoder; its file is not read.

    Args:
        name: of a file here, and of no other: it may stand in a file that somebody else has made.
        setting: where it stands, for errors.

    Raises:
        ConfigError: there is none.
    """
    known = encoder_names()
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"the encoders are {', '.join(known)}"
        raise ConfigError(f"{setting} ({name!r}) is not an encoder; {hint}")


def encoder_class(name: str) -> type[Bert]:
    """Find an encoder by its file's name.

    Raises:
        ConfigError: there is none.
    """
    check_encoder(name)
    found: type[Bert] = importlib.import_module(f"bertsmith.model.encoders.{name}").ENCODER
    return found
