"""`bertsmith extend`: words of a field, and positions, for a model that has been pre-trained."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertsmith.text.tokenizer import Tokenizer

HELP = "add the words of your field to a model's vocabulary, or positions to the model"
EXAMPLES = """examples:
  bertsmith extend --model bert-base --text papers/ --count 1000 --output bert-papers
      the words whose own pieces shorten the text most; go on pre-training with model.init
  bertsmith extend --model bert-base --words words.txt --positions 1024 --output bert-long
      the words of a file, one a line
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", required=True, metavar="DIR", help="a model of any kind")
    parser.add_argument("--output", required=True, metavar="DIR", help="where the new model goes")
    words = parser.add_mutually_exclusive_group()
    words.add_argument("--text", nargs="+", metavar="TEXT", help="a corpus to choose words from")
    words.add_argument("--words", metavar="FILE", help="the words themselves, one a line")
    parser.add_argument("--count", type=int, default=1000, help="words to choose (1000)")
    parser.add_argument(
        "--min-frequency", type=int, default=10, help="how often a word must occur (10)"
    )
    parser.add_argument("--positions", type=int, help="the longest sequence, in wordpieces")


def run(args: argparse.Namespace) -> None:
    """Choose, extend, resize and write."""
    from bertsmith.errors import ConfigError
    from bertsmith.export.model_folder import load_model, save_model
    from bertsmith.tasks.resize import with_positions, with_wordpieces
    from bertsmith.text.extension import extend_vocabulary

    if args.text is None and args.words is None and args.positions is None:
        raise ConfigError("there is nothing to add; give --text, --words or --positions")
    loaded = load_model(args.model)
    model, tokenizer = loaded.model, loaded.tokenizer
    words: list[str] = []
    if args.text is not None or args.words is not None:
        words = _words(args, tokenizer)
        extension = extend_vocabulary(tokenizer, words)
        tokenizer = extension.tokenizer
        old_ids = {new.id: new.old_ids for new in extension.new}
        model = with_wordpieces(model, tokenizer.vocab_size, old_ids)
    if args.positions is not None:
        model = with_positions(model, args.positions)
        tokenizer = tokenizer.with_max_length(None)
    save_model(args.output, model, tokenizer, pooling=loaded.pooling)
    config = model.config
    sizes = {"vocab_size": config.vocab_size, "positions": config.max_position_embeddings}
    print(json.dumps({"path": args.output, "words": words} | sizes, ensure_ascii=False))
    print(
        f"next: bertsmith pretrain RECIPE.toml model.preset= model.init={args.output}, on text "
        f"prepared with --vocab {args.output}",
        file=sys.stderr,
    )


def _words(args: argparse.Namespace, tokenizer: Tokenizer) -> list[str]:
    from pathlib import Path

    from bertsmith.data.corpus import read_documents
    from bertsmith.errors import DataError
    from bertsmith.text.extension import choose_words

    if args.words is not None:
        try:
            text = Path(args.words).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{args.words} is not UTF-8: {error.reason}") from None
        return [line.strip() for line in text.splitlines() if line.strip()]
    lines = (line for document in read_documents(args.text) for line in document.lines)
    chosen = choose_words(lines, tokenizer, count=args.count, min_frequency=args.min_frequency)
    if not chosen:
        raise DataError(
            f"no word occurs {args.min_frequency} times without being one piece already; give more "
            "text or a lower --min-frequency"
        )
    for choice in chosen[:10]:
        pieces = " ".join(choice.pieces)
        print(f"  {choice.word}  {pieces}  ({choice.frequency:,} times)", file=sys.stderr)
    return [choice.word for choice in chosen]
