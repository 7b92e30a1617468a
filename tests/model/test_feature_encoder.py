"""Which of BERT's layers are read, how they become one vector, and that BERT stays as it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.errors import ConfigError
from bertsmith.model.bert import Bert
from bertsmith.model.feature_encoder import FeatureEncoder, FeaturesConfig

CONFIG = BertConfig(
    vocab_size=20,
    hidden_size=8,
    num_hidden_layers=4,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=16,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
BATCH = Batch.from_sequences([[2, 5, 6, 3], [2], [2, 7, 3]])


def build(**settings: Any) -> tuple[Bert, FeatureEncoder]:
    torch.manual_seed(0)
    return Bert(CONFIG).eval(), FeatureEncoder(CONFIG, FeaturesConfig(**settings))


def read_by_the_lstm(bert: Bert, features: FeatureEncoder) -> torch.Tensor:
    found: list[torch.Tensor] = []
    handle = features.bilstm.register_forward_pre_hook(lambda _, args: found.append(args[0]))
    features(bert, BATCH)
    handle.remove()
    return found[0]


@pytest.mark.parametrize(
    ("layers", "places"),
    [
        (["embeddings"], [0]),
        ([-2], [3]),
        ([-1], [4]),
        ([-4, -3, -2, -1], [1, 2, 3, 4]),
        ([3, 0, "embeddings"], [4, 1, 0]),
    ],
)
def test_layers_are_put_side_by_side(layers: list[Any], places: list[int]) -> None:
    bert, features = build(layers=tuple(layers))
    states = bert(BATCH, all_hidden_states=True).all_hidden_states
    assert states is not None
    expected = torch.cat([states[place] for place in places], 1)
    assert torch.equal(read_by_the_lstm(bert, features), expected)


def test_the_weighted_sum_starts_as_the_mean_and_learns_its_weights() -> None:
    bert, features = build(layers=(0, 1, 2, 3), combine="weighted_sum")
    states = torch.stack(bert(BATCH, all_hidden_states=True).all_hidden_states[1:])
    torch.testing.assert_close(read_by_the_lstm(bert, features), states.mean(0))
    assert features.layer_scores is not None
    features(bert, BATCH).hidden_states.sum().backward()
    assert features.layer_scores.grad is not None
    assert features.layer_scores.grad.abs().min() > 0
    with torch.no_grad():
        features.layer_scores.copy_(torch.tensor([0.0, 0.0, 0.0, 100.0]))
    torch.testing.assert_close(read_by_the_lstm(bert, features), states[3])


@pytest.mark.parametrize("combine", ["concat", "weighted_sum"])
def test_normalised_layers_have_one_scale_however_small_the_encoder_makes_them(
    combine: str,
) -> None:
    bert, features = build(layers=("embeddings", -1), combine=combine, layer_norm=True)
    with torch.no_grad():
        for norm in (bert.embeddings.layer_norm, bert.encoder.layers[-1].feed_forward_layer_norm):
            norm.weight.mul_(0.01)
    first, *_, last = bert(BATCH, all_hidden_states=True).all_hidden_states
    assert first.std() < 0.02
    # (T, H) of each, as the definition has it.
    one, other = (
        (x - x.mean(-1, keepdim=True)) / x.var(-1, unbiased=False, keepdim=True).sqrt()
        for x in (first, last)
    )
    expected = torch.cat([one, other], -1) if combine == "concat" else (one + other) / 2
    torch.testing.assert_close(read_by_the_lstm(bert, features), expected, atol=1e-4, rtol=1e-4)


def test_tokens_and_sequences_get_two_directions() -> None:
    bert, features = build(lstm_hidden_size=5)
    output = features(bert, BATCH)
    assert output.hidden_states.shape == (8, 10)
    assert output.pooled_output.shape == (3, 10)
    assert features.output_size == 10
    # Forward after the last token, backward after the first; both are one token's where it is one.
    torch.testing.assert_close(output.pooled_output[0, :5], output.hidden_states[3, :5])
    torch.testing.assert_close(output.pooled_output[0, 5:], output.hidden_states[0, 5:])
    torch.testing.assert_close(output.pooled_output[1], output.hidden_states[4])


def test_the_size_is_the_models_where_none_is_said() -> None:
    assert build()[1].output_size == 2 * CONFIG.hidden_size
    # The paper's: two layers of 768 in each direction over four layers of BERT-base.
    with torch.device("meta"):
        base = FeatureEncoder(BertConfig.preset("base"), FeaturesConfig())
    assert (base.bilstm.lstm.input_size, base.bilstm.lstm.hidden_size) == (4 * 768, 768)
    assert base.bilstm.lstm.num_layers == 2


def test_no_gradient_reaches_bert() -> None:
    bert, features = build()
    features(bert, BATCH).pooled_output.sum().backward()
    assert all(parameter.grad is None for parameter in bert.parameters())
    assert all(parameter.grad is not None for parameter in features.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": ()}, r"features\.layers \(\[\]\) must name one layer or more, each once"),
        ({"layers": (-1, -1)}, "each once"),
        ({"layers": (-5,)}, "features.layers names -5 and the model has 4; name layers from -4"),
        ({"layers": (4,)}, "to 3, or 'embeddings'"),
        ({"layers": ("last",)}, "names 'last', which must be a number, -1 for the last"),
        ({"layers": (True,)}, "names True"),
        ({"combine": "mean"}, r"combine \('mean'\) must be one of concat, weighted_sum"),
        ({"layer_norm": 1}, r"features\.layer_norm \(1\) must be true or false"),
        ({"lstm_layers": 0}, r"lstm_layers \(0\) must be at least 1"),
        ({"lstm_hidden_size": 2.5}, r"lstm_hidden_size \(2.5\) must be at least 1"),
    ],
)
def test_what_cannot_work_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(**settings)


def test_two_names_of_one_layer_are_one_layer() -> None:
    with pytest.raises(ConfigError, match="-1 and 3, which are the same layer"):
        build(layers=(-1, 3))


def test_a_configuration_can_be_stored_and_read_again() -> None:
    config = FeaturesConfig(
        layers=("embeddings", -1), combine="weighted_sum", layer_norm=True, lstm_layers=1
    )
    assert FeaturesConfig.from_dict(config.to_dict()) == config
    assert FeaturesConfig.from_dict({}) == FeaturesConfig()
    with pytest.raises(ConfigError, match=r"features\.layer is not a setting"):
        FeaturesConfig.from_dict({"layer": [-1]})
    with pytest.raises(ConfigError, match="must be a list of layers"):
        FeaturesConfig.from_dict({"layers": 3})
