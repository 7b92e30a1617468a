"""`bertsmith evaluate`: the figures of a model on a file of labelled records."""

from __future__ import annotations

import argparse
import json
import sys

from bertsmith.cli.layout_settings import add_layout_settings, read_source

HELP = "measure a fine-tuned model on a file of labelled records"
EXAMPLES = """examples:
  bertsmith evaluate --model runs/sst2 --data dev.tsv
      prints {"accuracy": ..., "loss": ...} as one line of JSON
  bertsmith evaluate --model runs/cola --data dev.tsv data.text=4 data.label=2
      says which columns of a file without header hold text and label
  bertsmith evaluate --model runs/mrpc --data glue:mrpc data.folder=GLUE
      measures on the dev split of a data set with a name, in the folder of its files"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", required=True, metavar="DIR", help="a fine-tuned model's folder")
    parser.add_argument(
        "--data",
        required=True,
        metavar="FILE",
        help="records with labels: .csv, .tsv or .jsonl, also .gz, .xz or .zst; or a data set "
        "such as glue:mrpc",
    )
    parser.add_argument("--device", help="cpu or cuda; a GPU where there is one")
    add_layout_settings(parser, named=True)


def run(args: argparse.Namespace) -> None:
    """Print the figures as one JSON object."""
    source = read_source(args.data, args.overrides)
    from bertsmith.inference.evaluation import evaluate_file

    figures = evaluate_file(
        args.model,
        args.data,
        layout=source.layout,
        folder=source.folder,
        split=source.split,
        device=args.device,
    )
    print(json.dumps(figures))
    where = " ".join([args.data, *args.overrides])
    print(f"next: bertsmith predict --model {args.model} --input {where}", file=sys.stderr)
