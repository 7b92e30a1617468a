"""`bertsmith tokenize`: shows how text falls into wordpieces."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from bertsmith.errors import DataError

HELP = "split the lines of standard input into wordpieces"
EXAMPLES = """examples:
  echo "Jet makers feud over seat width" | bertsmith tokenize --vocab vocab.txt
      prints {"tokens": ["[CLS]", "jet", "makers", ...], "ids": [101, ...], ...}
  bertsmith tokenize --vocab runs/base --notation gnmt < questions.tsv
      marks word starts with _ in place of ##; a tab in a line separates a pair"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--vocab",
        required=True,
        metavar="DIR_OR_VOCAB_TXT",
        help="a vocab.txt, a tokenizer.json, a folder with one of them, or the name of a model "
        "that comes with bertsmith",
    )
    parser.add_argument(
        "--notation",
        choices=("bert", "gnmt"),
        default="bert",
        help="##ud continues a word (bert, the default), or _fe starts one (gnmt)",
    )
    parser.add_argument(
        "--normalization",
        choices=("huggingface", "google"),
        help="whose rules cut texts (default: as stored, else huggingface); docs/tokenizers.md",
    )


def run(args: argparse.Namespace) -> None:
    """Print a JSON object for each line."""
    from bertsmith.export.shipped_models import named_folder
    from bertsmith.text.notation import in_gnmt_notation
    from bertsmith.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(named_folder(args.vocab), normalization=args.normalization)
    for texts in _lines():
        encoding = tokenizer.encode(*texts)
        tokens = encoding.tokens
        answer = {
            "tokens": in_gnmt_notation(tokens) if args.notation == "gnmt" else tokens,
            "ids": encoding.ids,
            "segment_ids": encoding.segment_ids,
            "offsets": encoding.offsets,
        }
        print(json.dumps(answer, ensure_ascii=False))
    print(f"next: bertsmith prepare TEXT... --vocab {args.vocab} --output SHARDS", file=sys.stderr)


def _lines() -> Iterator[list[str]]:
    """Each line of standard input as one text or two."""
    if sys.stdin is None:
        raise DataError("standard input is closed; give text there, one line each")
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            texts = line.decode().rstrip("\r\n").split("\t")
        except UnicodeDecodeError:
            raise DataError(f"<stdin>:{number}: is not UTF-8; convert the text first") from None
        if len(texts) > 2:
            raise DataError(
                f"<stdin>:{number}: has {len(texts) - 1} tabs; one separates a pair, so replace "
                "the others by blanks"
            )
        yield texts
