"""`bertsmith evaluate`: the figures of a model, or of a file of answers, on records or text."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from bertsmith.cli.layout_settings import add_layout_settings, data_section, read_source

HELP = "measure a model on a file of labelled records, or a pre-trained one on held-out text"
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
      prints what SQuAD's official script does, in percent
  bertsmith evaluate --model bertsmith-mini --data shards/dev data.max_seqlen=128
      masked-LM loss, accuracy and perplexity, and next-sentence accuracy, on prepared text"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("--model", metavar="DIR", help="a model's folder")
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
        metavar="NUMBER",
        help="beside --null-odds: odds above it make a prediction no answer (1.0, as in the "
        "official script)",
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="FILE",
        help="records with labels: .csv, .tsv, .json, .jsonl, .conll or .conllu, also .gz, .xz or "
        ".zst; a data set such as glue:mrpc; or for a pre-trained model text, in a folder that "
        "`bertsmith prepare` has written",
    )
    parser.add_argument(
        "--report",
        metavar="FOLDER",
        help="write report.html, pictures and results.json there, with the worst errors",
    )
    parser.add_argument("--device", help="cpu or cuda; a GPU where there is one")
    add_layout_settings(
        parser,
        named=True,
        more="; of prepared text data.max_seqlen (128), data.pairs (true), "
        "data.single_segment_prob (0.0) and data.eval_tokens (all of it)",
    )


def run(args: argparse.Namespace) -> None:
    """Print the figures as one JSON object."""
    from bertsmith.data.named_sets import is_name
    from bertsmith.data.shards import MANIFEST

    _refuse_misplaced_options(args)
    if args.model is not None and (Path(args.data) / MANIFEST).is_file():
        _measure_on_text(args)
        return
    if args.model is not None and not is_name(args.data):
        from bertsmith.inference.shard_evaluation import refuse_records

        refuse_records(args.model, args.data)
    source = read_source(args.data, args.overrides)
    if args.predictions is not None:
        from bertsmith.inference.squad_files import score_predictions

        threshold = 1.0 if args.null_threshold is None else args.null_threshold
        figures = score_predictions(
            args.predictions,
            args.data,
            null_odds=args.null_odds,
            null_threshold=threshold,
            layout=source.layout,
            folder=source.folder,
            split=source.split,
        )
        print(json.dumps(figures))
        if args.null_odds is not None:
            print(
                f"odds above {threshold:g} were taken as no answer, whatever the "
                "prediction says (--null-threshold)",
                file=sys.stderr,
            )
        return
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


def _refuse_misplaced_options(args: argparse.Namespace) -> None:
    """What belongs to the other way of measuring, before a model is looked for."""
    from bertsmith.errors import ConfigError

    if args.predictions is not None and args.report is not None:
        raise ConfigError("--report is for --model; a file of predictions has no model")
    if args.model is not None and args.null_odds is not None:
        raise ConfigError("--null-odds is for --predictions; a model gives its own odds")
    if args.null_odds is None and args.null_threshold is not None:
        raise ConfigError("--null-threshold is for the odds of --null-odds; name them or remove it")
    if args.predictions is not None and args.device is not None:
        raise ConfigError(
            "--device is for --model; a file of predictions is compared, not computed"
        )


def _measure_on_text(args: argparse.Namespace) -> None:
    """The same of a pre-trained model, on a folder of prepared text."""
    from bertsmith.errors import ConfigError
    from bertsmith.inference.shard_evaluation import evaluate_shards, held_out_text

    if args.report is not None:
        raise ConfigError("--report is for labelled records; text without labels has no worst ones")
    text = held_out_text(data_section(args.overrides))
    print(json.dumps(evaluate_shards(args.model, args.data, text, device=args.device)))
    print(
        f"next: bertsmith finetune TASK --model {args.model} --train FILE --eval FILE --output DIR",
        file=sys.stderr,
    )
