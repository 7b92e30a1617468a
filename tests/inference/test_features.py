"""Vectors of every layer and attention maps are those of transformers."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.errors import ConfigError
from bertsmith.export.model_folder import load_model
from bertsmith.inference.features import attention_maps, features
from bertsmith.model.attention import SelfAttention
from bertsmith.tasks.model import BertForTasks

TEXTS = ["paris is the capital of france .", ("a good film", "a bad book"), "fine"]
ROWS = [[2, 5, 6, 7, 8, 3], [2, 9, 3], [2, 13, 14, 3]]


def test_attention_maps_are_those_of_transformers(pretrained: Path) -> None:
    theirs = transformers.BertModel.from_pretrained(
        pretrained, attn_implementation="eager", output_attentions=True
    ).eval()
    loaded = load_model(pretrained)
    before = loaded.model.bert.encoder.layers[0].attention.attention
    maps = attention_maps(loaded.model, Batch.from_sequences(ROWS))
    assert loaded.model.bert.encoder.layers[0].attention.attention is before
    assert len(maps) == 2
    padded = torch.tensor([row + [0] * (6 - len(row)) for row in ROWS])
    mask = torch.tensor([[1] * len(row) + [0] * (6 - len(row)) for row in ROWS])
    with torch.no_grad():
        expected = theirs(input_ids=padded, attention_mask=mask).attentions
    for mine, yours in zip(maps, expected, strict=True):
        assert mine.shape == (3, 2, 6, 6)
        for index, row in enumerate(ROWS):
            size = len(row)
            torch.testing.assert_close(
                mine[index, :, :size, :size], yours[index, :, :size, :size], atol=1e-5, rtol=0
            )
            assert not mine[index, :, size:].any()
            assert not mine[index, :, :, size:].any()
    (second,) = attention_maps(loaded.model, Batch.from_sequences(ROWS), layers=[1])
    torch.testing.assert_close(second, maps[1])


def test_whoever_uses_the_model_meanwhile_is_not_in_the_maps(pretrained: Path) -> None:
    model = load_model(pretrained).model
    batch = Batch.from_sequences([[2, 5, 6, 3], [2, 7, 3]])
    expected = attention_maps(model, batch)
    first = next(each for each in model.bert.modules() if isinstance(each, SelfAttention))
    plain = first.attention
    others: list[list[Tensor]] = []

    def interrupted(*args: Any) -> Tensor:
        """Attention during which another thread reads something else."""
        if threading.current_thread() is threading.main_thread():
            other = Batch.from_sequences([[2, 8, 3]])
            thread = threading.Thread(target=lambda: others.append([model.bert(other)[0]]))
            thread.start()
            thread.join(20)
        return plain(*args)

    first.attention = interrupted
    found = attention_maps(model, batch)
    assert others
    assert len(found) == len(expected)
    for mine, before in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, before)


def test_features_have_googles_form_and_transformers_numbers(pretrained: Path) -> None:
    loaded = load_model(pretrained)
    found = list(features(loaded, TEXTS, layers=[-1, 0]))
    assert [line["linex_index"] for line in found] == [0, 1, 2]
    theirs = transformers.BertModel.from_pretrained(pretrained).eval()
    for line, text in zip(found, TEXTS, strict=True):
        json.dumps(line)
        pair = (text,) if isinstance(text, str) else text
        encoding = loaded.tokenizer.encode(*pair)
        assert [token["token"] for token in line["features"]] == encoding.tokens
        with torch.no_grad():
            states = theirs(
                input_ids=torch.tensor([encoding.ids]),
                token_type_ids=torch.tensor([encoding.segment_ids]),
                output_hidden_states=True,
            ).hidden_states
        for place, token in enumerate(line["features"]):
            last, first = token["layers"]
            assert (last["index"], first["index"]) == (-1, 0)
            assert last["values"] == pytest.approx(states[2][0, place].tolist(), abs=1e-5)
            assert first["values"] == pytest.approx(states[1][0, place].tolist(), abs=1e-5)
            assert all(value == round(value, 6) for value in last["values"])


@pytest.mark.parametrize(("num_layers", "expected"), [(2, [-1, -2]), (6, [-1, -2, -3, -4])])
def test_the_last_four_layers_are_taken_where_nothing_is_said(
    pretrained: Path, num_layers: int, expected: list[int]
) -> None:
    loaded = load_model(pretrained)
    model = BertForTasks(loaded.model.config.replace(num_hidden_layers=num_layers), [])
    (found,) = features(dataclasses.replace(loaded, model=model), TEXTS[:1])
    assert [layer["index"] for layer in found["features"][0]["layers"]] == expected


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([2], r"layer \(2\) must be from -2 to 1; the model has 2"),
        ([-3], r"layer \(-3\)"),
        ([], "layers is empty"),
    ],
)
def test_layers_that_are_not_there_are_refused(
    pretrained: Path, layers: list[int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        list(features(load_model(pretrained), TEXTS, layers=layers))
