"""`bertsmith fill-mask`: words for [MASK] in a text."""

from __future__ import annotations

import argparse
import json
import sys

HELP = "show the likeliest words for each [MASK] of a text"
EXAMPLES = """examples:
  bertsmith fill-mask --model runs/base "Paris is the [MASK] of France."
      prints {"mask": 1, "word": ..., "probability": ...}, the likeliest of five first
  bertsmith fill-mask --model runs/base --top-k 1 "The [MASK] sat on the [MASK]."
      prints the best word for each of the two, taken by itself
  bertsmith fill-mask --model runs/base --words he,she,they "The nurse said that [MASK] was tired."
      compares these words, of one or several wordpieces"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--model", required=True, metavar="DIR", help="a pre-trained model's folder"
    )
    parser.add_argument("--top-k", type=int, default=5, metavar="K", help="words for each (5)")
    parser.add_argument(
        "--words", metavar="A,B", help="compare these words in place of the likeliest"
    )
    parser.add_argument("--device", help="cpu or cuda; a GPU where there is one")
    parser.add_argument("text", metavar="TEXT", help="a text with [MASK] in it, in quotes")


def run(args: argparse.Namespace) -> None:
    """Print a JSON object for each word."""
    from bertsmith.export.model_source import is_exported
    from bertsmith.inference.fill_mask import fill_mask
    from bertsmith.inference.opened_model import open_model
    from bertsmith.training.parallelize import choose_device

    loaded = open_model(args.model, device=choose_device(args.device))
    words = None if args.words is None else [word.strip() for word in args.words.split(",")]
    filled = fill_mask(loaded.model, loaded.tokenizer, args.text, args.top_k, words=words)
    for number, candidates in enumerate(filled, 1):
        for candidate in candidates:
            answer = {"mask": number, "word": candidate.word, "probability": candidate.probability}
            print(json.dumps(answer, ensure_ascii=False))
    if not is_exported(args.model):  # else there is nothing to train
        print(
            f"next: bertsmith finetune TASK --model {args.model} --train FILE --eval FILE "
            "--output DIR",
            file=sys.stderr,
        )
