"""`bertsmith finetune`: teach a pre-trained BERT a task from records."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bertsmith.training.finetuning import Preparation

HELP = "fine-tune a BERT on records of your own"
EXAMPLES = """examples:
  bertsmith finetune sequence_classification --model runs/mini --train train.tsv --eval dev.tsv \\
      --output runs/sentiment
  bertsmith finetune glue:mrpc --model runs/mini --output runs/mrpc data.folder=GLUE
      takes a data set by its name, which says the task, its labels and files and what decides
  bertsmith finetune runs/spam/recipe.toml --output runs/spam2 train.seed=2
      runs a recipe file again; options and settings count before what it says
  bertsmith finetune runs/spam/recipe.toml --output runs/spam2 --dry-run
      checks records and settings, shows the plan, trains and writes nothing
"""

_OPTIONS = (
    ("model", "model", "init"),
    ("train", "data", "train"),
    ("eval", "data", "eval"),
    ("output", "train", "output"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "task",
        metavar="TASK",
        help="sequence_classification or another task, a data set such as glue:mrpc, or a recipe "
        "file ending in .toml",
    )
    parser.add_argument("--model", metavar="DIR", help="the model to start from")
    parser.add_argument("--train", metavar="FILE", help="CSV, TSV, JSONL or JSON")
    parser.add_argument("--eval", metavar="FILE", help="records to measure on while training")
    parser.add_argument("--output", metavar="DIR", help="where the model goes")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="settings, such as train.epochs=2"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in the output folder from its last checkpoint, if any",
    )
    look = parser.add_mutually_exclusive_group()
    look.add_argument(
        "--dry-run",
        action="store_true",
        help="read and check everything, list all bad records, show the plan and write nothing",
    )
    look.add_argument(
        "--overfit-one-batch",
        action="store_true",
        help="see whether a few records can be learned by heart, as they must be; write nothing",
    )


def run(args: argparse.Namespace) -> int:
    """Fine-tune and say where the model is."""
    from bertsmith.cli.finetuning_check import dry_run, overfit
    from bertsmith.cli.training_summary import end_of_run, say_what_is_resumed
    from bertsmith.cli.wording import counted
    from bertsmith.training.finetuning import finetune
    from bertsmith.training.recipe import FinetuneRecipe

    recipe = FinetuneRecipe.from_dict(_values(args))
    if args.resume:
        say_what_is_resumed(recipe.train.output)
    if args.dry_run:
        return dry_run(recipe, resume=args.resume, show=_show, command=_command(args))
    if args.overfit_one_batch:
        return overfit(recipe, command=_command(args))
    finetuned = finetune(recipe, resume=args.resume, on_prepared=_show)
    output = recipe.train.output
    status = end_of_run(
        finetuned.outcome, output, f"bertsmith finetune {output / 'recipe.toml'} --resume"
    )
    if status == 0:
        truncated = finetuned.task.num_truncated
        if truncated:
            print(
                f"cut at {finetuned.preparation.max_length} wordpieces (data.max_seqlen or, where "
                f"fewer, the model's positions): {counted(truncated, 'text')}",
                file=sys.stderr,
            )
        print(f"report: {output / 'report.html'}", file=sys.stderr)
        print(f"next: bertsmith predict --model {output} --input FILE", file=sys.stderr)
    return status


def _command(args: argparse.Namespace) -> str:
    """What was typed, without what only looks."""
    words = ["bertsmith", "finetune", args.task]
    for option, *_ in _OPTIONS:
        if getattr(args, option) is not None:
            words += [f"--{option}", getattr(args, option)]
    return shlex.join(words + args.overrides + ["--resume"] * args.resume)


def _values(args: argparse.Namespace) -> dict[str, Any]:
    """The recipe file, if any, under the options, under the settings."""
    from bertsmith.data.named_sets import is_name
    from bertsmith.errors import ConfigError
    from bertsmith.training.recipe_file import apply_overrides, read_toml

    values: dict[str, Any]
    needed: set[str] = set()
    if args.task.endswith(".toml"):
        values = read_toml(args.task)
    elif is_name(args.task):
        values, needed = {"data": {"name": args.task}}, {"model", "output"}
    else:
        values, needed = {"task": {"name": args.task}}, {"model", "train", "output"}
    overrides = list(map(_data_name, args.overrides))
    if any(override.startswith("data.name=") for override in overrides):
        needed -= {"train"}
    for option, section, key in _OPTIONS:
        value = getattr(args, option)
        if value is not None:
            values.setdefault(section, {})[key] = value
        elif option in needed:
            raise ConfigError(f"--{option} is missing; without a recipe file it is needed")
    return apply_overrides(values, overrides)


def _data_name(override: str) -> str:
    """`data=glue:mrpc` is short for `data.name=glue:mrpc`."""
    return f"data.name={override[5:]}" if override.startswith("data=") else override


def _show(preparation: Preparation) -> None:
    """Say what is going to be learned, so that a wrong column or a lost label is seen at once."""
    from bertsmith.cli.record_check import check_lines
    from bertsmith.cli.wording import counted

    counts = ", ".join(f"{label} {count:,}" for label, count in preparation.label_counts.items())
    each = f" ({counts})" if counts else ""
    print(
        f"{counted(preparation.num_train, 'record')} to train on{each}, "
        f"{preparation.num_eval:,} to measure on",
        file=sys.stderr,
    )
    for line in (*preparation.remarks, *preparation.report.lines()):
        print(line, file=sys.stderr)
    for line in check_lines(preparation.check):
        print(line, file=sys.stderr)
    for line in preparation.warnings:
        print(f"warning: {line}", file=sys.stderr)
