"""Settings: nested frozen dataclasses that are checked against their own annotations.

A section of a recipe is a dataclass that derives from `Settings`. Types, ranges and the words of
an error all come from its annotations, so a setting is declared once:

    learning_rate: PositiveFloat = 1e-4
    train: Annotated[Path, "a folder written by `bertsmith prepare`"]
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self, get_args, get_origin

from bertsmith.annotations import Bounds, matches, shown, words
from bertsmith.errors import ConfigError

MISSING = dataclasses.MISSING


Count = Annotated[int, Bounds(lambda x: x >= 1, "of at least 1")]
Index = Annotated[int, Bounds(lambda x: x >= 0, "of at least 0")]
PositiveFloat = Annotated[float, Bounds(lambda x: x > 0, "above 0")]
NonNegativeFloat = Annotated[float, Bounds(lambda x: x >= 0, "of at least 0")]
Probability = Annotated[float, Bounds(lambda x: 0 <= x <= 1, "from 0 to 1")]
Fraction = Annotated[float, Bounds(lambda x: 0 <= x < 1, "of at least 0 and below 1")]
Factor = Annotated[float, Bounds(lambda x: 0 < x <= 1, "above 0 and at most 1")]


class Settings:
    """Base of every section and recipe; making one checks types and ranges."""

    def __post_init__(self) -> None:
        """Check every field; derived classes call this, then look at how fields fit together."""
        problems: list[str] = []
        for name, hint in hints(type(self)).items():
            value = _convert(hint, getattr(self, name), name, problems)
            object.__setattr__(self, name, value)
        if problems:
            raise ConfigError("\n".join(problems))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from nested mappings; a section's missing keys take the recipe's own defaults.

        Raises:
            ConfigError: with one line for each problem, all of them at once.
        """
        problems: list[str] = []
        settings: Self | None = _build(cls, values, "", None, sorted(dotted_names(cls)), problems)
        if settings is None:
            raise ConfigError("\n".join(problems))
        return settings

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, JSON-ready; settings without a value are left out."""
        pairs = ((f.name, getattr(self, f.name)) for f in _fields(type(self)))
        return {name: _plain(value) for name, value in pairs if value is not None}

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked again."""
        return type(self)(**{name: getattr(self, name) for name in hints(type(self))} | changes)


def hints(cls: type) -> dict[str, Any]:
    """Field names and their annotations, `Annotated` kept."""
    annotations = typing.get_type_hints(cls, include_extras=True)
    return {field.name: annotations[field.name] for field in _fields(cls)}


def dotted_names(cls: type, prefix: str = "") -> Iterator[str]:
    """All settings of a recipe, such as `optimizer.learning_rate`."""
    for name, hint in hints(cls).items():
        if is_section(hint):
            yield from dotted_names(hint, f"{prefix}{name}.")
        else:
            yield prefix + name


def _build(
    cls: Any,
    values: Mapping[str, Any],
    prefix: str,
    default: Any,
    names: list[str],
    problems: list[str],
) -> Any:
    """An instance of `cls`, or None when something was wrong; what was goes to `problems`."""
    found_before = len(problems)
    fields = {field.name: field for field in _fields(cls)}
    given: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            problems.append(_unknown(prefix + key, value, cls, prefix, names))
    for name, hint in hints(cls).items():
        own = getattr(default, name) if default is not None else default_of(fields[name])
        if is_section(hint):
            table = values.get(name, {})
            if not isinstance(table, Mapping):
                problems.append(f"{prefix}{name} ({table!r}) must be a section of settings")
            else:
                base = None if own is MISSING else own
                given[name] = _build(hint, table, f"{prefix}{name}.", base, names, problems)
        elif name in values:
            given[name] = _convert(hint, values[name], prefix + name, problems)
        elif own is MISSING:
            problems.append(f"{prefix}{name} is not set; it must be {words(hint)}")
        else:
            given[name] = own
    if len(problems) > found_before:
        return None
    try:
        return cls(**given)
    except ConfigError as error:
        problems += [
            line if not prefix or line.startswith(prefix) else prefix + line
            for line in str(error).split("\n")
        ]
        return None


def _unknown(key: str, value: object, cls: type, prefix: str, names: list[str]) -> str:
    """The sentence for a key that is no setting, with the nearest one of any section."""
    if isinstance(value, Mapping):
        sections = [name for name, hint in hints(cls).items() if _is_table(hint)]
        close = difflib.get_close_matches(key.removeprefix(prefix), sections, 1)
        hint = f"did you mean {prefix}{close[0]}?" if close else _one_of(sections)
        return f"{key} is not a section; {hint}"
    leaf = key.removeprefix(prefix)
    options: dict[str, float] = {}
    for name in names:
        section, _, own_leaf = name.rpartition(".")
        score = difflib.SequenceMatcher(None, leaf, own_leaf).ratio()
        # Of two equally near names the one in the same section is meant.
        options[name] = score + (0.05 if f"{section}." == prefix else 0)
    nearest = max(options, key=options.__getitem__, default="")
    if options.get(nearest, 0) >= 0.65:
        return f"{key} is not a setting; did you mean {nearest}?"
    return f"{key} is not a setting; {_one_of(list(hints(cls)))}"


def _one_of(names: list[str]) -> str:
    return f"those here are {', '.join(names)}" if names else "it has no sections"


def _convert(hint: Any, value: Any, name: str, problems: list[str]) -> Any:
    """`value` as `hint` wants it; a mismatch is reported and the value handed back."""
    if is_section(hint):
        ok, result = isinstance(value, hint), value
    else:
        ok, result = matches(hint, value)
    if not ok:
        problems.append(f"{name} ({shown(value)}) must be {words(hint)}")
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def is_section(hint: Any) -> bool:
    """Whether an annotation is of a section and not of a single setting."""
    return isinstance(hint, type) and issubclass(hint, Settings)


def _is_table(hint: Any) -> bool:
    """A section, or a table whose keys are checked by whom it is for."""
    inner = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return is_section(hint) or get_origin(inner) is dict


def _fields(cls: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)


def default_of(field: dataclasses.Field[Any]) -> Any:
    """What a field has where nothing is said; `MISSING` where something must be."""
    return field.default if field.default_factory is MISSING else field.default_factory()
