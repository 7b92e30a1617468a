from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bertsmith.config import BertConfig
from bertsmith.errors import ConfigError
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.pretrain_recipe import PretrainRecipe
from bertsmith.training.recipe import ModelSettings
from bertsmith.training.settings import Settings, hints

PRETRAIN: dict[str, Any] = {"data": {"train": "shards"}, "train": {"output": "run", "steps": 10}}
FINETUNE: dict[str, Any] = {
    "task": {"name": "sequence_classification", "labels": ["no", "yes"]},
    "model": {"init": "bert"},
    "data": {"train": "train.tsv"},
    "train": {"output": "run"},
}

RECIPE = """
tasks = ["masked_lm"]

[model]
preset = "tiny"
hidden_dropout_prob = 0

[data]
train = "corpus/train"
eval = "corpus/eval"

[train]
output = "runs/tiny"
budget_minutes = 3

[optimizer]
name = "muon"
learning_rate = 5e-3
"""


def problems(recipe: type[Settings], values: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as error:
        recipe.from_dict(values)
    return str(error.value).split("\n")


def changed(base: dict[str, Any], section: str, **settings: Any) -> dict[str, Any]:
    merged = base.get(section, {}) | settings
    return base | {section: {key: value for key, value in merged.items() if value is not None}}


def test_a_file_with_overrides_is_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    recipe = PretrainRecipe.load(
        path, ["train.steps=7", "train.budget_minutes=", "model.num_hidden_layers=3"]
    )
    assert recipe.tasks == ("masked_lm",)
    assert recipe.data.train == Path("corpus/train")
    assert (recipe.train.steps, recipe.train.budget_minutes) == (7, None)
    assert recipe.optimizer.learning_rate == 5e-3
    assert recipe.optimizer.weight_decay == 0.01
    config = recipe.model.config(4000)
    assert (config.vocab_size, config.hidden_size, config.num_hidden_layers) == (4000, 128, 3)
    assert config.hidden_dropout_prob == 0


@pytest.mark.parametrize(
    ("recipe", "values"), [(PretrainRecipe, PRETRAIN), (FinetuneRecipe, FINETUNE)]
)
def test_a_recipe_can_be_stored_and_read_again(
    recipe: type[PretrainRecipe | FinetuneRecipe], values: dict[str, Any]
) -> None:
    original = recipe.from_dict(values)
    assert recipe.from_dict(tomllib.loads(original.to_toml())) == original
    assert recipe.from_dict(json.loads(json.dumps(original.to_dict()))) == original


def test_the_two_verbs_have_the_papers_own_defaults() -> None:
    pretrain, finetune = PretrainRecipe.from_dict(PRETRAIN), FinetuneRecipe.from_dict(FINETUNE)
    assert (pretrain.optimizer.learning_rate, finetune.optimizer.learning_rate) == (1e-4, 5e-5)
    assert (finetune.train.epochs, finetune.train.batch_size) == (3, 32)
    changed_decay = FinetuneRecipe.from_dict(changed(FINETUNE, "optimizer", weight_decay=0.0))
    assert changed_decay.optimizer.learning_rate == 5e-5


def test_the_model_section_knows_every_published_key() -> None:
    from_the_vocabulary = {"vocab_size", "pad_token_id"}
    published = set(BertConfig().to_dict()) - from_the_vocabulary
    assert published == set(hints(ModelSettings)) - {"preset", "init", "attention"}


def test_the_paper_s_base_model_is_the_default() -> None:
    assert ModelSettings().config(30522) == BertConfig.preset("base")


@pytest.mark.parametrize(
    ("section", "settings", "message"),
    [
        ("optimizer", {"warm_up_steps": 3},
         "optimizer.warm_up_steps is not a setting; did you mean schedule.warmup_steps?"),
        ("train", {"learning_rate": 1e-3},
         "train.learning_rate is not a setting; did you mean optimizer.learning_rate?"),
        ("model", {"hiden_size": 128},
         "model.hiden_size is not a setting; did you mean model.hidden_size?"),
        ("model", {"hidden_size": 100},
         "model.num_attention_heads (12) does not divide hidden_size (100); "
         "the nearest size that it does is 96"),
        ("model", {"hidden_act": "swish"},
         "model.hidden_act ('swish') must be one of gelu, gelu_new, gelu_pytorch_tanh, relu"),
        ("model", {"preset": "huge"},
         "model.preset ('huge') must be one of tiny, mini, small, medium, base, large"),
        ("model", {"init": "bert", "preset": "tiny"},
         "model.preset cannot be set beside model.init (bert), which decides it; "
         "remove one of them"),
        ("model", {"init": "bert", "hidden_size": 128},
         "model.hidden_size cannot be set beside model.init (bert), which decides it; "
         "remove one of them"),
        ("data", {"mask_token_prob": 0.8, "random_token_prob": 0.3},
         "data.mask_token_prob (0.8) and random_token_prob (0.3) must not be more than 1 "
         "together; lower one"),
        ("data", {"max_seqlen": 600},
         "data.max_seqlen (600) must be at most model.max_position_embeddings (512); "
         "lower the one or raise the other"),
        ("train", {"steps": None},
         "train.steps is not set and budget_minutes neither; the run needs a length"),
        ("train", {"budget_minutes": 3},
         "train.steps (10) and budget_minutes (3.0) cannot both be the run's length; remove one, "
         "on the command line with train.steps= or train.budget_minutes= and nothing after it"),
        ("model", {"type_vocab_size": 1},
         "type_vocab_size (1) must be at least 2 for next_sentence, which reads pairs of texts"),
        ("train", {"seed": 2**63},
         "train.seed (9223372036854775808) must be at most 9223372036854775807"),
        ("train", {"precision": "fp16"}, "train.precision ('fp16') must be one of fp32, bf16, fp8"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_sentence(
    section: str, settings: dict[str, Any], message: str
) -> None:
    assert problems(PretrainRecipe, changed(PRETRAIN, section, **settings)) == [message]


@pytest.mark.parametrize("tasks", [[], ["masked_lm", "masked_lm"]])
def test_tasks_are_named_once_each(tasks: list[str]) -> None:
    (problem,) = problems(PretrainRecipe, PRETRAIN | {"tasks": tasks})
    assert problem.endswith("must name one objective or more, each once")


def test_fine_tuning_needs_a_model_and_a_task() -> None:
    found = problems(FinetuneRecipe, {"data": {"train": "x"}, "train": {"output": "y"}})
    assert found == [
        "task is not set; it must be a section with the name of a task and its settings",
        "model.init is not set; it must be a model folder in quotes",
    ]
    (problem,) = problems(FinetuneRecipe, FINETUNE | {"task": {"labels": []}})
    assert problem == "task.name is not set; it must be the name of a task in quotes"


def test_the_dropout_of_a_model_to_go_on_from_may_be_changed() -> None:
    recipe = FinetuneRecipe.from_dict(changed(FINETUNE, "model", hidden_dropout_prob=0.2))
    assert recipe.model.published() == {"hidden_dropout_prob": 0.2}


def test_what_the_task_section_says_is_left_to_the_task() -> None:
    assert FinetuneRecipe.from_dict(FINETUNE).task_settings == {"labels": ["no", "yes"]}


def test_problems_of_all_sections_come_together(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(RECIPE.replace("preset", "pre_set").replace("output", "outptu"))
    with pytest.raises(ConfigError) as error:
        PretrainRecipe.load(path, ["optimizer.beta1=1", "sched.warmup_steps=3"])
    assert str(error.value).split("\n") == [
        "sched is not a section; did you mean schedule?",
        "train.outptu is not a setting; did you mean train.output?",
        "train.output is not set; it must be a folder for checkpoints and metrics, in quotes",
        "model.pre_set is not a setting; did you mean model.preset?",
        "optimizer.beta1 (1) must be a number of at least 0 and below 1",
    ]
