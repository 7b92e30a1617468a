"""Which encoders there are, and what all of them do alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tests.model.encoders.models import BATCH, SEQUENCES, build, config_of

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.export.model_folder import load_model, save_model
from bertsmith.export.onnx_graph import write_onnx
from bertsmith.inference.embedder import Embedder
from bertsmith.model.bert import Bert
from bertsmith.model.encoders.registry import encoder_class, encoder_names
from bertsmith.model.feature_encoder import FeaturesConfig
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary

OTHERS = [name for name in encoder_names() if name != "bert"]
TOKENIZER = Tokenizer.from_vocabulary(
    Vocabulary([*SPECIAL_TOKENS, *(f"w{number}" for number in range(25))]), lowercase=True
)


def saved(name: str, folder: Path, **settings: Any) -> BertForTasks:
    torch.manual_seed(1)
    task = build_task("sequence_classification", labels=["no", "yes"])
    model = BertForTasks(config_of(name), [task], **settings).eval()
    save_model(folder, model, TOKENIZER)
    return model


def test_a_file_is_an_encoder() -> None:
    assert encoder_names() == ["bert", "left_to_right", "static_vectors", "two_lstms"]
    assert encoder_class("bert") is Bert
    assert all(issubclass(encoder_class(name), Bert) for name in OTHERS)


@pytest.mark.parametrize("name", ["os", "bertsmith.model.bert", "registry", "../bert", ""])
def test_nothing_else_is_imported(name: str) -> None:
    with pytest.raises(ConfigError, match=r"is not an encoder; "):
        encoder_class(name)


@pytest.mark.parametrize("name", encoder_names())
def test_a_sequence_has_the_same_vectors_alone_and_in_company(name: str) -> None:
    bert = build(name)
    together = bert(BATCH, all_hidden_states=True)
    assert together.pooled_output.shape == (len(SEQUENCES), 16)
    assert len(together.all_hidden_states) == bert.config.num_hidden_layers + 1
    for layer in together.all_hidden_states:
        assert layer.shape == (BATCH.num_tokens, 16)
    start = 0
    for index, sequence in enumerate(SEQUENCES):
        alone = bert(Batch.from_sequences([sequence]))
        part = slice(start, start + len(sequence))
        torch.testing.assert_close(together.hidden_states[part], alone.hidden_states)
        torch.testing.assert_close(together.pooled_output[index], alone.pooled_output[0])
        start += len(sequence)


@pytest.mark.parametrize("name", encoder_names())
def test_empty_sequences_at_the_end_change_nothing(name: str) -> None:
    bert = build(name)
    bounds = torch.cat([BATCH.cu_seqlens, BATCH.cu_seqlens[-1:].repeat(2)])
    longer = Batch(BATCH.input_ids, BATCH.segment_ids, BATCH.position_ids, bounds, 12)
    expected, found = bert(BATCH), bert(longer)
    torch.testing.assert_close(found.hidden_states, expected.hidden_states)
    torch.testing.assert_close(found.pooled_output[: len(SEQUENCES)], expected.pooled_output)
    assert found.pooled_output.isfinite().all()


@pytest.mark.parametrize("name", encoder_names())
@pytest.mark.parametrize("features", [None, "frozen", "trained"])
def test_a_folder_opens_to_the_same_outputs(
    name: str, features: str | None, tmp_path: Path
) -> None:
    settings = None
    if features is not None:
        settings = FeaturesConfig(
            layers=("embeddings", -1), lstm_hidden_size=5, is_frozen=features == "frozen"
        )
    model = saved(name, tmp_path / "model", features=settings)
    loaded = load_model(tmp_path / "model")
    assert loaded.report.new == loaded.report.left_over == []
    assert type(loaded.model.bert) is encoder_class(name)
    assert loaded.model.config == model.config
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(BATCH, {}), model(BATCH, {}), atol=0, rtol=0)


@pytest.mark.parametrize("name", OTHERS)
def test_transformers_does_not_take_it_for_a_bert(name: str, tmp_path: Path) -> None:
    saved(name, tmp_path / "model")
    with pytest.raises(ValueError, match="bertsmith"):
        transformers.AutoModel.from_pretrained(tmp_path / "model", local_files_only=True)


def test_a_bert_s_folder_says_nothing_of_encoders(tmp_path: Path) -> None:
    saved("bert", tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["model_type"] == "bert"
    assert "encoder" not in config
    # A key of this name that another program has written is none of ours.
    changed = config | {"encoder": "left_to_right"}
    (tmp_path / "model" / "config.json").write_text(json.dumps(changed))
    assert load_model(tmp_path / "model").model.config.is_bert


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "left_to_rigth"}, "'left_to_rigth'.*did you mean left_to_right"),
        ({"encoder": "os.path"}, "is not an encoder"),
        ({"encoder": None}, "is not an encoder"),
        ({"num_hidden_layers": 10**9}, "1000000000 layers; the model is damaged"),
        ({"intermediate_size": 10**9}, "configuration and weights do not belong together"),
        ({"num_hidden_layers": 4}, r"lacks bert\.encoder\.layers\.3"),
        ({"hidden_size": 17, "num_attention_heads": 1}, "must be even"),
    ],
)
def test_a_damaged_folder_is_one_sentence(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    saved("two_lstms", tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(CheckpointError, match=message):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("name", encoder_names())
def test_a_folder_gives_vectors_of_texts(name: str, tmp_path: Path) -> None:
    saved(name, tmp_path / "model")
    embedder = Embedder.load(tmp_path / "model", pooling="mean")
    vectors = embedder.embed(["w1 w2", "w2 w3 w4"])
    assert vectors.shape == (2, 16)
    assert not torch.allclose(torch.tensor(vectors[0]), torch.tensor(vectors[1]))


@pytest.mark.parametrize("name", OTHERS)
def test_it_is_not_exported_as_if_it_were_bert(name: str, tmp_path: Path) -> None:
    model = saved(name, tmp_path / "model")
    with pytest.raises(ConfigError, match=f"{name}.*cannot be exported"):
        write_onnx(model, tmp_path / "model.onnx")


def test_the_configuration_says_what_is_no_name() -> None:
    with pytest.raises(ConfigError, match=r"encoder \(3\) must be the name"):
        BertConfig(encoder=3)  # type: ignore[arg-type]
