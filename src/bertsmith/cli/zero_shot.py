"""`bertsmith zero-shot`: labels of the user's own, through an entailment model."""

from __future__ import annotations

import argparse
import json
import sys

from bertsmith.cli.layout_settings import add_input, read_layout_settings

HELP = "give texts labels that no model was trained on, by a model of entailment"
EXAMPLES = """examples:
  bertsmith zero-shot --model runs/snli --labels sport,politics,science --input news.txt
      prints {"label": ..., "probabilities": {...}} for each text
  bertsmith zero-shot --model runs/snli --labels urgent,polite --multi-label \\
      --template "This message is {}." --input mails.csv
      any number of labels may hold, each with a probability of its own"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--model",
        required=True,
        metavar="DIR",
        help="the folder of a model that tells entailment, fine-tuned on SNLI, MNLI or RTE",
    )
    parser.add_argument("--labels", required=True, metavar="A,B", help="in words, with commas")
    parser.add_argument(
        "--template",
        default="This example is {}.",
        help='what is to follow from a text, {} being a label (default: "This example is {}.")',
    )
    parser.add_argument(
        "--multi-label", action="store_true", help="any number of labels may hold at once"
    )
    parser.add_argument("--device", help="cpu or cuda; a GPU where there is one")
    add_input(parser)


def run(args: argparse.Namespace) -> None:
    """Print the labels, each as soon as it is known."""
    layout = read_layout_settings(args.overrides)
    from tqdm import tqdm

    from bertsmith.data.records import read_records
    from bertsmith.inference.zero_shot import ZeroShotClassifier

    classifier = ZeroShotClassifier.load(
        args.model,
        [label.strip() for label in args.labels.split(",")],
        device=args.device,
        template=args.template,
        multi_label=args.multi_label,
    )
    records = read_records(args.input, layout=layout)
    has_bar = sys.stderr.isatty() and not sys.stdout.isatty()
    for answer in tqdm(classifier.classify(records), unit="text", disable=not has_bar):
        print(json.dumps(answer, ensure_ascii=False), flush=True)
    print(
        "next: label some of the texts, then bertsmith finetune sequence_classification --model "
        f"{args.model} --train FILE --eval FILE --output DIR",
        file=sys.stderr,
    )
