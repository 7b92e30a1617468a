"""Tasks by name: a file of this folder, or a dotted module of the user's own."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from typing import Any

import bertsmith.tasks
from bertsmith.errors import ConfigError
from bertsmith.tasks.task import Task


def task_names() -> list[str]:
    """List the names of the tasks that the package brings: the modules that define `TASK`."""
    names = [module.name for module in pkgutil.iter_modules(bertsmith.tasks.__path__)]
    return [name for name in names if hasattr(_import(f"bertsmith.tasks.{name}"), "TASK")]


def build_task(name: str, **settings: Any) -> Task:
    """Make a task.

    Args:
        name: a file's name in this folder, or the dotted name of a module that defines `TASK`.
        settings: keyword arguments of the task.

    Raises:
        ConfigError: when there is no such task, or it does not take these settings.
    """
    module_name = name if "." in name else f"bertsmith.tasks.{name}"
    try:
        module = _import(module_name)
        task_class = module.TASK
    except (ModuleNotFoundError, AttributeError):
        known = task_names()
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"the tasks are {', '.join(known)}"
        raise ConfigError(f"{name!r} is not a task; {hint}") from None
    try:
        task: Task = task_class(**settings)
    except TypeError as error:
        raise ConfigError(f"the settings {settings} do not fit the task {name}: {error}") from None
    return task


def _import(name: str) -> Any:
    return importlib.import_module(name)
