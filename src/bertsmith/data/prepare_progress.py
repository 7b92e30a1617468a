"""How far an interrupted preparation has come: one small file beside the shards.

It is replaced atomically after each shard, so a shard counts as finished once this file says so.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bertsmith.atomic import write_atomically
from bertsmith.data.block import MAX_EXAMPLES, Block, TokenizedBlock
from bertsmith.data.corpus import Position
from bertsmith.data.corpus_report import CorpusReport, Counts
from bertsmith.data.repeated_lines import RepeatedLines
from bertsmith.data.shards import ShardEntry
from bertsmith.errors import DataError

PROGRESS = "progress.safetensors"


@dataclass
class PrepareProgress:
    """What the finished shards hold, and where in the source they end."""

    key: dict[str, Any]
    """Settings and sources: a run may go on only where they are the same."""
    position: Position = field(default_factory=Position)
    bytes_read: int = 0
    """Of the sources, as they are on disk, up to that position."""
    shards: list[ShardEntry] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    repeated: RepeatedLines = field(default_factory=RepeatedLines)
    skipped_examples: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read it; None where there is none.

        Raises:
            DataError: it is damaged.
        """
        path = folder / PROGRESS
        if not path.exists():
            return None
        try:
            with safe_open(path, "numpy") as file:
                values = json.loads(file.metadata()["progress"])
                repeated = RepeatedLines(
                    file.get_tensor("line_hashes"),
                    file.get_tensor("line_counts"),
                    values["halvings"],
                )
            return cls(
                values["key"],
                Position(**values["position"]),
                values["bytes_read"],
                [ShardEntry(**entry) for entry in values["shards"]],
                Counts(**values["counts"]),
                repeated,
                values["skipped_examples"],
            )
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path} is damaged ({error}); delete the folder and prepare it again"
            ) from None

    def save(self, folder: Path) -> None:
        """Write it atomically.

        Raises:
            DataError: it cannot be written.
        """
        values = {
            "key": self.key,
            "position": dataclasses.asdict(self.position),
            "bytes_read": self.bytes_read,
            "shards": [dataclasses.asdict(entry) for entry in self.shards],
            "counts": dataclasses.asdict(self.counts),
            "halvings": self.repeated.halvings,
            "skipped_examples": self.skipped_examples,
        }
        tensors = {
            "line_hashes": np.ascontiguousarray(self.repeated.hashes),
            "line_counts": np.ascontiguousarray(self.repeated.counts),
        }
        write_atomically(folder / PROGRESS, [save(tensors, {"progress": json.dumps(values)})])

    def copy(self) -> Self:
        """One that further blocks do not change."""
        repeated = RepeatedLines(self.repeated.hashes, self.repeated.counts, self.repeated.halvings)
        return dataclasses.replace(
            self,
            shards=list(self.shards),
            repeated=repeated,
            skipped_examples=list(self.skipped_examples),
        )

    def add(self, block: Block, tokenized: TokenizedBlock) -> None:
        """Take in what the next block holds, and where it ends."""
        self.position, self.bytes_read = block.end, block.bytes_read
        self.counts += tokenized.counts
        self.repeated.add(tokenized.line_hashes, tokenized.line_counts)
        room = MAX_EXAMPLES - len(self.skipped_examples)
        self.skipped_examples += block.skipped.examples[:room]

    def report(self) -> CorpusReport:
        """What is known of the corpus so far."""
        return CorpusReport(
            counts=self.counts,
            repeated_line_share=self.repeated.share,
            repeated_line_sample=2.0**-self.repeated.halvings,
            skipped_examples=tuple(self.skipped_examples),
        )
