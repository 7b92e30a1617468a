"""The model, its start, heads, losses and gradients against modeling.py and run_pretraining.py.

`make_google_golden.py` made the numbers: three layers, random weights, four sequences of 16, 11, 7
and 3 wordpieces, which Google's code pads and ours packs. Google's activation is the tanh form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.ops.attention import get_attention
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.next_sentence import NextSentence

Arrays = Mapping[str, np.ndarray]

# Google's → ours. A kernel is (in, out), ours (out, in); the two heads' own matrices are not.
NAMES = {
    "bert/embeddings/word_embeddings": "bert.embeddings.wordpiece.weight",
    "bert/embeddings/position_embeddings": "bert.embeddings.position.weight",
    "bert/embeddings/token_type_embeddings": "bert.embeddings.segment.weight",
    "bert/embeddings/LayerNorm": "bert.embeddings.layer_norm",
    "attention/self": "attention.qkv",
    "attention/output/dense": "attention.output",
    "attention/output/LayerNorm": "attention_layer_norm",
    "intermediate/dense": "feed_forward.intermediate",
    "output/dense": "feed_forward.output",
    "output/LayerNorm": "feed_forward_layer_norm",
    "bert/pooler/dense": "bert.pooler.dense",
    "cls/predictions/transform/dense": "heads.masked_lm.transform",
    "cls/predictions/transform/LayerNorm": "heads.masked_lm.layer_norm",
    "cls/predictions/output_bias": "heads.masked_lm.decoder_bias",
    "cls/seq_relationship/output_weights": "heads.next_sentence.classifier.weight",
    "cls/seq_relationship/output_bias": "heads.next_sentence.classifier.bias",
}
KINDS = {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
QKV = ("query", "key", "value")


def ours(arrays: Arrays, prefix: str) -> dict[str, Tensor]:
    """Google's variables, or their gradients, under our names and in our shapes."""
    found = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
    for name in [name for name in found if "/query/" in name]:
        parts = [found.pop(name.replace("query", part)) for part in QKV]
        found[name.replace("query/", "")] = np.concatenate(parts, axis=-1)
    tensors = {}
    for name, array in found.items():
        module, _, kind = name.rpartition("/")
        layer = re.match(r"bert/encoder/layer_(\d+)/", module)
        start = f"bert.encoder.layers.{layer[1]}." if layer else ""
        short = module.removeprefix(layer[0]) if layer else module
        our_name = NAMES[name] if name in NAMES else f"{start}{NAMES[short]}.{KINDS[kind]}"
        tensors[our_name] = torch.from_numpy(array.T if kind == "kernel" else array)
    return tensors


def build(google: Arrays, *, attention: str = "sdpa", **changes: object) -> BertForTasks:
    values = json.loads(str(google["config"])) | {"hidden_act": "gelu_new"} | changes
    tasks = [MaskedLM(), NextSentence()]
    config = BertConfig.from_dict(values)
    model = BertForTasks(config, tasks, attention=get_attention(attention)).eval()
    weights = ours(google, "weights/")
    parameters = dict(model.named_parameters())
    assert weights.keys() == parameters.keys()
    with torch.no_grad():
        for name, parameter in parameters.items():
            assert parameter.shape == weights[name].shape, name
            parameter.copy_(weights[name])
    return model


def is_real(google: Arrays) -> np.ndarray:
    """(B, S) false for padding."""
    return google["inputs/input_mask"].astype(bool)


def packed(google: Arrays) -> tuple[Batch, dict[str, Tensor]]:
    """The golden sequences without their padding, and all their prediction slots."""
    mask = is_real(google)
    ids, segments = google["inputs/input_ids"], google["inputs/segment_ids"]
    batch = Batch.from_sequences(
        [row[real].tolist() for row, real in zip(ids, mask, strict=True)],
        [row[real].tolist() for row, real in zip(segments, mask, strict=True)],
    )
    positions = torch.from_numpy(google["inputs/masked_positions"]) + batch.cu_seqlens[:-1, None]
    is_used = google["inputs/masked_weights"] > 0
    labels = np.where(is_used, google["inputs/masked_ids"], -100)
    return batch, {
        "masked_positions": positions.flatten(),
        "masked_labels": torch.from_numpy(labels).long().flatten(),
        "next_sentence_labels": torch.from_numpy(google["inputs/next_sentence_labels"])
        .long()
        .flatten(),
    }


