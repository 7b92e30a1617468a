"""Plain values held to annotations, and what an annotation asks for in words.

Settings come from TOML, JSON and the command line, where nobody has checked a type. The
annotations that recipes and tasks have anyway say what is right, and what an error tells the user.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

_LISTS = (tuple, list, Sequence, Iterable)


@dataclass(frozen=True)
class Bounds:
    """A range of numbers and how an error names it."""

    holds: Callable[[float], bool]
    words: str


def matches(hint: Any, value: Any) -> tuple[bool, Any]:
    """Whether a plain value fits an annotation, and the value in the annotation's type.

    A text is no list of its letters, and true no number. What is not known to this function, as in
    a task of the user's own, fits.
    """
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        ok, value = matches(args[0], value)
        bounds = [extra for extra in args[1:] if isinstance(extra, Bounds)]
        return ok and all(value is None or b.holds(value) for b in bounds), value
    if origin in (Union, types.UnionType):
        options = (matches(option, value) for option in args)
        return next((option for option in options if option[0]), (False, value))
    if origin is Literal:
        return any(type(value) is type(arg) and value == arg for arg in args), value
    if origin in _LISTS:
        if not isinstance(value, list | tuple):
            return False, value
        results = [matches(args[0], item) for item in value]
        ok = all(ok for ok, _ in results)
        return ok, tuple(item for _, item in results) if origin is tuple else value
    if origin in (dict, Mapping):
        ok = isinstance(value, origin)
        return ok and all(
            matches(kind, each)[0]
            for pair in value.items()
            for kind, each in zip(args, pair, strict=True)
        ), value
    if hint is float:
        ok = isinstance(value, int | float) and not isinstance(value, bool)
        return ok and math.isfinite(value), float(value) if ok else value
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    if hint is Path:
        ok = isinstance(value, str | Path) and str(value) != ""
        return ok, Path(value) if ok else value
    return hint is Any or not isinstance(hint, type) or isinstance(value, hint), value


def takes_lists(hint: Any) -> bool:
    """Whether a list may fit an annotation."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return takes_lists(args[0])
    if origin in (Union, types.UnionType):
        return any(map(takes_lists, args))
    return origin in _LISTS or hint in _LISTS


def words(hint: Any) -> str:
    """What an annotation asks for, in words."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        described = [extra for extra in args[1:] if isinstance(extra, str)]
        bounds = [extra.words for extra in args[1:] if isinstance(extra, Bounds)]
        return described[0] if described else " ".join([words(args[0]), *bounds])
    if origin in (Union, types.UnionType):
        return " or ".join(words(option) for option in args if option is not type(None))
    if origin is Literal:
        return f"one of {', '.join(args)}" if len(args) > 1 else repr(args[0])
    if origin in _LISTS:
        return f"a list of {_plural(args[0])}"
    if origin in (dict, Mapping) and args[1] is not Any:
        return f"a section of {_plural(args[1])}"
    names = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a text in quotes",
        Path: "a path in quotes",
    }
    return names.get(hint, "a section of settings")


def _plural(hint: Any) -> str:
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    names = {
        int: "whole numbers",
        float: "numbers",
        str: "texts in quotes",
        Path: "paths in quotes",
    }
    return " or ".join(names.get(option) or words(option) for option in options)


def shown(value: object) -> str:
    """A value as its owner has written it in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, Path) else repr(value)
