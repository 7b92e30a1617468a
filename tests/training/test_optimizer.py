from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import AdamW

from bertsmith.config import BertConfig
from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.model.bert import Bert
from bertsmith.training.lamb import Lamb
from bertsmith.training.muon import Muon
from bertsmith.training.optimizer import (
    BertAdam,
    OptimizerSettings,
    build_optimizers,
    layer_factors,
    load_optimizer_state,
    optimizer_state,
    set_learning_rates,
)

KINDS = ["bert_adam", "adamw", "lamb", "muon"]


@pytest.fixture
def model() -> Bert:
    torch.manual_seed(0)
    return Bert(
        BertConfig(
            vocab_size=20,
            hidden_size=8,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=8,
        )
    )


def names_of(model: nn.Module) -> dict[Tensor, str]:
    return {param: name for name, param in model.named_parameters()}


def give_gradients(model: nn.Module, seed: int, *, besides: str = "nothing") -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, param in model.named_parameters():
        gradient = torch.randn(param.shape, generator=generator)
        param.grad = None if besides in name else gradient


def train(model: nn.Module, optimizers: list[torch.optim.Optimizer], seeds: range) -> None:
    for seed in seeds:
        give_gradients(model, seed, besides="pooler")
        for optimizer in optimizers:
            optimizer.step()


class PublishedAdam:
    """The published update for one number, as it is written down."""

    def __init__(self, lr: float, decay: float) -> None:
        self.lr, self.decay = lr, decay
        self.m = self.v = 0.0

    def step(self, w: float, g: float) -> float:
        self.m = 0.9 * self.m + 0.1 * g
        self.v = 0.999 * self.v + 0.001 * g * g
        update = self.m / (math.sqrt(self.v) + 1e-6)
        update += self.decay * w
        return w - self.lr * update


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_bert_adam_is_the_published_update(decay: float, fused: bool) -> None:
    torch.manual_seed(0)
    params = [nn.Parameter(torch.randn(3, 2).double()), nn.Parameter(torch.randn(5).double())]
    numbers = [[(PublishedAdam(0.1, decay), w) for w in p.flatten().tolist()] for p in params]
    optimizer = BertAdam(params, 0.1, eps=1e-6, weight_decay=decay, fused=fused)
    for step in range(6):
        for index, param in enumerate(params):
            # Steps of zero gradient and of tiny ones show where epsilon is added.
            param.grad = torch.randn_like(param) * [1.0, 0.0, 1e-6][step % 3]
            gradients = param.grad.flatten().tolist()
            numbers[index] = [
                (adam, adam.step(w, g))
                for (adam, w), g in zip(numbers[index], gradients, strict=True)
            ]
        optimizer.step()
        for param, expected in zip(params, numbers, strict=True):
            values = torch.tensor([w for _, w in expected], dtype=torch.float64)
            torch.testing.assert_close(param.detach().flatten(), values, rtol=1e-12, atol=1e-12)


def test_the_first_step_is_not_corrected_for_bias() -> None:
    param = nn.Parameter(torch.zeros(1))
    param.grad = torch.ones(1)
    BertAdam([param], 1.0, eps=1e-6, weight_decay=0.0).step()
    assert param.item() == pytest.approx(-0.1 / (math.sqrt(0.001) + 1e-6))  # Adam's is -1


@pytest.mark.parametrize("name", KINDS)
def test_a_huge_gradient_moves_a_weight_no_further_than_a_usual_one(name: str, model: Bert) -> None:
    before = {name: param.detach().clone() for name, param in model.named_parameters()}
    optimizers = build_optimizers(
        model.named_parameters(), OptimizerSettings(name=name, learning_rate=0.01, weight_decay=0)
    )
    give_gradients(model, 0)
    for param in model.parameters():
        param.grad *= 1e15
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
    for optimizer in optimizers:
        optimizer.step()
    for key, param in model.named_parameters():
        assert (param - before[key]).abs().max() <= 0.01 * 3.2


@pytest.mark.parametrize("name", KINDS)
def test_only_biases_and_layer_norms_do_not_decay(name: str, model: Bert) -> None:
    settings = OptimizerSettings(name=name, learning_rate=0.1, weight_decay=0.5)
    before = {name: param.detach().clone() for name, param in model.named_parameters()}
    for param in model.parameters():
        param.data += 1  # a bias of 0 could not show that it does not decay
        param.grad = torch.zeros_like(param)
    for optimizer in build_optimizers(model.named_parameters(), settings):
        optimizer.step()
    for key, param in model.named_parameters():
        # LAMB takes a step's direction from the decay, and its length from the rate alone.
        share = 0.1 if name == "lamb" else 0.1 * 0.5
        kept = 1.0 if key.endswith("bias") or "layer_norm" in key else 1 - share
        torch.testing.assert_close(param.detach(), (before[key] + 1) * kept, msg=key)


