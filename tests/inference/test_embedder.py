"""One vector of a text: the poolings by their definition, in order, whatever the batches."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from bertsmith.batch import Batch
from bertsmith.errors import ConfigError, DataError
from bertsmith.export.model_folder import load_model, save_model
from bertsmith.export.sentence_transformers import Pooling
from bertsmith.inference.embedder import Embedder, embed, pool

WORDS = ["paris", "is", "the", "capital", "of", "france", "a", "good", "bad", "film", "."]
DRAW = random.Random(0)
TEXTS = [" ".join(DRAW.choices(WORDS, k=DRAW.randint(0, 14))) for _ in range(40)]


@pytest.mark.parametrize("mode", ["mean", "cls", "max"])
@pytest.mark.parametrize("layer", [-1, 0])
@pytest.mark.parametrize("normalize", [False, True])
def test_vectors_are_pooled_by_the_definition(
    pretrained: Path, mode: str, layer: int, normalize: bool
) -> None:
    embedder = Embedder.load(
        pretrained, device="cpu", pooling=mode, layer=layer, normalize=normalize
    )
    found = np.stack(list(embedder.vectors(TEXTS, batch_tokens=50)))
    assert found.shape == (40, 32)
    assert found.dtype == np.float32
    for row, text in zip(found, TEXTS, strict=True):
        encoding = embedder.tokenizer.encode(text, max_length=12)
        with torch.no_grad():
            output = embedder.model.bert(
                Batch.from_sequences([encoding.ids]), all_hidden_states=True
            )
        states = output.all_hidden_states[layer % 2 + 1]
        expected = {
            "mean": states.mean(0),
            "cls": states[0],
            "max": states.max(0).values,
        }[mode]
        if normalize:
            expected = expected / expected.norm()
        np.testing.assert_allclose(row, expected.numpy(), atol=1e-5)


def test_the_folders_own_pooling_is_taken(pretrained: Path, tmp_path: Path) -> None:
    loaded = load_model(pretrained)
    save_model(tmp_path, loaded.model, loaded.tokenizer, pooling=Pooling("max", normalize=True))
    assert Embedder.load(tmp_path, device="cpu").pooling == Pooling("max", normalize=True)
    given = Embedder.load(tmp_path, device="cpu", pooling="cls", normalize=False)
    assert given.pooling == Pooling("cls", normalize=False)
    # An existing folder is replaced, sub-folders and all.
    save_model(tmp_path, loaded.model, loaded.tokenizer, pooling=Pooling("cls"))
    assert Embedder.load(tmp_path, device="cpu").pooling == Pooling("cls")
    np.testing.assert_array_equal(
        embed(TEXTS[:3], tmp_path, device="cpu"),
        Embedder.load(tmp_path, device="cpu").embed(TEXTS[:3]),
    )


def test_no_texts_give_no_vectors(pretrained: Path) -> None:
    assert Embedder.load(pretrained, device="cpu").embed([]).shape == (0, 32)


def test_what_cannot_be_is_refused(pretrained: Path) -> None:
    with pytest.raises(ConfigError, match=r"pooling \('sum'\) must be one of cls, mean, max"):
        Embedder.load(pretrained, device="cpu", pooling="sum")
    with pytest.raises(ConfigError, match=r"layer \(7\) must be from -2 to 1"):
        Embedder.load(pretrained, device="cpu", layer=7)
    embedder = Embedder.load(pretrained, device="cpu")
    with pytest.raises(DataError, match="this is a single one; put it in a list"):
        embedder.embed("a text")
    with pytest.raises(DataError, match="text 2 is of type int"):
        embedder.embed(["a", 3])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", ["mean", "max", "cls"])
def test_a_gpu_pools_as_a_cpu_does(mode: str) -> None:
    batch = Batch.from_sequences([[1] * length for length in (3, 128, 1, 40)])
    hidden_states = torch.randn(batch.num_tokens, 96)
    expected = pool(hidden_states, batch, Pooling(mode, normalize=True))
    with torch.inference_mode():
        found = pool(hidden_states.cuda(), batch.to("cuda"), Pooling(mode, normalize=True))
    torch.testing.assert_close(found.cpu(), expected)
