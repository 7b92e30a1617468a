"""Reading and writing TOML: a recipe's file, its `key=value` overrides, and back to text."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bertsmith.errors import ConfigError


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file; a mistake in it is reported with its line."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; a recipe is a TOML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as text: {error}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).rpartition(" (at ")
        line = re.match(r"line (\d+)", place)
        number = int(line[1]) if line else text.count("\n") + 1
        raise ConfigError(f"{path}:{number}: not valid TOML: {reason}") from None


def apply_overrides(values: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Replace settings of nested mappings, which are left as they are.

    Args:
        values: the recipe as read.
        overrides: `section.key=value`, the value as in TOML, quotes left away where a text cannot
            be taken for anything else; nothing after the `=` takes the setting out.

    Raises:
        ConfigError: for text that is no override.
    """
    result: dict[str, Any] = copy.deepcopy(dict(values))
    for override in overrides:
        name, equals, text = override.partition("=")
        *sections, key = (part.strip() for part in name.split("."))
        if not equals or not key or not all(sections):
            raise ConfigError(
                f"{override!r} is not an override; write section.key=value, "
                "such as train.steps=1000"
            )
        table = result
        for section in sections:
            inner = table.setdefault(section, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{override!r} is not an override: {section} is not a section")
            table = inner
        if text.strip():
            table[key] = override_value(text.strip())
        else:
            table.pop(key, None)
    return result


def to_toml(values: Mapping[str, Any]) -> str:
    """Nested mappings of plain values as TOML, one section a mapping."""
    return "\n".join(_toml_lines(values, ""))


def override_value(text: str) -> Any:
    """A TOML value where the text is one of the kinds that settings have, else the text itself."""
    try:
        values = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = values["value"]
    known = isinstance(value, bool | int | float | str | list | dict)
    return value if known and len(values) == 1 else text


def _toml_lines(values: Mapping[str, Any], section: str) -> list[str]:
    """Plain settings first, since in TOML all that follows a header belongs to its section."""
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    lines = [f"[{section}]"] if section and (plain or not values) else []
    lines += [f"{_toml_key(key)} = {toml_value(value)}" for key, value in plain.items()]
    lines += [""] if lines else []
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += _toml_lines(
                value, f"{section}.{_toml_key(key)}" if section else _toml_key(key)
            )
    return lines


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key)


def toml_value(value: Any) -> str:
    """A plain value as TOML writes it."""
    if isinstance(value, str):
        # A JSON string is a TOML string, but for the one control character that JSON lets pass.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, Mapping):
        pairs = (f"{_toml_key(key)} = {toml_value(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    return str(value).lower() if isinstance(value, bool) else repr(value)