@pytest.mark.parametrize("name", KINDS)
def test_every_trainable_parameter_has_exactly_one_optimizer(name: str, model: Bert) -> None:
    model.embeddings.requires_grad_(False)
    optimizers = build_optimizers(model.named_parameters(), OptimizerSettings(name=name))
    held = [p for o in optimizers for group in o.param_groups for p in group["params"]]
    assert len(held) == len(set(held))
    assert set(held) == {param for param in model.parameters() if param.requires_grad}


def test_muon_takes_the_encoders_matrices_and_knows_the_fused_ones(model: Bert) -> None:
    names = names_of(model)
    muon, adam = build_optimizers(
        model.named_parameters(),
        OptimizerSettings(name="muon", learning_rate=0.1, muon_learning_rate=0.2),
    )
    assert isinstance(muon, Muon)
    assert isinstance(adam, AdamW)
    fused, single = ({names[p] for p in group["params"]} for group in muon.param_groups)
    assert fused == {f"encoder.layers.{i}.attention.qkv.weight" for i in range(2)}
    assert single == {
        f"encoder.layers.{i}.{part}.weight"
        for i in range(2)
        for part in ("attention.output", "feed_forward.intermediate", "feed_forward.output")
    }
    assert [group["parts"] for group in muon.param_groups] == [3, 1]
    assert {group["lr"] for group in muon.param_groups} == {0.2}
    assert {group["lr"] for group in adam.param_groups} == {0.1}


def test_lamb_takes_each_of_a_stack_of_matrices_for_itself(model: Bert) -> None:
    bilstm = nn.LSTM(4, 4, bidirectional=True, proj_size=2)
    params = dict(model.named_parameters()) | {
        f"features.bilstm.{name}": param for name, param in bilstm.named_parameters()
    }
    (lamb,) = build_optimizers(params.items(), OptimizerSettings(name="lamb"))
    parts = {param: group["parts"] for group in lamb.param_groups for param in group["params"]}
    assert {params[name] for name in params if parts[params[name]] == 3} == {
        params[f"encoder.layers.{i}.attention.qkv.weight"] for i in range(2)
    }
    assert {name for name in params if parts[params[name]] == 4} == {
        f"features.bilstm.weight_{kind}_l0{direction}"
        for kind in ("ih", "hh")
        for direction in ("", "_reverse")
    }


def test_muon_has_adams_rate_where_none_of_its_own_is_set(model: Bert) -> None:
    muon, _ = build_optimizers(model.named_parameters(), OptimizerSettings(name="muon"))
    assert muon.param_groups[0]["lr"] == 1e-4


def test_lower_layers_have_lower_rates() -> None:
    names = [
        "bert.embeddings.wordpiece.weight",
        "bert.embeddings.layer_norm.bias",
        *(f"bert.encoder.layers.{i}.feed_forward.output.weight" for i in range(12)),
        "bert.pooler.dense.weight",
        "heads.sequence_classification.classifier.weight",
    ]
    factors = list(layer_factors(names, 0.9).values())
    layers = [0.9**power for power in range(12, 0, -1)]
    assert factors == pytest.approx([0.9**13, 0.9**13, *layers, 1.0, 1.0])
    assert set(layer_factors(names, 1.0).values()) == {1.0}


@pytest.mark.parametrize("name", KINDS)
def test_each_parameter_moves_at_the_rate_of_its_layer(name: str, model: Bert) -> None:
    settings = OptimizerSettings(
        name=name, learning_rate=1e-3, muon_learning_rate=2e-3, layer_decay=0.5
    )
    optimizers = build_optimizers(model.named_parameters(), settings)
    set_learning_rates(optimizers, 0.1)
    names = names_of(model)
    rates = {
        names[param]: group["lr"] / (2 if isinstance(optimizer, Muon) else 1)
        for optimizer in optimizers
        for group in optimizer.param_groups
        for param in group["params"]
    }
    assert rates.keys() == set(names.values())
    for key, rate in rates.items():
        power = {"em": 3, "en": 1 if "layers.1" in key else 2, "po": 0}[key[:2]]
        assert rate == pytest.approx(1e-4 * 0.5**power), key


def test_frozen_layers_count_as_layers(model: Bert) -> None:
    model.encoder.layers[1].requires_grad_(False)
    settings = OptimizerSettings(learning_rate=1.0, layer_decay=0.5)
    (optimizer,) = build_optimizers(model.named_parameters(), settings)
    assert {group["lr"] for group in optimizer.param_groups} == {0.125, 0.25, 1.0}


def test_muon_without_an_encoder_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs trainable matrices in"):
        build_optimizers(nn.Linear(2, 2).named_parameters(), OptimizerSettings(name="muon"))


