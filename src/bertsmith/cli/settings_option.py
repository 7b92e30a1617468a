"""`--settings`: what each setting of a recipe is for, its default and what it may be."""

from __future__ import annotations

import argparse
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

        from bertsmith.tasks.registry import task_names
        from bertsmith.training.finetune_recipe import FinetuneRecipe
        from bertsmith.training.pretrain_recipe import PretrainRecipe
        from bertsmith.training.settings_help import describe, describe_task

        task = getattr(namespace, "task", None)
        of_task = describe_task(task) if task in task_names() else ()
        recipes = {recipe.__name__: recipe for recipe in (FinetuneRecipe, PretrainRecipe)}
        for setting in chain(of_task, describe(recipes[self.recipe])):
            must = " (needed)" if setting.default is None else ""
            print(f"{setting.name}={setting.default or ''}{must}")
            for text in (setting.values and f"{setting.values}.", setting.text):
                for line in textwrap.wrap(text, WIDTH - 4):
                    print(f"    {line}")
        parser.exit()


def add_settings_option(parser: argparse.ArgumentParser, recipe: str) -> None:
    """Let `--settings` explain the `key=value` settings of a recipe's class."""
    parser.add_argument(
        "--settings",
        action=ShowSettings,
        recipe=recipe,
        help="explain every key=value setting, with its default, and exit; after the name of a "
        "task those of the task too",
    )
