"""`bertsmith evaluate`: the figures of a model, or of a file of answers, on labelled records."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from bertsmith.cli.layout_settings import add_layout_settings, read_source

HELP = "measure a fine-tuned model on a file of labelled records"
EXAMPLES = """examples:
  bertsmith evaluate --model runs/sst2 --data dev.tsv
      prints {"accuracy": ..., "loss": ...} as one line of JSON
  bertsmith evaluate --model runs/sst2 --data test.tsv --report runs/sst2-on-test
      leaves a page with the worst errors, the confusion of labels and more there
  bertsmith evaluate --model runs/cola --data dev.tsv data.text=4 data.label=2
      says which columns of a file without header hold text and label
  bertsmith evaluate --model runs/mrpc --data glue:mrpc data.folder=GLUE
      measures on the dev split of a data set with a name, in the folder of its files
  bertsmith evaluate --predictions predicted/predictions.json --data dev-v1.1.json
      prints what SQuAD's official script does, in percent"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("--model", metavar="DIR", help="a fine-tuned model's folder")
    subject.add_argument(
        "--predictions",
        metavar="FILE",
        help="answers to questions in place of a model: JSON, texts by id, as SQuAD's scripts "
        "read them",
    )
    parser.add_argument(
        "--null-odds",
        metavar="FILE",
        help="beside --predictions: odds of no answer by id; those above --null-threshold make a "
        "prediction no answer, and the thresholds that would be best are printed too",
    )
    parser.add_argument(
        "--null-threshold",
        type=float,
        default=1.0,
        metavar="NUMBER",
        help="odds above it make a prediction no answer (1.0, as in the official script)",
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="FILE",
        help="records with labels: .csv, .tsv, .json, .jsonl, .conll or .conllu, also .gz, .xz or "
        ".zst; or a data set such as glue:mrpc",
    )
    parser.add_argument(
        "--report",
        metavar="FOLDER",
        help="write report.html, pictures and results.json there, with the worst errors",
    )
    parser.add_argument("--device", help="cpu or cuda; a GPU where there is one")
    add_layout_settings(parser, named=True)


def run(args: argparse.Namespace) -> None:
    """Print the figures as one JSON object."""
    from bertsmith.errors import ConfigError

    source = read_source(args.data, args.overrides)
    if args.predictions is not None:
        if args.report is not None:
            raise ConfigError("--report is for --model; a file of predictions has no model")
        from bertsmith.inference.squad_files import score_predictions

        figures = score_predictions(
            args.predictions,
            args.data,
            null_odds=args.null_odds,
            null_threshold=args.null_threshold,
            layout=source.layout,
            folder=source.folder,
            split=source.split,
        )
        print(json.dumps(figures))
        if args.null_odds is not None:
            print(
                f"odds above {args.null_threshold:g} were taken as no answer, whatever the "
                "prediction says (--null-threshold)",
                file=sys.stderr,
            )
        return
    if args.null_odds is not None:
        raise ConfigError("--null-odds is for --predictions; a model gives its own odds")
    from bertsmith.inference.evaluation import evaluate_file

    figures = evaluate_file(
        args.model,
        args.data,
        layout=source.layout,
        folder=source.folder,
        split=source.split,
        device=args.device,
        report=args.report,
    )
    print(json.dumps(figures))
    if args.report is not None:
        print(f"report: {Path(args.report) / 'report.html'}", file=sys.stderr)
    command = ["bertsmith", "predict", "--model", args.model, "--input", args.data]
    print(f"next: {shlex.join([*command, *args.overrides])}", file=sys.stderr)
