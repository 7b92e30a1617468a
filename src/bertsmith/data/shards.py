"""A tokenized corpus on disk: a folder of shards, a manifest, and the vocabulary's own files.

Text is tokenized once; every epoch and every training run then reads wordpieces through the
page cache. A corpus without a manifest is one that was never finished.

Dimension key: `W` wordpieces, `S` sentences, `D` documents, `V` vocabulary size.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bertsmith.atomic import write_atomically
from bertsmith.data.shard_file import (
    MAX_WORDPIECES,
    Array,
    Shard,
    wordpiece_dtype,
    write_shard,
)
from bertsmith.errors import ConfigError, DataError

__all__ = ["Manifest", "Shard", "ShardEntry", "ShardWriter", "TokenizedCorpus"]

MANIFEST = "manifest.json"
FORMAT = "bertsmith-corpus-1"
# 64 MB of uint16: quick to write and to check, and BERT's own corpus is about 140 of them.
SHARD_WORDPIECES = 32_000_000


@dataclass(frozen=True)
class ShardEntry:
    """What the manifest knows of a shard."""

    file: str
    num_wordpieces: int
    num_sentences: int
    num_documents: int
    sha256: str
    """Of the tensors' bytes in file order; also in the shard's own metadata."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The contents of `manifest.json`."""

    vocab_size: int
    vocabulary_sha256: str
    lowercase: bool
    shards: tuple[ShardEntry, ...]
    preparation: Mapping[str, Any] = field(default_factory=dict)
    """JSON of whatever made the corpus: its settings, sources and report."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder's manifest.

        Raises:
            DataError: there is none, or it is damaged.
        """
        path = folder / MANIFEST
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values.pop("format") != FORMAT:
                raise ValueError("unknown format")
            shards = tuple(ShardEntry(**entry) for entry in values.pop("shards"))
            return cls(shards=shards, **values)
        except FileNotFoundError:
            raise DataError(
                f"{folder} holds no {MANIFEST}: it is not a prepared corpus, or its preparation "
                "was interrupted; run the same `bertsmith prepare` command again to finish it"
            ) from None
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path} is damaged ({error}); delete the folder and prepare it again"
            ) from None

    def save(self, folder: Path) -> None:
        """Write it atomically."""
        values = {"format": FORMAT, **dataclasses.asdict(self)}
        text = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
        write_atomically(folder / MANIFEST, [text.encode()])


class TokenizedCorpus:
    """A prepared corpus, opened for reading; make one with `TokenizedCorpus.open`."""

    def __init__(self, path: Path, manifest: Manifest, shards: list[Shard]):
        self.path = path
        self.manifest = manifest
        self.shards = shards

    @classmethod
    def open(cls, path: str | Path, *, vocabulary_sha256: str | None = None) -> Self:
        """Open a folder of shards: reads the manifest and each shard's header, no wordpieces.

        Args:
            path: the folder.
            vocabulary_sha256: refuse a corpus made with any other vocabulary.

        Raises:
            DataError: the folder is no finished corpus, a shard is missing, truncated or not the
                manifest's, or the vocabulary is another one.
        """
        path = Path(path)
        manifest = Manifest.load(path)
        if not manifest.shards:
            raise DataError(f"{path} holds no shards; its source had no text")
        if vocabulary_sha256 not in (None, manifest.vocabulary_sha256):
            raise DataError(
                f"{path} was prepared with another vocabulary ({manifest.vocabulary_sha256[:12]}) "
                f"than the one given ({vocabulary_sha256[:12]}); "
                "use the vocabulary saved in that folder, or prepare the text again"
            )
        shards = [Shard(path / entry.file) for entry in manifest.shards]
        for shard, entry in zip(shards, manifest.shards, strict=True):
            _check_entry(shard, entry, manifest)
        return cls(path, manifest, shards)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.manifest, self.shards)

    @property
    def num_wordpieces(self) -> int:
        """W, over all shards."""
        return sum(entry.num_wordpieces for entry in self.manifest.shards)

    @property
    def num_sentences(self) -> int:
        """S, over all shards."""
        return sum(entry.num_sentences for entry in self.manifest.shards)

    @property
    def num_documents(self) -> int:
        """D, over all shards."""
        return sum(entry.num_documents for entry in self.manifest.shards)

    @property
    def vocab_size(self) -> int:
        """V."""
        return self.manifest.vocab_size

    @property
    def vocabulary_sha256(self) -> str:
        """Hash of the vocabulary that made the wordpieces."""
        return self.manifest.vocabulary_sha256

    @property
    def lowercase(self) -> bool:
        """Whether the text was lower-cased."""
        return self.manifest.lowercase

    def unigram_counts(self) -> npt.NDArray[np.int64]:
        """(V,) int64: how often each id occurs in the corpus."""
        counts = np.zeros(self.vocab_size, np.int64)
        for shard in self.shards:
            counts += shard.unigram_counts
        return counts

    def verify(self) -> None:
        """Read every byte and compare the checksums.

        Raises:
            DataError: a shard is damaged.
        """
        for shard in self.shards:
            shard.verify()


def _check_entry(shard: Shard, entry: ShardEntry, manifest: Manifest) -> None:
    if shard.metadata.get("vocabulary_sha256") != manifest.vocabulary_sha256:
        raise DataError(
            f"{shard.path} was made with another vocabulary than the rest of its folder; "
            "delete the folder and prepare it again"
        )
    sizes = (shard.num_wordpieces, shard.num_sentences, shard.num_documents)
    if (
        sizes != (entry.num_wordpieces, entry.num_sentences, entry.num_documents)
        or shard.metadata.get("sha256") != entry.sha256
    ):
        raise DataError(
            f"{shard.path} is not the shard that {MANIFEST} lists; "
            "restore it, or delete the folder and prepare it again"
        )


