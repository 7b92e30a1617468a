"""Every system's recipe is one, and all are about as large."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.comparison.studies import small_plan

from bertsmith.comparison.by_objective import matched, pretrain_by_objective, pretrain_recipe_of
from bertsmith.comparison.system import PretrainedModel
from bertsmith.comparison.systems import SYSTEMS, chosen_systems
from bertsmith.config import BertConfig
from bertsmith.errors import ConfigError
from bertsmith.model.encoders.registry import encoder_class
from bertsmith.tasks.registry import task_names

OWN = [s for s in SYSTEMS if s.shares is None and s.pretrain is pretrain_by_objective]


@pytest.mark.parametrize("system", OWN, ids=lambda system: system.name)
def test_systems_differ_in_encoder_and_objective_alone(system: object, material: Path) -> None:
    plan = small_plan(material)
    recipe = pretrain_recipe_of(system, plan, Path("out")).to_dict()  # type: ignore[arg-type]
    bert = pretrain_recipe_of(chosen_systems(["bert"])[0], plan, Path("out")).to_dict()
    assert set(recipe["tasks"]) <= set(task_names())
    assert recipe["train"] == bert["train"]
    assert recipe["optimizer"] == bert["optimizer"]
    own = {"encoder", "num_hidden_layers", "intermediate_size"}
    assert {k for k, v in recipe["model"].items() if v != bert["model"].get(k)} <= own
    assert recipe["train"]["steps"] == 4


@pytest.mark.parametrize("size", ["tiny", "mini", "small", "medium", "base"])
def test_an_lstm_is_about_as_large_as_the_bert(size: str) -> None:
    config = BertConfig.preset(size)
    model = {"encoder": "two_lstms", "num_hidden_layers": 2}
    chosen = matched("intermediate_size", model, config)
    counts = []
    for each in (config, config.replace(**model, intermediate_size=chosen)):
        with torch.device("meta"):
            encoder = encoder_class(each.encoder)(each)
        own = sum(p.numel() for p in encoder.parameters())
        counts.append(own - encoder.embeddings.wordpiece.weight.numel())
    assert counts[1] == pytest.approx(counts[0], rel=0.03)


def test_settings_of_the_user_come_last(material: Path) -> None:
    settings = {"optimizer": {"learning_rate": 1.0}, "data": {"single_segment_prob": 0.5}}
    recipe = pretrain_recipe_of(
        chosen_systems(["bert"])[0], small_plan(material, settings=settings), Path("out")
    )
    assert recipe.optimizer.learning_rate == 1.0
    assert recipe.data.single_segment_prob == 0.5


@pytest.mark.parametrize(
    "model",
    [
        {"hidden_size": 192, "num_attention_heads": 3},
        {"num_hidden_layers": 6},
        {"intermediate_size": 2048},
        {"preset": "mini"},
    ],
    ids=lambda model: min(model),
)
def test_sizes_of_the_user_are_those_of_the_bert_that_all_match(
    model: dict[str, object], material: Path
) -> None:
    plan = small_plan(material, settings={"model": model})
    vocab_size = 1000
    sizes = {}
    for name in ("elmo", "gpt", "bert_no_nsp"):
        settings = pretrain_recipe_of(chosen_systems([name])[0], plan, Path("out")).model
        config = settings.config(vocab_size)
        assert config.hidden_size == plan.config(vocab_size).hidden_size
        assert (config.encoder, config.num_hidden_layers) == {
            "elmo": ("two_lstms", 2),
            "gpt": ("left_to_right", plan.config(vocab_size).num_hidden_layers),
            "bert_no_nsp": ("bert", plan.config(vocab_size).num_hidden_layers),
        }[name]
        with torch.device("meta"):
            encoder = encoder_class(config.encoder)(config)
        layers = [p for n, p in encoder.named_parameters() if n != "embeddings.wordpiece.weight"]
        sizes[name] = sum(p.numel() for p in layers)
    plain = small_plan(material).config(vocab_size)
    assert {key: value for key, value in model.items() if key != "preset"}.items() <= (
        plan.config(vocab_size).to_dict().items()
    )
    assert plan.config(vocab_size) != plain
    assert sizes["elmo"] == pytest.approx(sizes["bert_no_nsp"], rel=0.03)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"hidden_size": 101},
            "pretrain.model.hidden_size=101 with --size tiny makes no BERT: num",
        ),
        ({"hiden_size": 96}, "pretrain.model.hiden_size=96 .* did you mean hidden_size"),
        ({"encoder": "two_lstms"}, r"pretrain.model.encoder \('two_lstms'\) cannot be set"),
        ({"init": "bert"}, r"pretrain.model.init \('bert'\) cannot be set"),
    ],
)
def test_sizes_that_cannot_be_are_refused_by_the_name_that_the_user_gave(
    model: dict[str, object], message: str, material: Path
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        small_plan(material, settings={"model": model})
    assert "\n" not in str(error.value)


def test_a_size_that_there_is_not_is_refused(material: Path) -> None:
    with pytest.raises(ConfigError, match=r"--size \('huge'\) must be one of tiny, mini"):
        small_plan(material, size="huge")


def test_an_encoder_that_cannot_be_compiled_is_not(material: Path) -> None:
    plan = small_plan(material, compiles=True)
    of = {
        name: pretrain_recipe_of(chosen_systems([name])[0], plan, Path("out")).train.compile
        for name in ("elmo", "gpt", "bert")
    }
    assert of == {"elmo": False, "gpt": True, "bert": True}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": None}, "either minutes or tokens"),
        ({"minutes": 1.0}, "either minutes or tokens"),
        ({"tokens": 0}, r"--tokens \(0\) must be above 0"),
        ({"tokens": None, "minutes": -1.0}, r"--minutes \(-1.0\) must be above 0"),
    ],
)
def test_a_budget_that_is_none_is_one_sentence(
    changes: dict[str, object], message: str, material: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        small_plan(material, **changes)


def test_a_system_that_there_is_not_is_named_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="'word2vec' is not a system; those are glove, elmo"):
        chosen_systems(["word2vec"])


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("elmo", "bidirectional_lm_loss"),
        ("gpt", "next_token_loss"),
        ("bert_no_nsp", "masked_lm_loss"),
        ("bert", "masked_lm_loss"),
    ],
)
def test_each_learns_more_than_frequencies(
    name: str, loss: str, material: Path, tmp_path: Path
) -> None:
    plan = small_plan(material, tokens=512 * 120)
    (system,) = chosen_systems([name])
    made = system.pretrain(system, plan, tmp_path / "model")
    assert isinstance(made, PretrainedModel)
    assert made.figures[loss] < made.figures["unigram_entropy"] - 0.3
    assert made.tokens == 512 * 120
