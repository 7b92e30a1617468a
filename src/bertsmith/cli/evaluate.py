"""`bertsmith evaluate`: the figures of a model on a file of labelled records."""

from __future__ import annotations

import argparse
import json
import sys

from bertsmith.cli.layout_settings import add_layout_settings, read_layout_settings

HELP = "measure a fine-tuned model on a file of labelled records"
EXAMPLES = """examples:
  bertsmith evaluate --model runs/sst2 --data dev.tsv
      prints {"accuracy": ..., "loss": ...} as one line of JSON
  bertsmith evaluate --model runs/cola --data dev.tsv data.text=4 data.label=2
      says which columns of a file without header hold text and label"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", required=True, metavar="DIR", help="a fine-tuned model's folder")
    parser.add_argument(
        "--data",
        required=True,
        metavar="FILE",
        help="records with labels: .csv, .tsv or .jsonl, also .gz, .xz or .zst",
    )
    parser.add_argument("--device", help="cpu or cuda; a GPU where there is one")
    add_layout_settings(parser)


def run(args: argparse.Namespace) -> None:
    """Print the figures as one JSON object."""
    layout = read_layout_settings(args.overrides)
    from bertsmith.inference.evaluation import evaluate_file

    figures = evaluate_file(args.model, args.data, layout=layout, device=args.device)
    print(json.dumps(figures))
    print(f"next: bertsmith predict --model {args.model} --input {args.data}", file=sys.stderr)
