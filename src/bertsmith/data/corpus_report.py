"""What a BERT user must know of a corpus before training on it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bertsmith.data.shards import Manifest

# Two- and three-byte UTF-8 that was read as Windows-1252: Ã© for é, â€™ for ’, Â° for °.
_CONTINUATIONS = "".join(
    re.escape(bytes([byte]).decode("cp1252", errors="ignore") or chr(byte))
    for byte in range(0x80, 0xC0)
)
_MOJIBAKE = re.compile(f"[ÂÃ][{_CONTINUATIONS}]|â€|â‚¬|â„¢|ï»¿")
_MOJIBAKE_STARTS = ("Â", "Ã", "â", "ï»")
REPLACEMENT_CHARACTER = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What adds up over the parts of a corpus."""

    documents: int = 0
    sentences: int = 0
    wordpieces: int = 0
    lines: int = 0
    characters: int = 0
    unknown_wordpieces: int = 0
    """[UNK]: words that the vocabulary cannot spell."""
    one_sentence_documents: int = 0
    """Of no use for next-sentence prediction: they have no next sentence."""
    empty_documents: int = 0
    """Dropped: white space and control characters only."""
    cut_documents: int = 0
    """Cuts in documents longer than `corpus.MAX_DOCUMENT_CHARACTERS`."""
    replacement_character_lines: int = 0
    """With U+FFFD, left by a program that could not decode them."""
    mojibake_lines: int = 0
    """With UTF-8 that was read as Windows-1252."""
    skipped: int = 0
    """Lines, records and rests of files that could not be read."""

    def __add__(self, other: Counts) -> Counts:
        names = [field.name for field in dataclasses.fields(Counts)]
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True, kw_only=True)
class CorpusReport:
    """The report of a prepared corpus; `preparation` of its manifest keeps it."""

    counts: Counts
    repeated_line_share: float
    """Lines that have occurred before as a share of all lines, 0 to 1."""
    repeated_line_sample: float
    """Share of the distinct lines that was looked at for that; 1: all, and the share is exact."""
    skipped_examples: tuple[str, ...] = ()
    """The first few things that could not be read."""

    @property
    def unknown_share(self) -> float:
        """Share of [UNK] among the wordpieces, 0 to 1."""
        return self.counts.unknown_wordpieces / max(1, self.counts.wordpieces)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From the JSON of a manifest."""
        return cls(
            counts=Counts(**values["counts"]),
            repeated_line_share=values["repeated_line_share"],
            repeated_line_sample=values["repeated_line_sample"],
            skipped_examples=tuple(values["skipped_examples"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)


def describe(folder: str | Path) -> dict[str, Any]:
    """What is known of a folder of shards, JSON-ready: sizes, vocabulary, settings, report.

    Raises:
        DataError: the folder is no finished corpus.
    """
    manifest = Manifest.load(Path(folder))
    return {
        "documents": sum(entry.num_documents for entry in manifest.shards),
        "sentences": sum(entry.num_sentences for entry in manifest.shards),
        "wordpieces": sum(entry.num_wordpieces for entry in manifest.shards),
        "shards": len(manifest.shards),
        "vocab_size": manifest.vocab_size,
        "vocabulary_sha256": manifest.vocabulary_sha256,
        "lowercase": manifest.lowercase,
        **manifest.preparation,
    }


def count_suspicious(lines: Iterable[str]) -> tuple[int, int]:
    """Lines with U+FFFD, and lines with mojibake."""
    replaced = mojibake = 0
    for line in lines:
        if not line.isascii():
            replaced += REPLACEMENT_CHARACTER in line
            # The four searches are quicker than the one expression, and nearly always enough.
            if any(start in line for start in _MOJIBAKE_STARTS):
                mojibake += _MOJIBAKE.search(line) is not None
    return replaced, mojibake
