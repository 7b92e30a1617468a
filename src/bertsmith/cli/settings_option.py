"""`--settings`: what each setting of a recipe is for, its default and what it may be."""

from __future__ import annotations

import argparse
import sys
import textwrap
from typing import Any

WIDTH = 96


class ShowSettings(argparse.Action):
    """Prints the settings and ends the program, as `--help` does.

    Args:
        recipe: the name of the recipe's class, which is read only when it is to be shown.
    """

    def __init__(self, option_strings: list[str], dest: str, *, recipe: str, **more: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **more)
        self.recipe = recipe

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        *args: Any,  # noqa: ARG002 - argparse's own signature
    ) -> None:
        """Print one entry for each setting, and for those of a task that was named before."""
        from itertools import chain

        from bertsmith.training.finetune_recipe import FinetuneRecipe
        from bertsmith.training.pretrain_recipe import PretrainRecipe
        from bertsmith.training.settings_help import describe, describe_task

        recipes = {recipe.__name__: recipe for recipe in (FinetuneRecipe, PretrainRecipe)}
        task = _task(namespace)
        of_task = () if task is None else describe_task(task)
        for setting in chain(of_task, describe(recipes[self.recipe])):
            must = " (needed)" if setting.default is None else ""
            print(f"{setting.name}={setting.default or ''}{must}")
            for text in (setting.values and f"{setting.values}.", setting.text):
                for line in textwrap.wrap(text, WIDTH - 4):
                    print(f"    {line}")
        sys.stdout.flush()  # whoever reads it may have enough, which `main` takes for no error
        parser.exit()


def _task(namespace: argparse.Namespace) -> str | None:
    """The task that was named before the option, itself or by a data set; not by a recipe file."""
    from bertsmith.data.named_sets import is_name, named_set

    named: str | None = getattr(namespace, "task", None)
    if named is None or named.endswith(".toml"):
        return None
    return named_set(named).task if is_name(named) else named


def add_settings_option(parser: argparse.ArgumentParser, recipe: str) -> None:
    """Let `--settings` explain the `key=value` settings of a recipe's class."""
    parser.add_argument(
        "--settings",
        action=ShowSettings,
        recipe=recipe,
        help="explain every key=value setting, with its default, and exit; after the name of a "
        "task those of the task too",
    )
