"""What a model's graph is to whoever asks it, whichever program computes it.

Dimension key: `B` rows, `S` their length, `H` hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bertsmith.errors import CheckpointError
from bertsmith.export.padded_rows import Ids

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
HIDDEN, LOGITS = "last_hidden_state", "logits"


class Graph(Protocol):
    """A graph over padded rows that a program has opened, on the CPU.

    `last_hidden_state` is (B, S, H); `logits`, of a model of one task that is learned from
    records, has a row for each sequence (B, ...) or for each token (B, S, ...).
    """

    def __call__(self, inputs: Mapping[str, Ids]) -> Mapping[str, NDArray[np.float32]]:
        """Outputs by name, of `input_ids`, `attention_mask` and `token_type_ids`, (B, S) each."""


def damaged_graph(path: Path, error: Exception) -> CheckpointError:
    """What is said of a graph that a program cannot read."""
    # OpenVINO begins with places in its own source.
    lines = [line for line in str(error).strip().splitlines() if ".cpp:" not in line]
    reason = lines[0][:200] if lines else type(error).__name__
    return CheckpointError(f"{path} cannot be read as a graph ({reason}); export the model again")
