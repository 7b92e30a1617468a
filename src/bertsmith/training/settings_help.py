"""What each setting is for, in the words that stand below it in the source.

A setting is declared once, with its type, its range and its default; the text below the
declaration is what `--settings` shows.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import itertools
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from bertsmith.annotations import words
from bertsmith.tasks.registry import task_class
from bertsmith.training.recipe_file import toml_value
from bertsmith.training.settings import MISSING, Settings, default_of, hints, is_section

# What the annotations of a task's arguments ask for, in words.
_ANNOTATIONS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "a text in quotes",
    "Sequence[str | int]": "a list of texts or whole numbers",
    "Sequence[float]": "a list of numbers",
    "ClassWeights": '"balanced", a table from labels to numbers, or a list of numbers',
}


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


def describe_task(name: str) -> Iterator[SettingHelp]:
    """The settings of a task, from the `Args` of its class.

    Args:
        name: as for `task_class`.

    Raises:
        ConfigError: there is no such task.
    """
    task = task_class(name)
    for key, parameter in inspect.signature(task).parameters.items():
        if key == "columns":  # known from the data section
            continue
        default = None
        if parameter.default is not parameter.empty:
            default = "" if parameter.default is None else toml_value(parameter.default)
        values = str(parameter.annotation).removesuffix(" | None")
        # Such as LongTextRule, one of several words.
        choices = getattr(sys.modules[task.__module__], values, None)
        if get_origin(choices) is Literal:
            said = f"one of {', '.join(get_args(choices))}"
        else:
            said = _ANNOTATIONS.get(values, "")
        yield SettingHelp(f"task.{key}", said, default, _argument(task, key))


def _argument(cls: type, key: str) -> str:
    """What the `Args` of a class, or of the class that these refer to, say about an argument."""
    section = re.search(r"(?ms)^Args:\n(.*?)(^\S|\Z)", inspect.cleandoc(cls.__doc__ or ""))
    entries = section[1] if section else ""
    for names, text in re.findall(r"(?m)^    ([\w, ]+): (.*(?:\n        .*)*)", entries):
        if key not in names.split(", "):
            continue
        text = " ".join(text.split())
        other = re.match(r"as for `(\w+)`(?:; (.*))?", text)
        if other is None:
            return text
        module = re.sub(r"(?<!^)(?=[A-Z])", "_", other[1]).lower()
        referred = getattr(importlib.import_module(f"bertsmith.tasks.{module}"), other[1])
        return f"{_argument(referred, key)} {other[2] or ''}".strip()
    return ""


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
