"""`bertsmith vocab`: learns a vocabulary from text."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from bertsmith.errors import ConfigError

HELP = "learn a vocabulary of wordpieces from text"
EXAMPLES = """examples:
  bertsmith vocab corpus/*.txt.xz --size 30522 --output vocab
      writes vocab/vocab.txt, tokenizer.json and tokenizer_config.json, lower-casing the text
  bertsmith vocab notes.jsonl --size 8000 --output vocab --cased --unused 100
      keeps upper case and accents, and reserves [unused0] to [unused99] for words of your own"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "texts",
        nargs="+",
        metavar="TEXT",
        help=".txt, .jsonl or .parquet, also .gz, .xz or .zst; a file, a glob or a folder",
    )
    parser.add_argument("--size", type=int, required=True, help="the most wordpieces, all counted")
    parser.add_argument("--output", required=True, metavar="DIR", help="the folder to write")
    parser.add_argument("--cased", action="store_true", help="keep upper case and accents")
    parser.add_argument(
        "--unused", type=int, default=0, metavar="N", help="slots [unused0]... to reserve (0)"
    )
    parser.add_argument(
        "--text-column", default="text", metavar="NAME", help="the field of a record (text)"
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out what cannot be read and go on"
    )


def run(args: argparse.Namespace) -> None:
    """Learn, write the three files, and report: JSON on stdout, the same in words on stderr."""
    output = Path(args.output)
    if (output / "vocab.txt").exists():
        raise ConfigError(
            f"{output} holds a vocab.txt already; choose another --output, or remove it if no "
            "model uses it"
        )
    from bertsmith.text.trainer import train_vocabulary

    tokenizer, report = train_vocabulary(
        _texts(args), size=args.size, cased=args.cased, unused=args.unused
    )
    tokenizer.save(output)
    print(f"{output}: {tokenizer.vocab_size:,} wordpieces", file=sys.stderr)
    print(*report.lines(), sep="\n", file=sys.stderr)
    print(json.dumps(dataclasses.asdict(report), ensure_ascii=False))
    print(
        f"next: bertsmith prepare {' '.join(args.texts)} --vocab {output} --output SHARDS",
        file=sys.stderr,
    )


def _texts(args: argparse.Namespace) -> Iterator[str]:
    """The lines of all documents, with a progress bar."""
    from tqdm import tqdm

    from bertsmith.data.corpus import read_documents

    documents = read_documents(args.texts, text_column=args.text_column, skip_bad=args.skip_bad)
    for document in tqdm(documents, unit=" documents", file=sys.stderr):
        yield from document.lines
