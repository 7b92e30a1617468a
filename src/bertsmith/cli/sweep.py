"""`bertsmith sweep`: fine-tune with one setting after the other, and keep the best model."""

from __future__ import annotations

import argparse
from typing import Any

from bertsmith.cli.finetune import (
    add_recipe_arguments,
    recipe_values,
    say_restart,
    show_preparation,
)

HELP = "fine-tune with many settings and keep the best model"
EXAMPLES = """examples:
  bertsmith sweep sequence_classification --model runs/mini --train train.tsv --eval dev.tsv \\
      --output runs/sweep
      tries the paper's grid: batches of 16 and 32, rates of 5e-5, 3e-5 and 2e-5, 2 to 4 epochs
  bertsmith sweep runs/spam/recipe.toml --output runs/rates "optimizer.learning_rate=[1e-5, 2e-5]"
      tries these values; several lists make a grid
  bertsmith sweep runs/spam/recipe.toml --output runs/search --search 20 \\
      optimizer.learning_rate=1e-5..1e-4 "optimizer.layer_decay=[0.9, 0.95, 1.0]"
      chooses 20 trials by what the ones before gave
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_recipe_arguments(parser)
    parser.add_argument(
        "--grid",
        metavar="FILE",
        help="a recipe file whose settings are lists of values, or ranges in quotes; settings "
        "such as train.epochs=[2,3] count before it",
    )
    parser.add_argument(
        "--search",
        type=int,
        metavar="N",
        help="make N trials, each chosen by what those before gave, in place of all combinations",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=1,
        metavar="N",
        help="run each trial with N seeds; the mean decides",
    )


def run(args: argparse.Namespace) -> int:
    """Run the trials and say which is the best."""
    from bertsmith.cli.several_runs import ShownOnce, say_trial, sweep_summary
    from bertsmith.training.finetune_recipe import FinetuneRecipe
    from bertsmith.training.search_space import points, with_point
    from bertsmith.training.sweep import GRID, Sweep

    values, space = _values_and_space(args)
    # A setting that is varied may be one that every recipe needs.
    recipe = FinetuneRecipe.from_dict(with_point(values, points(space)[0]))
    sweep = Sweep(recipe, space, args.search, args.seeds)
    outcome = sweep.run(
        resume=args.resume,
        on_prepared=ShownOnce(show_preparation),
        on_restart=say_restart,
        on_ended=say_trial,
    )
    output = recipe.train.output
    search = f" --search {args.search}" if args.search else ""
    seeds = f" --seeds {args.seeds}" if args.seeds > 1 else ""
    command = f"bertsmith sweep {output / 'recipe.toml'} --grid {output / GRID}{search}{seeds}"
    return sweep_summary(outcome, output, f"{command} --resume")


def _values_and_space(args: argparse.Namespace) -> tuple[dict[str, Any], Any]:
    """The settings that all trials share, and those that they differ in."""
    from bertsmith.training.finetune_recipe import task_name
    from bertsmith.training.recipe_file import read_toml
    from bertsmith.training.search_space import PAPER_GRID, space_of, split_overrides

    data = [override for override in args.overrides if override.startswith("data")]
    task = task_name(recipe_values(args, data))
    fixed, space = split_overrides(args.overrides, task)
    if args.grid is not None:
        space = space_of(read_toml(args.grid), task) | space
    return recipe_values(args, fixed), space or dict(PAPER_GRID)
