"""What each setting is for, in the words that stand below it in the source.

A setting is declared once, with its type, its range and its default; the text below the
declaration is what `--settings` shows.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bertsmith.training.recipe_file import toml_value
from bertsmith.training.settings import MISSING, Settings, default_of, hints, is_section, words


@dataclass(frozen=True)
class SettingHelp:
    """One setting, for people."""

    name: str
    """Such as `optimizer.learning_rate`."""
    values: str
    """What it must be, such as `a number above 0`."""
    default: str | None
    """As in TOML; empty where it is not set, None where it must be."""
    text: str
    """What it is for, in one paragraph; empty where the name says it."""


def describe(recipe: type[Settings]) -> Iterator[SettingHelp]:
    """Every setting of a recipe, in its order; texts are missing where there is no source."""
    yield from _describe(recipe, "", None)


def _describe(cls: Any, prefix: str, section_default: Any) -> Iterator[SettingHelp]:
    texts = _texts(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for name, hint in hints(cls).items():
        # A recipe may have defaults of its own for a section that recipes share.
        is_given = section_default is not None
        default = getattr(section_default, name) if is_given else default_of(fields[name])
        if is_section(hint):
            own = None if default is MISSING else default
            yield from _describe(hint, f"{prefix}{name}.", own)
        else:
            yield SettingHelp(prefix + name, words(hint), _shown(default), texts.get(name, ""))


def _shown(default: Any) -> str | None:
    if default is MISSING:
        return None
    if default is None:
        return ""
    return toml_value(list(default) if isinstance(default, tuple) else default)


def _texts(cls: type) -> dict[str, str]:
    """The string below each field's declaration, of base classes too."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not issubclass(base, Settings):
            continue
        try:
            source = inspect.getsource(base)
        except (OSError, TypeError):
            continue  # installed without its source
        body = ast.parse(textwrap.dedent(source)).body[0].body  # type: ignore[attr-defined]
        for declared, below in itertools.pairwise(body):
            if (
                isinstance(declared, ast.AnnAssign)
                and isinstance(declared.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                texts[declared.target.id] = " ".join(str(below.value.value).split())
    return texts