class ShardWriter:
    """Collects documents and writes a shard whenever enough wordpieces have come together.

    As a context manager it writes the last shard and the manifest at the end, unless an error
    ends the block. A document is never cut, so shards run a little over `shard_wordpieces`.

    Args:
        folder: where to write; it must exist.
        vocab_size: V; decides the dtype.
        vocabulary_sha256: `Vocabulary.sha256` of the tokenizer.
        lowercase: whether the tokenizer lower-cases.
        shard_wordpieces: wordpieces at which a shard is full.
        shards: entries of the shards that an interrupted run has finished.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        vocab_size: int,
        vocabulary_sha256: str,
        lowercase: bool,
        shard_wordpieces: int = SHARD_WORDPIECES,
        shards: Sequence[ShardEntry] = (),
    ):
        if not 1 <= shard_wordpieces <= MAX_WORDPIECES:
            raise ConfigError(
                f"the size of a shard ({shard_wordpieces}) must be 1 to {MAX_WORDPIECES} wordpieces"
            )
        self.folder = Path(folder)
        self.shards = list(shards)
        self._vocab_size = vocab_size
        self._vocabulary_sha256 = vocabulary_sha256
        self._lowercase = lowercase
        self._shard_wordpieces = shard_wordpieces
        self._start_shard()

    def append(self, sentences: Sequence[Sequence[int] | Array]) -> None:
        """Add one document: its sentences' ids. Empty sentences, and then documents, are dropped.

        Raises:
            DataError: a full shard cannot be written.
        """
        kept = [np.asarray(sentence) for sentence in sentences if len(sentence)]
        if kept:
            lengths = np.array([len(sentence) for sentence in kept])
            self.append_block(np.concatenate(kept), lengths, np.array([len(kept)]))

    def append_block(
        self, wordpieces: Array, sentence_lengths: Array, document_lengths: Array, source: str = ""
    ) -> ShardEntry | None:
        """Add many documents at once.

        Args:
            wordpieces: (W,) all ids end to end.
            sentence_lengths: (S,) wordpieces of each sentence, at least 1.
            document_lengths: (D,) sentences of each document, at least 1.
            source: where the documents come from, for the shard's metadata.

        Returns:
            The entry of the shard that this block filled, if it did.

        Raises:
            DataError: the full shard cannot be written.
        """
        if len(wordpieces) == 0:
            return None
        lowest, highest = int(wordpieces.min()), int(wordpieces.max())
        if lowest < 0 or highest >= self._vocab_size:
            bad = lowest if lowest < 0 else highest
            raise DataError(f"id {bad} is not one of the vocabulary's {self._vocab_size}")
        self._unigram_counts += np.bincount(wordpieces, minlength=self._vocab_size).astype("<u4")
        self._wordpieces.append(wordpieces.astype(wordpiece_dtype(self._vocab_size), copy=False))
        self._sentence_lengths.append(sentence_lengths)
        self._document_lengths.append(document_lengths)
        self._size += len(wordpieces)
        self._sources.append(source)
        return self.flush() if self._size >= self._shard_wordpieces else None

    def flush(self) -> ShardEntry | None:
        """Write what is left as a shard; returns None when nothing is."""
        if not self._size:
            return None
        tensors = {
            "wordpieces": np.concatenate(self._wordpieces),
            "sentence_starts": _starts(self._sentence_lengths),
            "document_starts": _starts(self._document_lengths),
            "unigram_counts": self._unigram_counts,
        }
        counts = {
            "num_wordpieces": self._size,
            "num_sentences": len(tensors["sentence_starts"]) - 1,
            "num_documents": len(tensors["document_starts"]) - 1,
        }
        metadata = {
            "vocabulary_sha256": self._vocabulary_sha256,
            "lowercase": json.dumps(self._lowercase),
            "first_source": self._sources[0],
            "last_source": self._sources[-1],
            **{name: str(count) for name, count in counts.items()},
        }
        name = f"shard-{len(self.shards):05}.safetensors"
        checksum = write_shard(self.folder / name, tensors, metadata)
        entry = ShardEntry(name, sha256=checksum, **counts)
        self.shards.append(entry)
        self._start_shard()
        return entry

    def finish(self, preparation: Mapping[str, Any] | None = None) -> Manifest:
        """Write the last shard, then the manifest, which makes the corpus complete."""
        self.flush()
        manifest = Manifest(
            vocab_size=self._vocab_size,
            vocabulary_sha256=self._vocabulary_sha256,
            lowercase=self._lowercase,
            shards=tuple(self.shards),
            preparation=preparation or {},
        )
        manifest.save(self.folder)
        return manifest

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()

    def _start_shard(self) -> None:
        self._wordpieces: list[Array] = []
        self._sentence_lengths: list[Array] = []
        self._document_lengths: list[Array] = []
        self._unigram_counts = np.zeros(self._vocab_size, "<u4")
        self._size = 0
        self._sources: list[str] = []


def _starts(lengths: list[Array]) -> Array:
    """Lengths to the offset of each start, and the end."""
    return np.concatenate([[0], *lengths]).cumsum(dtype=np.uint32)
