"""What is computed at once takes no more memory than its sequences do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertsmith.export.model_folder import load_model
from bertsmith.inference.embedder import Embedder
from bertsmith.inference.features import attention_maps
from bertsmith.serving.computing import Attended, Computing


def test_a_long_text_does_not_make_the_maps_of_short_ones_large(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def measured(*arguments: Any, **settings: Any) -> Any:
        maps = attention_maps(*arguments, **settings)
        sizes.append(sum(each.numel() for each in maps))
        return maps

    monkeypatch.setattr("bertsmith.serving.computing.attention_maps", measured)
    embedder = Embedder(load_model(folders["base"]))
    sequences = list(embedder.encode(["a good film " * 7, *["a film", "good"] * 10]))
    asked = [
        Attended(sequence, number % 2, number // 2 % 2) for number, sequence in enumerate(sequences)
    ]
    found = Computing(embedder, None, 1024).attend(asked)
    longest = len(sequences[0].input_ids)
    assert max(sizes) <= 2 * longest**2  # of the two heads of one sequence
    for each, weights in zip(asked, found, strict=True):
        (alone,) = Computing(embedder, None, 1024).attend([each])
        assert np.shape(weights) == (len(each.sequence.input_ids),) * 2
        assert np.allclose(weights, alone, atol=1e-5)