@pytest.mark.parametrize(
    ("name", "expected"), [("bert_adam", BertAdam), ("adamw", AdamW), ("lamb", Lamb)]
)
def test_settings_reach_the_optimizer(name: str, expected: type, model: Bert) -> None:
    settings = OptimizerSettings(name=name, beta1=0.8, beta2=0.98, epsilon=1e-8, weight_decay=0.1)
    (optimizer,) = build_optimizers(model.named_parameters(), settings)
    assert type(optimizer) is expected
    group = optimizer.param_groups[0]
    assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.8, 0.98), 1e-8, 0.1)


def test_the_schedule_scales_each_groups_own_rate(model: Bert) -> None:
    optimizers = build_optimizers(
        model.named_parameters(),
        OptimizerSettings(name="muon", learning_rate=0.1, muon_learning_rate=0.2),
    )
    for factor in (0.5, 0.0, 1.0, 0.25):  # each from the start, not from the one before
        set_learning_rates(optimizers, factor)
        rates = [{group["lr"] for group in o.param_groups} for o in optimizers]
        assert rates == [{0.2 * factor}, {0.1 * factor}]


@pytest.mark.parametrize("name", KINDS)
def test_state_goes_through_a_file_bit_for_bit(name: str, model: Bert, tmp_path: Path) -> None:
    settings = OptimizerSettings(name=name, learning_rate=0.01)
    optimizers = build_optimizers(model.named_parameters(), settings)
    train(model, optimizers, range(3))
    save_file(optimizer_state(optimizers, names_of(model)), tmp_path / "optimizer.safetensors")

    again = Bert(model.config)
    again.load_state_dict(model.state_dict())
    resumed = build_optimizers(again.named_parameters(), settings)
    state = load_file(tmp_path / "optimizer.safetensors")
    load_optimizer_state(resumed, names_of(again), state)
    reloaded = optimizer_state(resumed, names_of(again))
    assert state.keys() == reloaded.keys()
    assert all(torch.equal(state[key], reloaded[key]) for key in state)

    train(model, optimizers, range(3, 6))
    train(again, resumed, range(3, 6))
    for key, param in model.named_parameters():
        assert torch.equal(param, dict(again.named_parameters())[key]), key


def test_state_is_kept_by_name(model: Bert) -> None:
    optimizers = build_optimizers(model.named_parameters(), OptimizerSettings(name="adamw"))
    train(model, optimizers, range(1))
    state = optimizer_state(optimizers, names_of(model))
    word = "embeddings.wordpiece.weight"
    assert {f"{word}.exp_avg", f"{word}.exp_avg_sq", f"{word}.step"} <= state.keys()
    assert state[f"{word}.step"].shape == ()
    assert state["pooler.dense.weight.no_state"].numel() == 0  # it had no gradient


def lacking(state: dict[str, Tensor]) -> None:
    del state["encoder.layers.1.attention.output.weight.exp_avg_sq"]


def misshaped(state: dict[str, Tensor]) -> None:
    state["embeddings.wordpiece.weight.exp_avg"] = torch.zeros(3, 8)


def foreign(state: dict[str, Tensor]) -> None:
    state["embeddings.wordpiece.weight.momentum_buffer"] = torch.zeros(20, 8)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lacking, r"lacks encoder\.layers\.1\.attention\.output\.weight\.exp_avg_sq; resume with"),
        (misshaped, r"wordpiece\.weight\.exp_avg .* shape \(3, 8\) .* needs \(20, 8\); resume"),
        (
            foreign,
            r"has embeddings\.wordpiece\.weight\.momentum_buffer, which .* does not keep; resume",
        ),
    ],
)
def test_state_that_does_not_fit_is_refused_whole(
    damage: Callable[[dict[str, Tensor]], None], message: str, model: Bert
) -> None:
    names = names_of(model)
    optimizers = build_optimizers(model.named_parameters(), OptimizerSettings())
    train(model, optimizers, range(1))
    state = {key: value.clone() for key, value in optimizer_state(optimizers, names).items()}
    expected = dict(state)
    train(model, optimizers, range(1, 2))
    present = {key: value.clone() for key, value in optimizer_state(optimizers, names).items()}
    damage(state)
    with pytest.raises(CheckpointError, match=message):
        load_optimizer_state(optimizers, names, state)
    after = optimizer_state(optimizers, names)
    assert all(torch.equal(after[key], present[key]) for key in present)
    load_optimizer_state(optimizers, names, expected)


def test_loaded_state_does_not_share_memory_with_what_was_loaded(model: Bert) -> None:
    names = names_of(model)
    optimizers = build_optimizers(model.named_parameters(), OptimizerSettings())
    train(model, optimizers, range(1))
    state = {key: value.clone() for key, value in optimizer_state(optimizers, names).items()}
    kept = {key: value.clone() for key, value in state.items()}
    load_optimizer_state(optimizers, names, state)
    train(model, optimizers, range(1, 2))
    assert all(torch.equal(state[key], kept[key]) for key in state)
