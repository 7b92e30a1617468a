"""`--settings`: what each setting of a recipe is for, its default and what it may be."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

WIDTH = 96


class ShowSettings(argparse.Action):
    """Prints the settings and ends the program, as `--help` does.

    Args:
        recipe: the name of the recipe's class in `bertsmith.training.recipe`, which is read only
            when it is to be shown.
    """

    def __init__(self, option_strings: list[str], dest: str, *, recipe: str, **more: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **more)
        self.recipe = recipe

    def __call__(self, parser: argparse.ArgumentParser, *args: Any) -> None:  # noqa: ARG002
        """Print one entry for each setting."""
        from bertsmith.training import recipe
        from bertsmith.training.settings_help import describe

        for setting in describe(getattr(recipe, self.recipe)):
            must = " (needed)" if setting.default is None else ""
            print(f"{setting.name}={setting.default or ''}{must}")
            for text in (f"{setting.values}.", setting.text):
                for line in textwrap.wrap(text, WIDTH - 4):
                    print(f"    {line}")
        parser.exit()


def add_settings_option(parser: argparse.ArgumentParser, recipe: str) -> None:
    """Let `--settings` explain the `key=value` settings of a recipe's class."""
    parser.add_argument(
        "--settings",
        action=ShowSettings,
        recipe=recipe,
        help="explain every key=value setting, with its default, and exit",
    )
