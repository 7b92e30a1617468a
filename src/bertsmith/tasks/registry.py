"""Tasks by name: a file of this folder, or a dotted module of the user's own."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import typing
from typing import Any

import bertsmith.tasks
from bertsmith.annotations import matches, shown, words
from bertsmith.errors import ConfigError
from bertsmith.tasks.task import Task


def task_names() -> list[str]:
    """List the names of the tasks that the package brings: the modules that define `TASK`."""
    names = [module.name for module in pkgutil.iter_modules(bertsmith.tasks.__path__)]
    return [name for name in names if hasattr(_import(f"bertsmith.tasks.{name}"), "TASK")]


def task_class(name: str) -> type[Task]:
    """Find a task by its file's name, or by the dotted name of a module that defines `TASK`.

    Raises:
        ConfigError: when there is no such task.
    """
    module_name = name if "." in name else f"bertsmith.tasks.{name}"
    found: type[Task] | None = None
    try:
        module = _import(module_name)
    except ModuleNotFoundError as error:
        if error.name not in _parents(module_name):
            raise  # the task's own module is there and wants one that is not
    else:
        found = getattr(module, "TASK", None)
    if found is None:
        known = task_names()
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"the tasks are {', '.join(known)}"
        raise ConfigError(f"{name!r} is not a task; {hint}")
    return found


def build_task(name: str, **settings: Any) -> Task:
    """Make a task.

    Args:
        name: as for `task_class`.
        settings: keyword arguments of the task.

    Raises:
        ConfigError: when there is no such task, or it does not take these settings, or not of
            these types.
    """
    found = task_class(name)
    parameters = inspect.signature(found).parameters
    # The columns are known from the data.
    known = [name for name in parameters if name != "columns"]
    for key in settings:
        if key not in parameters:
            close = difflib.get_close_matches(key, known, 1)
            names = ", ".join(f"task.{each}" for each in known) or "none"
            hint = f"did you mean task.{close[0]}?" if close else f"those of {name} are {names}"
            raise ConfigError(f"task.{key} is not a setting; {hint}")
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in settings:
            raise ConfigError(f"task.{key} is not set, and {name} needs it")
    problems = [
        f"task.{key} ({shown(settings[key])}) must be {words(hint)}"
        for key, hint in setting_types(found).items()
        if key in settings and not matches(hint, settings[key])[0]
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    return found(**settings)


def setting_types(kind: type[Task]) -> dict[str, Any]:
    """The annotations of a task's settings by their names; those that it has not got are missing.

    So are all of a task of the user's own whose annotations are there for type checkers alone.
    """
    try:
        found = typing.get_type_hints(inspect.getattr_static(kind, "__init__"), include_extras=True)
    except NameError:
        return {}
    return {name: hint for name, hint in found.items() if name != "return"}


def _parents(module_name: str) -> set[str]:
    """The module and the packages that it is in."""
    parts = module_name.split(".")
    return {".".join(parts[: index + 1]) for index in range(len(parts))}


def _import(name: str) -> Any:
    return importlib.import_module(name)
