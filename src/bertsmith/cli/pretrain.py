"""`bertsmith pretrain`: run a recipe."""

from __future__ import annotations

import argparse
import sys

from bertsmith.cli.settings_option import add_settings_option

HELP = "pre-train a BERT by a recipe"
EXAMPLES = """examples:
  bertsmith pretrain recipes/tiny-cpu.toml
  bertsmith pretrain recipes/tiny-cpu.toml train.output=runs/other train.seed=7 --resume
  torchrun --nproc-per-node 8 -m bertsmith pretrain recipe.toml train.accumulation_steps=8
      on the eight GPUs of a machine; docs/scaling.md has more machines and Slurm
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_settings_option(parser, "PretrainRecipe")
    parser.add_argument("recipe", metavar="RECIPE.toml", help="what to run")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="settings in place of the recipe's"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in train.output from its last checkpoint, if there is one",
    )


def run(args: argparse.Namespace) -> int:
    """Pre-train and say where the model is."""
    from bertsmith.cli.training_summary import end_of_run, say_what_is_resumed
    from bertsmith.tasks.registry import task_class
    from bertsmith.training.distributed import is_first_process
    from bertsmith.training.pretrain_recipe import PretrainRecipe
    from bertsmith.training.pretrain_warnings import pretrain_warnings
    from bertsmith.training.pretraining import pretrain

    recipe = PretrainRecipe.load(args.recipe, args.overrides)
    output = recipe.train.output
    is_first = is_first_process()
    if args.resume and is_first:
        say_what_is_resumed(output)
    for sentence in pretrain_warnings(recipe) if is_first else ():
        print(f"warning: {sentence}", file=sys.stderr)
    pretrained = pretrain(recipe, resume=args.resume)
    if not is_first:
        return 0
    status = end_of_run(
        pretrained.outcome, output, f"bertsmith pretrain {output / 'recipe.toml'} --resume"
    )
    if status == 0:
        figures = pretrained.outcome.figures
        of_words = [name for name in recipe.tasks if task_class(name).shown is not None]
        for name in of_words:
            if f"{name}_loss" in figures:
                print(
                    f"held-out {name.replace('_lm', '-LM').replace('_', ' ')} loss "
                    f"{figures[f'{name}_loss']:.3f}; guessing by frequency alone gives "
                    f"{pretrained.unigram_entropy:.3f}",
                    file=sys.stderr,
                )
        following = f'fill-mask --model {output} "Paris is the [MASK] of France."'
        if "masked_lm" not in recipe.tasks:
            following = (
                f"finetune sequence_classification --model {output} --train FILE --eval FILE "
                "--output DIR"
            )
        print(f"next: bertsmith {following}", file=sys.stderr)
    return status
