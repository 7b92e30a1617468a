"""`--word` and `--sentences`: which word is looked at, and in which sentences."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertsmith.comparison.labelled_sentences import LabelledSentence


def add_word_options(parser: argparse.ArgumentParser) -> None:
    """Declare both."""
    parser.add_argument("--word", help="which word, or words that stand together (right)")
    parser.add_argument(
        "--sentences",
        metavar="FILE",
        help="sentences that have it: .txt, a sentence a line, or .csv, .tsv, .jsonl with a label "
        "each, the sense (20 of our own, for the word right)",
    )


def chosen_word(args: argparse.Namespace) -> tuple[str, Sequence[LabelledSentence]]:
    """The word, and the sentences that are to have it.

    Raises:
        ConfigError: there is a word, and no sentences of it.
        DataError: the file cannot be read.
    """
    from bertsmith.comparison.labelled_sentences import (
        DEFAULT_SENTENCES,
        DEFAULT_WORD,
        read_sentences,
    )
    from bertsmith.errors import ConfigError

    word = DEFAULT_WORD if args.word is None else args.word
    if args.sentences is not None:
        return word, read_sentences(args.sentences)
    if word != DEFAULT_WORD:
        raise ConfigError(
            f"the sentences that come along have the word {DEFAULT_WORD} and not {word!r}; give "
            "--sentences with some that have it"
        )
    return word, DEFAULT_SENTENCES
