"""`bertsmith finetune`: teach a pre-trained BERT a task from records."""

from __future__ import annotations

import argparse
import difflib
import shlex
import sys
from typing import TYPE_CHECKING, Any

from bertsmith.cli.settings_option import add_settings_option

if TYPE_CHECKING:
    from bertsmith.training.finetune_recipe import FinetuneRecipe
    from bertsmith.training.finetuning import Preparation
    from bertsmith.training.seeds import SeedRun

HELP = "fine-tune a BERT on records of your own"
EXAMPLES = """examples:
  bertsmith finetune sequence_classification --model runs/mini --train train.tsv --eval dev.tsv \\
      --output runs/sentiment
  bertsmith finetune token_classification --model runs/mini --train train.conll \\
      --eval dev.conll --output runs/names
      learns names from words with tags such as B-person, in any of the usual schemes
  bertsmith finetune glue:mrpc --model runs/mini --output runs/mrpc data.folder=GLUE
      takes a data set by its name, which says the task, its labels and files and what decides
  bertsmith finetune runs/spam/recipe.toml --output runs/spam2 train.seed=2
      runs a recipe file again; options and settings count before what it says
  bertsmith finetune runs/spam/recipe.toml --output runs/spam2 --dry-run
      checks records and settings, shows the plan, trains and writes nothing

mode=features leaves the model as it is and trains a BiLSTM over its layers; features.layers=[-1],
features.combine=weighted_sum and others say how; mode=finetune_bilstm trains both
"""

_OPTIONS = (
    ("model", "model", "init"),
    ("train", "data", "train"),
    ("eval", "data", "eval"),
    ("output", "train", "output"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_recipe_arguments(parser)
    parser.add_argument(
        "--seeds",
        type=int,
        default=1,
        metavar="N",
        help="run with train.seed and the N - 1 after it, each in OUTPUT/seed-...; the best model "
        "goes to the output folder, mean and deviation are printed and in seeds.json",
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


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """Let a recipe of fine-tuning be given as a file, or by options and settings."""
    add_settings_option(parser, "FinetuneRecipe")
    parser.add_argument(
        "task",
        metavar="TASK",
        help="sequence_classification or another task, a data set such as glue:mrpc, or a recipe "
        "file ending in .toml",
    )
    parser.add_argument("--model", metavar="DIR", help="the model to start from")
    parser.add_argument("--train", metavar="FILE", help="CSV, TSV, JSONL, JSON or CoNLL")
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


def run(args: argparse.Namespace) -> int:
    """Fine-tune and say where the model is."""
    from bertsmith.cli.finetuning_check import dry_run, overfit
    from bertsmith.cli.training_summary import end_of_run, say_what_is_resumed
    from bertsmith.cli.wording import counted
    from bertsmith.errors import ConfigError
    from bertsmith.training.finetune_recipe import FinetuneRecipe
    from bertsmith.training.finetuning import finetune

    if args.seeds < 1:
        raise ConfigError(f"--seeds ({args.seeds}) must be at least 1")
    recipe = FinetuneRecipe.from_dict(recipe_values(args, args.overrides))
    if args.resume and args.seeds == 1:
        say_what_is_resumed(recipe.train.output)
    if args.dry_run:
        return dry_run(recipe, resume=args.resume, show=show_preparation, command=_command(args))
    if args.overfit_one_batch:
        return overfit(recipe, command=_command(args))
    if args.seeds > 1:
        return _run_seeds(recipe, args)
    finetuned = finetune(
        recipe, resume=args.resume, on_prepared=show_preparation, on_restart=say_restart
    )
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
        if finetuned.preparation.num_eval:
            print(
                "measured: the kept model in float32, as `bertsmith evaluate` does; the figures "
                "while training are in the precision of training",
                file=sys.stderr,
            )
        if finetuned.tuned:
            print(f"chosen on the evaluation file: {finetuned.tuned}", file=sys.stderr)
        if recipe.train.report:
            print(f"report: {output / 'report.html'}", file=sys.stderr)
        print(f"next: bertsmith predict --model {output} --input FILE", file=sys.stderr)
    return status


def _command(args: argparse.Namespace) -> str:
    """What was typed, without what only looks."""
    words = ["bertsmith", "finetune", args.task]
    for option, *_ in _OPTIONS:
        if getattr(args, option) is not None:
            words += [f"--{option}", getattr(args, option)]
    if args.seeds > 1:
        words += ["--seeds", str(args.seeds)]
    return shlex.join(words + args.overrides + ["--resume"] * args.resume)


def _run_seeds(recipe: FinetuneRecipe, args: argparse.Namespace) -> int:
    from bertsmith.cli.several_runs import ShownOnce, say_seed, seeds_summary
    from bertsmith.training.finetuning import finetune_seeds

    output = recipe.train.output
    outcome = finetune_seeds(
        recipe,
        args.seeds,
        resume=args.resume,
        on_prepared=ShownOnce(show_preparation),
        on_ended=say_seed,
    )
    command = f"bertsmith finetune {output / 'recipe.toml'} --seeds {args.seeds} --resume"
    return seeds_summary(outcome, output, command)


def say_restart(run: SeedRun) -> None:
    """Say that a run begins again."""
    print(
        f"seed {run.seed} has come to nothing; once more, with seed {run.seed + 1} "
        "(train.restarts)",
        file=sys.stderr,
    )


def recipe_values(args: argparse.Namespace, overrides: list[str]) -> dict[str, Any]:
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
        _check_task(args.task)
        values, needed = {"task": {"name": args.task}}, {"model", "train", "output"}
    overrides = list(map(_data_name, overrides))
    if any(override.startswith("data.name=") for override in overrides):
        needed -= {"train"}
    for option, section, key in _OPTIONS:
        value = getattr(args, option)
        if value is not None:
            values.setdefault(section, {})[key] = value
        elif option in needed:
            raise ConfigError(f"--{option} is missing; without a recipe file it is needed")
    return apply_overrides(values, overrides)


def _check_task(name: str) -> None:
    """Say what else may be meant by what is neither a task nor a data set."""
    from bertsmith.data.named_sets import NAMED_SETS
    from bertsmith.errors import ConfigError
    from bertsmith.tasks.registry import task_class, task_names
    from bertsmith.tasks.task import RecordTask

    tasks = [each for each in task_names() if issubclass(task_class(each), RecordTask)]
    if name in task_names() or "." in name:
        return
    close = difflib.get_close_matches(name, [*tasks, *NAMED_SETS], 1)
    hint = f"tasks are {', '.join(tasks)}, and data sets {', '.join(NAMED_SETS)}"
    if close:
        hint = f"did you mean {close[0]}?"
    raise ConfigError(f"{name!r} is neither a task nor a data set; {hint}")


def _data_name(override: str) -> str:
    """`data=glue:mrpc` is short for `data.name=glue:mrpc`."""
    return f"data.name={override[5:]}" if override.startswith("data=") else override


def show_preparation(preparation: Preparation) -> None:
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
