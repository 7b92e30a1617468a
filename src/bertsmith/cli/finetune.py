"""`bertsmith finetune`: teach a pre-trained BERT a task from records."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bertsmith.training.finetuning import Preparation

HELP = "fine-tune a BERT on records of your own"
EXAMPLES = """examples:
  bertsmith finetune sequence_classification --model runs/mini --train train.tsv --eval dev.tsv \\
      --output runs/sentiment
  bertsmith finetune sequence_classification --model runs/mini --train train.csv --eval dev.csv \\
      --output runs/spam data.text=message data.label=kind optimizer.learning_rate=3e-5
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("task", metavar="TASK", help="sequence_classification")
    parser.add_argument("--model", required=True, metavar="DIR", help="the model to start from")
    parser.add_argument("--train", required=True, metavar="FILE", help="CSV, TSV or JSONL")
    parser.add_argument("--eval", metavar="FILE", help="records to measure on while training")
    parser.add_argument("--output", required=True, metavar="DIR", help="where the model goes")
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
    from bertsmith.cli.training_summary import end_of_run, say_what_is_resumed
    from bertsmith.training.finetuning import finetune
    from bertsmith.training.recipe import FinetuneRecipe
    from bertsmith.training.recipe_file import apply_overrides

    values: dict[str, Any] = {
        "task": {"name": args.task},
        "model": {"init": args.model},
        "data": {"train": args.train} | ({"eval": args.eval} if args.eval else {}),
        "train": {"output": args.output},
    }
    recipe = FinetuneRecipe.from_dict(apply_overrides(values, args.overrides))
    if args.resume:
        say_what_is_resumed(recipe.train.output)
    finetuned = finetune(recipe, resume=args.resume, on_prepared=_show)
    status = end_of_run(finetuned.outcome, recipe.train.output, "the same command with --resume")
    if status == 0:
        truncated = getattr(finetuned.task, "num_truncated", 0)
        if truncated:
            print(
                f"{truncated:,} texts were longer than {finetuned.preparation.max_length} "
                "wordpieces (data.max_seqlen or, where fewer, the model's positions) and were cut",
                file=sys.stderr,
            )
        print(
            f"next: bertsmith predict --model {recipe.train.output} --input FILE", file=sys.stderr
        )
    return status


def _show(preparation: Preparation) -> None:
    """Say what is going to be learned, so that a wrong column or a lost label is seen at once."""
    counts = ", ".join(f"{label} {count:,}" for label, count in preparation.label_counts.items())
    print(
        f"{preparation.num_train:,} records to train on ({counts}), {preparation.num_eval:,} to "
        f"measure on; {len(preparation.report.used)} parameters from the model, "
        f"{len(preparation.report.new)} new",
        file=sys.stderr,
    )
