"""`bertsmith prepare`: text to tokenized shards."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from typing import TYPE_CHECKING

from bertsmith.cli.job_options import add_engine, talking_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bertsmith.data.corpus_report import CorpusReport
    from bertsmith.data.parallel import OrderedMap

HELP = "tokenize text once, into shards that training reads"
EXAMPLES = """examples:
  bertsmith prepare corpus/ --vocab vocab --output shards
  bertsmith prepare 'books/*.txt.xz' news.jsonl.zst --vocab vocab/vocab.txt --output shards \\
      --text-column body --workers 8

TEXT is .txt (a paragraph or a sentence a line, a blank line between documents), .jsonl or
.parquet (a document a record), each also as .gz, .xz or .zst. After an interruption the same
command goes on with the shard where it stopped. The report goes to stdout as JSON.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("text", nargs="+", metavar="TEXT", help="a file, a glob or a folder")
    parser.add_argument(
        "--vocab",
        required=True,
        help="vocab.txt, a folder with one, or the name of a model that comes with bertsmith",
    )
    parser.add_argument("--output", required=True, metavar="SHARDS", help="a new or empty folder")
    parser.add_argument("--workers", type=int, help="processes (default: every core)")
    parser.add_argument(
        "--language", default="en", help="whose rules split sentences, ISO 639-1 (default: en)"
    )
    parser.add_argument(
        "--sentence-per-line", action="store_true", help="a line is a sentence; do not split it"
    )
    parser.add_argument(
        "--document-per-file", action="store_true", help="blank lines in .txt mean nothing"
    )
    parser.add_argument(
        "--text-column", default="text", help="field of a record that holds text (default: text)"
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out and count what cannot be read"
    )
    parser.add_argument(
        "--shard-wordpieces", type=int, metavar="N", help="size of a shard (default: 32 million)"
    )
    add_engine(parser)


def run(args: argparse.Namespace) -> None:
    """Prepare the text and print the report."""
    from tqdm import tqdm

    from bertsmith.data.prepare import Preparation, PrepareSettings
    from bertsmith.export.shipped_models import named_folder
    from bertsmith.text.tokenizer import Tokenizer

    settings = PrepareSettings(
        language=None if args.sentence_per_line else args.language,
        text_column=args.text_column,
        document_per_file=args.document_per_file,
        skip_bad=args.skip_bad,
    )
    if args.shard_wordpieces is not None:
        settings = dataclasses.replace(settings, shard_wordpieces=args.shard_wordpieces)
    # A cluster that is not there is told of before anything is made.
    with _workers(args) as (mapped, workers):
        tokenizer = Tokenizer.load(named_folder(args.vocab))
        preparation = Preparation(args.text, tokenizer, args.output, settings)
        if preparation.report is not None:
            _say(f"{args.output} is finished already; nothing is left to do")
        elif preparation.num_finished_shards:
            _say(f"going on after the {preparation.num_finished_shards} shards in {args.output}")
        with tqdm(
            total=preparation.total_bytes,
            initial=preparation.bytes_done,
            unit="B",
            unit_scale=True,
            desc="prepare",
            mininterval=0.5 if sys.stderr.isatty() else 30,
            disable=preparation.report is not None,
        ) as bar:
            report = preparation.run(
                workers, lambda: bar.update(preparation.bytes_done - bar.n), mapped
            )
    print(json.dumps(report.to_dict(), ensure_ascii=False))
    for line in _explain(report):
        _say(line)
    _say(f"next: bertsmith info {args.output}")


@contextlib.contextmanager
def _workers(args: argparse.Namespace) -> Iterator[tuple[OrderedMap, int | None]]:
    """What hands the text to workers, and how many there are to be."""
    from bertsmith.data.parallel import ordered_map

    if args.engine == "local":
        yield ordered_map, args.workers
        return
    with talking_cluster(args.workers) as cluster:
        yield cluster.ordered_map, cluster.num_workers(args.workers)


def _explain(report: CorpusReport) -> Iterator[str]:
    """What the numbers mean to someone who is about to train."""
    counts = report.counts
    yield (
        f"{counts.documents:,} documents, {counts.sentences:,} sentences, "
        f"{counts.wordpieces:,} wordpieces"
    )
    yield (
        f"[UNK]: {counts.unknown_wordpieces:,} of the wordpieces ({report.unknown_share:.3%})"
        + ("; the vocabulary does not fit this text" if report.unknown_share > 0.01 else "")
    )
    sample = report.repeated_line_sample
    how = "exact" if sample == 1 else f"estimated from 1 in {round(1 / sample)} distinct lines"
    yield f"repeated lines: {report.repeated_line_share:.1%} ({how})"
    single = counts.one_sentence_documents / counts.documents
    yield f"documents of one sentence, of no use for next-sentence prediction: {single:.1%}"
    if counts.empty_documents:
        yield f"{counts.empty_documents:,} documents were empty and are left out"
    if counts.cut_documents:
        yield (
            f"documents were cut in {counts.cut_documents:,} places for their length; "
            "is there a blank line between documents?"
        )
    if counts.replacement_character_lines:
        yield (
            f"{counts.replacement_character_lines:,} lines hold U+FFFD, which stands for text "
            "that an earlier program could not decode"
        )
    if counts.mojibake_lines:
        yield (
            f"{counts.mojibake_lines:,} lines look like UTF-8 read as Windows-1252 "
            "('Ã©' for 'é'); decode the source again as UTF-8"
        )
    if counts.skipped:
        yield f"{counts.skipped:,} things could not be read and are left out, such as:"
        yield from (f"  {example}" for example in report.skipped_examples)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