def hidden_states(model: BertForTasks, batch: Batch) -> list[Tensor]:
    """What the embeddings and then each layer give."""
    found: list[Tensor] = []
    modules = [model.bert.embeddings, *model.bert.encoder.layers]
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output: found.append(output))
        for module in modules
    ]
    with torch.no_grad():
        model.bert(batch)
    for hook in hooks:
        hook.remove()
    return [states[: batch.num_tokens] for states in found]


def google_states(google: Arrays) -> list[Tensor]:
    """(T, H) each, without padding."""
    names = ["embedding_output", *(f"layer_{n}" for n in range(3))]
    return [torch.from_numpy(google[f"outputs/{name}"][is_real(google)]) for name in names]


@pytest.mark.parametrize("attention", ["reference", "sdpa"])
def test_every_layer_gives_googles_hidden_states(google_model: Arrays, attention: str) -> None:
    batch, _ = packed(google_model)
    states = hidden_states(build(google_model, attention=attention), batch)
    for found, expected in zip(states, google_states(google_model), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_sequence_alone_has_googles_hidden_states_too(google_model: Arrays) -> None:
    model = build(google_model)
    ids, segments = google_model["inputs/input_ids"], google_model["inputs/segment_ids"]
    for row, real in enumerate(is_real(google_model)):
        alone = Batch.from_sequences([ids[row, real].tolist()], [segments[row, real].tolist()])
        expected = torch.from_numpy(google_model["outputs/layer_2"][row, real])
        states = hidden_states(model, alone)[-1]
        torch.testing.assert_close(states, expected, rtol=0, atol=1e-5)


def test_the_pooled_output_is_googles(google_model: Arrays) -> None:
    batch, _ = packed(google_model)
    with torch.no_grad():
        pooled = build(google_model).bert(batch).pooled_output
    expected = torch.from_numpy(google_model["outputs/pooled_output"])
    torch.testing.assert_close(pooled, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("task", ["masked_lm", "next_sentence"])
def test_logits_and_log_probabilities_are_googles(google_model: Arrays, task: str) -> None:
    with torch.no_grad():
        logits = build(google_model)(*packed(google_model))[task]
    expected = torch.from_numpy(google_model[f"outputs/{task}_logits"])
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)
    expected = torch.from_numpy(google_model[f"outputs/{task}_log_probs"])
    torch.testing.assert_close(logits.log_softmax(-1), expected, rtol=0, atol=1e-4)


def test_both_losses_are_googles_but_for_the_guard_in_its_denominator(google_model: Arrays) -> None:
    model = build(google_model)
    batch, targets = packed(google_model)
    with torch.no_grad():
        losses = model.losses(model(batch, targets), targets)
    expected = google_model["outputs/next_sentence_loss"].item()
    assert losses["next_sentence"].item() == pytest.approx(expected, rel=1e-6)
    # Google: sum / (count + 1e-5). Ours: sum / max(count, 1).
    count = google_model["inputs/masked_weights"].sum().item()
    expected = google_model["outputs/masked_lm_loss"].item() * (count + 1e-5) / count
    assert losses["masked_lm"].item() == pytest.approx(expected, rel=1e-6)


def test_gradients_of_every_parameter_are_googles(google_model: Arrays) -> None:
    model = build(google_model)
    batch, targets = packed(google_model)
    sum(model.losses(model(batch, targets), targets).values()).backward()
    expected = ours(google_model, "gradients/")
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize(
    "change",
    [{"hidden_act": "gelu"}, {"num_attention_heads": 2}, {"layer_norm_eps": 1e-3}],
)
def test_another_wiring_would_be_noticed(google_model: Arrays, change: dict[str, object]) -> None:
    batch, _ = packed(google_model)
    states = hidden_states(build(google_model, **change), batch)[-1]
    assert (states - google_states(google_model)[-1]).abs().max() > 1e-4


def test_parameters_start_as_googles(google_model: Arrays) -> None:
    torch.manual_seed(0)
    config = BertConfig.from_dict(json.loads(str(google_model["config"])))
    model = BertForTasks(config, [MaskedLM(), NextSentence()])
    constants = ours(google_model, "initial/")
    drawn = []
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            drawn.append(parameter.detach().flatten())
        else:
            assert torch.equal(parameter, constants.pop(name)), name
    assert not constants
    # Two samples of n = 15,840 differ by 0.022 one time in a thousand (Kolmogorov and Smirnov).
    values = torch.cat(drawn).sort().values
    quantiles = torch.from_numpy(google_model["initial_quantiles"]).float()
    shares = torch.searchsorted(values, quantiles) / len(values)
    assert len(values) == 15_840
    assert (shares - torch.linspace(0, 1, len(quantiles))).abs().max() < 0.022
    assert values.abs().max() <= 0.04
