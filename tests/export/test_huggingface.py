"""Every `Bert...` class of transformers, both ways: outputs, losses and gradients agree."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.errors import CheckpointError
from bertsmith.export.huggingface import canonical_names
from bertsmith.export.model_folder import load_model, load_pretrained, save_model
from bertsmith.ops.attention import sdpa
from bertsmith.ops.ragged import row_indices
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary

PIECES = [*SPECIAL_TOKENS, *"abcdefghijklmnop"]
LENGTH = 7
# Rows of one length, so that losses over places compete among the same tokens in both.
ROWS = torch.randint(5, len(PIECES), (4, LENGTH), generator=torch.Generator().manual_seed(1))
SEGMENTS = (torch.arange(LENGTH) > 3).long().expand(4, LENGTH)
BATCH = Batch.from_sequences(ROWS.tolist(), SEGMENTS.tolist())
MASKED = torch.tensor([1, 9, 24])

Case = dict[str, Any]
TOKEN_LABELS = torch.tensor([0, 1, 2, 3, -100, 1, 0] * 4)
MASKED_LABELS = torch.full((4, LENGTH), -100).view(-1).index_put((MASKED,), ROWS.view(-1)[MASKED])
# The class, changes of its configuration, its labels, and ours.
CASES: Mapping[str, Case] = {
    "pre-training": {
        "class": "BertForPreTraining",
        "theirs": {"labels": MASKED_LABELS.view(4, -1), "next_sentence_label": [0, 1, 1, 0]},
        "ours": {"masked_labels": ROWS.view(-1)[MASKED], "next_sentence_labels": [0, 1, 1, 0]},
    },
    "masked LM": {
        "class": "BertForMaskedLM",
        "theirs": {"labels": MASKED_LABELS.view(4, -1)},
        "ours": {"masked_labels": ROWS.view(-1)[MASKED]},
    },
    "LM head": {"class": "BertLMHeadModel", "theirs": {}, "ours": {}},
    "next sentence": {
        "class": "BertForNextSentencePrediction",
        "theirs": {"labels": [0, 1, 1, 0]},
        "ours": {"next_sentence_labels": [0, 1, 1, 0]},
    },
    "single label": {
        "class": "BertForSequenceClassification",
        "config": {"num_labels": 3},
        "theirs": {"labels": [2, 0, 1, 2]},
        "ours": {"labels": [2, 0, 1, 2]},
    },
    "multi-label": {
        "class": "BertForSequenceClassification",
        "config": {"num_labels": 2, "problem_type": "multi_label_classification"},
        "theirs": {"labels": [[1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 1.0]]},
        "ours": {"labels": [[1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 1.0]]},
    },
    "regression": {
        "class": "BertForSequenceClassification",
        "config": {"num_labels": 1},
        "theirs": {"labels": [0.5, 4.0, 2.0, 1.0]},
        "ours": {"scores": [0.5, 4.0, 2.0, 1.0]},
    },
    "tokens": {
        "class": "BertForTokenClassification",
        "config": {"num_labels": 4, "classifier_dropout": 0.25},
        "theirs": {"labels": TOKEN_LABELS.view(4, -1)},
        "ours": {"token_labels": TOKEN_LABELS},
    },
    "question answering": {
        "class": "BertForQuestionAnswering",
        "theirs": {"start_positions": [1, 0, 3, 6], "end_positions": [2, 0, 5, 6]},
        "ours": {
            "answer_places": [[1, 2], [0, 0], [3, 5], [6, 6]],
            "token_indices": row_indices(BATCH.cu_seqlens.diff().tolist()),
        },
    },
    "multiple choice": {
        "class": "BertForMultipleChoice",
        "theirs": {"labels": [1, 0]},
        "ours": {"answers": [1, 0], "choice_indices": [[0, 1], [2, 3]]},
    },
    "encoder": {"class": "BertModel", "theirs": {}, "ours": {}},
    "encoder without pooler": {"class": "BertModel", "theirs": {}, "ours": {}, "pooler": False},
}
# Their outputs by our tasks' names.
OUTPUTS = {
    "masked_lm": ("prediction_logits", "logits"),
    "next_sentence": ("seq_relationship_logits", "logits"),
}


def tensors(values: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    return {key: torch.as_tensor(value) for key, value in values.items()}


SIZES = {
    "vocab_size": len(PIECES),
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 16,
    "initializer_range": 0.4,
}


def random_sizes(seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    heads = draw.randint(1, 5)
    return SIZES | {
        "vocab_size": len(PIECES) + draw.randint(0, 9),
        "hidden_size": heads * draw.randint(1, 9),
        "num_attention_heads": heads,
        "num_hidden_layers": draw.randint(1, 4),
        "intermediate_size": draw.randint(1, 50),
        "max_position_embeddings": draw.randint(LENGTH, 40),
        "type_vocab_size": draw.randint(2, 16),
        "layer_norm_eps": draw.choice([1e-12, 1e-5]),
        "hidden_act": draw.choice(["gelu", "gelu_new", "relu"]),
    }


def build_theirs(case: Case, hidden_act: str = "gelu", **sizes: Any) -> Any:
    torch.manual_seed(0)
    settings = SIZES | {"hidden_act": hidden_act} | sizes | case.get("config", {})
    config = transformers.BertConfig(**settings)
    config._attn_implementation = "eager"
    kind = getattr(transformers, case["class"])
    options = {} if case.get("pooler", True) else {"add_pooling_layer": False}
    theirs = kind(config, **options).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():  # biases and LayerNorms too
            parameter.add_(0.1 * torch.randn_like(parameter))
    return theirs


def run_theirs(theirs: Any, case: Case, **options: Any) -> Any:
    shape = (2, 2, LENGTH) if case["class"] == "BertForMultipleChoice" else (4, LENGTH)
    return theirs(
        input_ids=ROWS.view(shape),
        token_type_ids=SEGMENTS.reshape(shape),
        **tensors(case["theirs"]),
        **options,
    )


def write_theirs(theirs: Any, folder: Path) -> None:
    theirs.save_pretrained(folder)
    Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=True).save(folder)


def check_logits(name: str, logits: torch.Tensor, outputs: Any) -> None:
    if name == "question_answering":
        expected = torch.stack([outputs["start_logits"], outputs["end_logits"]], -1).view(-1, 2)
    elif name in OUTPUTS:
        key = OUTPUTS[name][0 if OUTPUTS[name][0] in outputs else 1]
        expected = outputs[key]
        if name == "masked_lm":
            expected = expected.flatten(0, 1)[MASKED]
    elif name == "token_classification":
        expected = outputs["logits"].flatten(0, 1)
    else:
        expected = outputs["logits"].reshape(logits.shape)
    torch.testing.assert_close(logits, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_new"])
@pytest.mark.parametrize("name", CASES)
def test_what_transformers_saves_opens_and_agrees(
    tmp_path: Path, name: str, hidden_act: str
) -> None:
    case = CASES[name]
    theirs = build_theirs(case, hidden_act)
    write_theirs(theirs, tmp_path)
    loaded = load_model(tmp_path, attention=sdpa)
    assert loaded.report.new == loaded.report.left_over == []

    # In float64, where rounding is far below any mistake.
    theirs, ours = theirs.double(), loaded.model.double()
    outputs = run_theirs(theirs, case, output_hidden_states=True)
    targets = tensors(case["ours"]) | {"masked_positions": MASKED}
    logits = ours(BATCH, targets)
    for task, values in logits.items():
        check_logits(task, values, outputs)
    encoded = ours.bert(BATCH, all_hidden_states=True)
    assert encoded.all_hidden_states is not None
    assert len(encoded.all_hidden_states) == 4
    for mine, yours in zip(encoded.all_hidden_states, outputs["hidden_states"], strict=True):
        torch.testing.assert_close(mine, yours.flatten(0, 1), atol=1e-10, rtol=0)
    if name == "encoder":
        torch.testing.assert_close(
            encoded.pooled_output, outputs["pooler_output"], atol=1e-10, rtol=0
        )
    if name == "encoder without pooler":
        assert encoded.pooled_output is None
    if not case["ours"]:
        return

    loss = sum(ours.losses(logits, targets).values())
    assert isinstance(loss, torch.Tensor)
    # In transformers a loss of one kind is a mean in float32 and of another not.
    torch.testing.assert_close(loss, outputs["loss"].to(loss.dtype), atol=1e-6, rtol=0)
    loss.backward()
    outputs["loss"].backward()
    gradients = dict(theirs.named_parameters())
    layer = ours.bert.encoder.layers[1]
    qkv = [gradients[f"bert.encoder.layer.1.attention.self.{part}.weight"].grad for part in QKV]
    torch.testing.assert_close(
        layer.attention.qkv.weight.grad, torch.cat(qkv), atol=1e-6, rtol=1e-4
    )
    theirs_embedding = gradients["bert.embeddings.word_embeddings.weight"].grad.clone()
    theirs_embedding[0] = 0  # the row of [PAD] takes no gradient there from the input
    mine = ours.bert.embeddings.wordpiece.weight.grad.clone()
    mine[0] = 0
    torch.testing.assert_close(mine, theirs_embedding, atol=1e-6, rtol=1e-4)


QKV = ("query", "key", "value")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", CASES)
def test_models_of_any_size_agree(tmp_path: Path, name: str, seed: int) -> None:
    case = CASES[name]
    theirs = build_theirs(case, **random_sizes(1000 * seed + len(name)))
    write_theirs(theirs, tmp_path / "theirs")
    loaded = load_model(tmp_path / "theirs", attention=sdpa)
    with torch.no_grad():
        outputs = run_theirs(theirs.double(), case, output_hidden_states=True)
        ours = loaded.model.double()
        targets = tensors(case["ours"]) | {"masked_positions": MASKED}
        for task, values in ours(BATCH, targets).items():
            check_logits(task, values, outputs)
        last = ours.bert(BATCH).hidden_states
    torch.testing.assert_close(last, outputs["hidden_states"][-1].flatten(0, 1), atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_what_is_saved_here_is_theirs_bit_for_bit(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    theirs = build_theirs(case)
    write_theirs(theirs, tmp_path / "theirs")
    loaded = load_model(tmp_path / "theirs")
    save_model(tmp_path / "ours", loaded.model, loaded.tokenizer)
    options = {} if case.get("pooler", True) else {"add_pooling_layer": False}
    again, info = getattr(transformers, case["class"]).from_pretrained(
        tmp_path / "ours", output_loading_info=True, **options
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    expected = theirs.state_dict()
    assert list(again.state_dict()) == list(expected)
    for key, value in again.state_dict().items():
        assert torch.equal(value, expected[key]), key
    for key in ("id2label", "problem_type", "classifier_dropout", "num_labels"):
        ours, given = getattr(again.config, key), getattr(theirs.config, key)
        assert ours == given or given is None, key
    # Our own reader finds the same tasks, with their settings.
    reopened = load_model(tmp_path / "ours").model
    assert [task.settings() for task in reopened.tasks] == [
        task.settings() for task in loaded.model.tasks
    ]
    transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")


def rename(folder: Path, change: Any) -> None:
    file = folder / "model.safetensors"
    changed = {change(name): value for name, value in load_file(file).items()}
    save_file(changed, file, metadata={"format": "pt"})


OLD_NAMES = {
    "gamma and beta": lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"
    ),
    "data parallel": lambda name: f"module.{name}",
    "compiled in parallel": lambda name: f"_orig_mod.module.{name}",
    "encoder without prefix": lambda name: name.removeprefix("bert."),
}


@pytest.mark.parametrize("change", OLD_NAMES)
def test_old_and_wrapped_names_are_seen_through(tmp_path: Path, change: str) -> None:
    write_theirs(build_theirs(CASES["pre-training"]), tmp_path)
    expected = load_model(tmp_path).model.state_dict()
    rename(tmp_path, OLD_NAMES[change])
    loaded = load_model(tmp_path)
    assert loaded.report.left_over == []
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_buffers_and_copies_are_no_weights(tmp_path: Path) -> None:
    write_theirs(build_theirs(CASES["masked LM"]), tmp_path)
    file = tmp_path / "model.safetensors"
    found = load_file(file)
    found["bert.embeddings.position_ids"] = torch.arange(16)[None]
    found["bert.embeddings.token_type_ids"] = torch.zeros(1, 16, dtype=torch.int64)
    found["cls.predictions.decoder.weight"] = found["bert.embeddings.word_embeddings.weight"] + 0
    found["cls.predictions.decoder.bias"] = found.pop("cls.predictions.bias") + 0
    save_file(found, file)
    report = load_model(tmp_path).report
    assert report.new == report.left_over == []
    # A matrix of the head's own is another model, where the configuration says that it is meant.
    found["cls.predictions.decoder.weight"] += 1
    save_file(found, file)
    load_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    with pytest.raises(CheckpointError, match="to which BERT's masked-LM head is tied"):
        load_model(tmp_path)
    del found["bert.embeddings.word_embeddings.weight"]
    save_file(found, file)
    with pytest.raises(
        CheckpointError, match=r"lacks bert\.embeddings\.word_embeddings\.weight of"
    ):
        load_model(tmp_path)


def test_names_of_each_kind_become_one() -> None:
    names = canonical_names(["module.embeddings.LayerNorm.gamma", "classifier.weight"])
    assert names == {
        "bert.embeddings.LayerNorm.weight": "module.embeddings.LayerNorm.gamma",
        "classifier.weight": "classifier.weight",
    }


def change_config(folder: Path, **values: Any) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text()) | values
    file.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


@pytest.mark.parametrize(
    ("case", "values", "message"),
    [
        ("single label", {"problem_type": "regression"}, "a regression to 3 scores; one score"),
        ("LM head", {"is_decoder": True}, "describes a decoder"),
        (
            "single label",
            {"id2label": {"a": "b"}},
            "id2label must give each id from 0 to 0 a label",
        ),
        ("single label", {"id2label": {"0": "x", "1": "x", "2": "y"}}, "two labels, each once"),
        ("single label", {"id2label": {"0": "a", "5": "b"}}, "each id from 0 to 1 a label"),
        ("single label", {"id2label": {"0": "a", "1": None}}, "each id from 0 to 1 a label"),
        ("single label", {"id2label": ["a", "b"]}, "id2label must be an object from ids to"),
        ("encoder", {"is_decoder": True}, "describes a decoder"),
        ("encoder", {"architectures": "BertForDreaming"}, "describes BertForDreaming; the arch"),
        ("tokens", {"id2label": None, "num_labels": 10**12}, "must be a number of labels"),
        ("encoder", {"architectures": ["BertForDreaming"]}, "describes BertForDreaming; the arch"),
        ("encoder", {"architectures": []}, "describes nothing; the architectures"),
    ],
)
def test_what_cannot_be_opened_says_why(
    tmp_path: Path, case: str, values: dict[str, Any], message: str
) -> None:
    write_theirs(build_theirs(CASES[case]), tmp_path)
    change_config(tmp_path, **values)
    with pytest.raises(CheckpointError, match=message):
        load_model(tmp_path)


def test_labels_that_another_program_changed_count(tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    task = build_task("sequence_classification", labels=["a", "b"], pairs=True)
    tokenizer = Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=True)
    save_model(tmp_path, BertForTasks(config, [task]), tokenizer)
    assert load_model(tmp_path).model.tasks[0].settings()["pairs"] is True
    change_config(tmp_path, id2label={"0": "no", "1": "yes"}, label2id={"no": 0, "yes": 1})
    assert load_model(tmp_path).model.tasks[0].settings() == {"labels": ["no", "yes"]}


@pytest.mark.parametrize(
    ("labels", "is_taken"), [(["LABEL_0", "LABEL_1", "LABEL_2"], True), (["a", "b", "c"], False)]
)
def test_a_head_is_taken_for_the_same_labels_alone(
    tmp_path: Path, labels: list[str], is_taken: bool
) -> None:
    write_theirs(build_theirs(CASES["single label"]), tmp_path)
    loaded = load_pretrained(tmp_path, [build_task("sequence_classification", labels=labels)])
    assert (loaded.report.new == []) is is_taken
    assert (loaded.report.left_over == []) is is_taken
    # Logits of labels that exclude each other are no logits of labels that do not.
    several = build_task("sequence_classification", labels=labels, multi_label=True)
    assert load_pretrained(tmp_path, [several]).report.new != []
    # The classifier of another task has the same name there, and another meaning.
    loaded = load_pretrained(tmp_path, [build_task("token_classification", labels=labels)])
    assert {"classifier.bias", "classifier.weight"} < set(loaded.report.left_over)
