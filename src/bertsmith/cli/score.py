"""`bertsmith score`: how likely texts are, or whether one follows another."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from bertsmith.cli.layout_settings import add_input, read_layout_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bertsmith.data.record import Record

HELP = "score texts by a pre-trained model: how likely each is, or whether B follows A"
EXAMPLES = """examples:
  bertsmith score --model runs/base --input sentences.txt > scores.jsonl
      prints {"log_likelihood": ..., "perplexity": ..., "wordpieces": ...} for each: every wordpiece
      is hidden in turn, with the rest of its word, and asked for
  bertsmith score --model runs/base --by next-sentence --input pairs.tsv
      prints {"follows": ...}, the probability that the second text of a pair follows the first"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--model", required=True, metavar="DIR", help="a pre-trained model's folder"
    )
    parser.add_argument(
        "--by",
        choices=("likelihood", "next-sentence"),
        default="likelihood",
        help="which objective of pre-training says it (default: likelihood)",
    )
    parser.add_argument(
        "--tokens", action="store_true", help="of likelihood: each wordpiece's log-probability too"
    )
    parser.add_argument("--device", help="cpu or cuda; a GPU where there is one")
    add_input(parser)


def run(args: argparse.Namespace) -> None:
    """Print the scores, each as soon as it is known."""
    layout = read_layout_settings(args.overrides)
    from tqdm import tqdm

    from bertsmith.data.records import read_records

    records = read_records(args.input, layout=layout)
    answers = (_follows if args.by == "next-sentence" else _likelihoods)(args, records)
    has_bar = sys.stderr.isatty() and not sys.stdout.isatty()
    for answer in tqdm(answers, unit="text", disable=not has_bar):
        print(json.dumps(answer, ensure_ascii=False), flush=True)
    print(f'next: bertsmith fill-mask --model {args.model} "a text with [MASK]"', file=sys.stderr)


def _likelihoods(args: argparse.Namespace, records: Iterator[Record]) -> Iterator[dict[str, Any]]:
    from bertsmith.inference.likelihood import LikelihoodScorer

    scorer = LikelihoodScorer.load(args.model, device=args.device)
    for found in scorer.score(records):
        answer: dict[str, Any] = {
            "log_likelihood": found.log_likelihood,
            "perplexity": found.perplexity,
            "wordpieces": len(found.tokens),
        }
        if args.tokens:
            answer["tokens"] = [*map(list, zip(found.tokens, found.log_probs, strict=True))]
        yield answer


def _follows(args: argparse.Namespace, records: Iterator[Record]) -> Iterator[dict[str, Any]]:
    from bertsmith.inference.next_sentence import NextSentenceScorer

    scorer = NextSentenceScorer.load(args.model, device=args.device)
    for probability in scorer.score(records):
        yield {"follows": probability}
