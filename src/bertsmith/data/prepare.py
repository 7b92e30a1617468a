"""Text to shards: every line is split and tokenized once, on all cores, and never again.

One process reads and cuts the text into blocks of whole documents, the others tokenize them, and
the blocks come back in order. Blocks, and so shards, depend on the text and the settings only:
the number of workers and interruptions change no byte.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertsmith.cores import available_cores
from bertsmith.data.block import (
    BLOCK_CHARACTERS,
    Block,
    BlockTokenizer,
    Skipped,
    cut_blocks,
)
from bertsmith.data.corpus import DocumentReader, Position
from bertsmith.data.corpus_report import CorpusReport
from bertsmith.data.parallel import OrderedMap, ordered_map
from bertsmith.data.prepare_progress import PROGRESS, PrepareProgress
from bertsmith.data.sentences import sentence_splitter
from bertsmith.data.shards import (
    MANIFEST,
    SHARD_WORDPIECES,
    Manifest,
    Shard,
    ShardWriter,
    TokenizedCorpus,
)
from bertsmith.data.sources import find_sources
from bertsmith.errors import ConfigError, DataError
from bertsmith.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class PrepareSettings:
    """How text becomes shards."""

    language: str | None = "en"
    """Whose rules split lines into sentences (ISO 639-1); None: each line is a sentence."""
    text_column: str = "text"
    """The field of .jsonl and .parquet records that holds the text."""
    document_per_file: bool = False
    """Blank lines in .txt mean nothing; the whole file is one document."""
    skip_bad: bool = False
    """Leave out and count what cannot be read, in place of stopping."""
    shard_wordpieces: int = SHARD_WORDPIECES
    """A shard is full with these; about four characters each."""


# Settings that folders of earlier versions do not name, and what they were.
_LATER_SETTINGS = {"normalization": "huggingface"}


class Preparation:
    """A folder of shards to be made, or to be finished; `prepare` is the short form.

    Args:
        sources: files, globs or folders.
        tokenizer: makes the wordpieces; its files go into the folder.
        output: the folder; new, empty, or left by an interrupted run of the same preparation.
        settings: how.

    Raises:
        DataError: a source does not exist, the folder is not empty, or an interrupted run in it
            had other settings or other sources.
    """

    def __init__(
        self,
        sources: Sequence[str | Path],
        tokenizer: Tokenizer,
        output: str | Path,
        settings: PrepareSettings | None = None,
    ):
        self.settings = settings or PrepareSettings()
        self.output = Path(output)
        self._tokenizer = tokenizer
        self._files = find_sources(sources)
        self._key = self._settings_and_sources()
        sentence_splitter(self.settings.language)  # missing packages are told of before any work
        self.report: CorpusReport | None = None
        """The report, where an earlier run has finished."""
        # What the finished shards hold; blocks that are in none of them are in a copy, so that
        # another run of this object begins with them again.
        self._progress = PrepareProgress(self._key)
        self._open_output()
        self._bytes_done = self._progress.bytes_read

    @property
    def total_bytes(self) -> int:
        """Size of all sources, as they are on disk."""
        return sum(file.size_bytes for file in self._files)

    @property
    def bytes_done(self) -> int:
        """How much of `total_bytes` is behind it."""
        return self._bytes_done

    @property
    def num_finished_shards(self) -> int:
        """Shards that an interrupted run has left."""
        return len(self._progress.shards)

    def run(
        self,
        workers: int | None = None,
        on_progress: Callable[[], None] | None = None,
        mapped: OrderedMap = ordered_map,
    ) -> CorpusReport:
        """Make the shards that are missing, then the manifest.

        With more than one worker a script must keep its own code under
        `if __name__ == "__main__":`, as always with processes that are spawned.

        Args:
            workers: processes that tokenize; every core when None.
            on_progress: called after each block, when `bytes_done` has risen.
            mapped: hands the blocks to workers. Neither who they are nor how many changes a byte.

        Raises:
            DataError: text that cannot be read, or shards that cannot be written. The finished
                shards stay, and the next run goes on after them, of this object or of another.
        """
        workers = available_cores() if workers is None else workers
        if workers < 1:
            raise ConfigError(f"the number of workers ({workers}) must be at least 1")
        if self.report is None:
            try:
                self.report = self._run(workers, on_progress, mapped)
            except BaseException:
                self._discard_if_no_shard()
                raise
        return self.report

    def _run(
        self, workers: int, on_progress: Callable[[], None] | None, mapped: OrderedMap
    ) -> CorpusReport:
        progress = self._progress.copy()
        self._bytes_done = progress.bytes_read
        self._make_output()
        progress.save(self.output)
        writer = ShardWriter(
            self.output,
            vocab_size=self._tokenizer.vocab_size,
            vocabulary_sha256=self._tokenizer.vocabulary.sha256,
            lowercase=self._tokenizer.lowercase,
            shard_wordpieces=self.settings.shard_wordpieces,
            shards=progress.shards,
        )
        make = functools.partial(BlockTokenizer, self._tokenizer, self.settings.language)
        for block, tokenized in mapped(make, self._blocks(progress.position), workers):
            progress.add(block, tokenized)
            self._bytes_done = progress.bytes_read
            if writer.append_block(
                tokenized.wordpieces,
                tokenized.sentence_lengths,
                tokenized.document_lengths,
                block.source,
            ):
                progress.shards = list(writer.shards)
                progress.save(self.output)
                self._progress = progress.copy()
            if on_progress:
                on_progress()
        if not progress.counts.documents:
            raise DataError(f"{self._files[0].path} and what follows it hold no text to prepare")
        report = progress.report()
        self._tokenizer.save(self.output)
        writer.finish({**self._key, "report": report.to_dict()})
        (self.output / PROGRESS).unlink(missing_ok=True)
        return report

    def _blocks(self, start: Position) -> Iterator[Block]:
        skipped = Skipped()
        reader = DocumentReader(
            self._files,
            text_column=self.settings.text_column,
            document_per_file=self.settings.document_per_file,
            skip_bad=self.settings.skip_bad,
            start=start,
            on_bad=skipped.add,
        )
        # Shards end where blocks end, so a small shard needs small blocks.
        return cut_blocks(reader, skipped, min(BLOCK_CHARACTERS, self.settings.shard_wordpieces))

    def _settings_and_sources(self) -> dict[str, Any]:
        """What the bytes of the shards depend on; whether bad text is skipped may change."""
        settings = dataclasses.asdict(self.settings)
        del settings["skip_bad"]
        return {
            "settings": {
                "vocabulary_sha256": self._tokenizer.vocabulary.sha256,
                "lowercase": self._tokenizer.lowercase,
                "normalization": self._tokenizer.normalization,
                **settings,
            },
            "sources": [dataclasses.asdict(file) for file in self._files],
        }

    def _open_output(self) -> None:
        """Make the folder, or take up what an earlier run has left in it."""
        names = self._make_output()
        if MANIFEST in names:
            earlier = Manifest.load(self.output).preparation
            self._check_same(earlier)
            TokenizedCorpus.open(self.output)
            self.report = CorpusReport.from_dict(earlier["report"])
        elif (progress := PrepareProgress.load(self.output)) is not None:
            if progress.shards:
                self._check_same(progress.key)
                for entry in progress.shards:
                    Shard(self.output / entry.file)  # complains where one is missing or truncated
                self._progress = progress
        elif names:
            raise DataError(
                f"{self.output} is not empty and holds no shards; give a new or an empty folder"
            )

    def _make_output(self) -> set[str]:
        """Make the folder where it is not there; the names in it."""
        try:
            self.output.mkdir(parents=True, exist_ok=True)
            return {path.name for path in self.output.iterdir()}
        except OSError as error:
            raise DataError(
                f"{self.output} cannot be used as a folder: {error.strerror or error}"
            ) from None

    def _check_same(self, earlier: Mapping[str, Any]) -> None:
        advice = "use what it was then, or delete the folder to prepare it anew"
        for name, value in self._key["settings"].items():
            was = earlier.get("settings", {}).get(name, _LATER_SETTINGS.get(name))
            if was != value:
                raise DataError(
                    f"{self.output} was begun with {name} {was!r} and it is {value!r} now; {advice}"
                )
        was_sources = {source["path"]: source for source in earlier["sources"]}
        for source in self._key["sources"]:
            if was_sources.pop(source["path"], source) != source:
                raise DataError(
                    f"{source['path']} has changed since {self.output} was begun; {advice}"
                )
        if self._key["sources"] != earlier["sources"]:
            raise DataError(
                f"{self.output} was begun with another list of {len(earlier['sources'])} source "
                f"files than these {len(self._files)}; {advice}"
            )

    def _discard_if_no_shard(self) -> None:
        """Leave no folder where nothing in it is worth going on from.

        A shard may be there that could not be written down as finished; the progress file then
        stays, by which the next run knows the folder.
        """
        with contextlib.suppress(OSError):
            if [path.name for path in self.output.iterdir()] == [PROGRESS]:
                (self.output / PROGRESS).unlink()
                self.output.rmdir()


def prepare(
    sources: Sequence[str | Path],
    tokenizer: Tokenizer,
    output: str | Path,
    settings: PrepareSettings | None = None,
    *,
    workers: int | None = None,
) -> CorpusReport:
    """Tokenize text into a folder of shards; goes on where an interrupted run stopped.

    Args:
        sources: files, globs or folders, as for `read_documents`.
        tokenizer: makes the wordpieces; its files go into the folder.
        output: the folder; new, empty, or left by an interrupted run of the same call.
        settings: how; English paragraphs by default.
        workers: processes that tokenize; every core when None. Changes no byte of the result.

    Raises:
        DataError: text that cannot be read (with file and line), an output folder of something
            else, or a full disk.
    """
    return Preparation(sources, tokenizer, output, settings).run(workers)
