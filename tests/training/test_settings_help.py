"""What `--settings` knows of each setting."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from bertsmith.tasks.registry import task_class, task_names
from bertsmith.tasks.task import RecordTask
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.pretrain_recipe import PretrainRecipe
from bertsmith.training.settings import Count, Settings, dotted_names
from bertsmith.training.settings_help import SettingHelp, describe, describe_task


@dataclass(frozen=True, kw_only=True)
class Oven(Settings):
    heat: Count = 180
    """Degrees, in
    the middle."""
    fan: bool | None = None


@dataclass(frozen=True, kw_only=True)
class GasOven(Oven):
    """An oven with a flame."""

    flame: Count
    """How high."""


@dataclass(frozen=True, kw_only=True)
class Kitchen(Settings):
    left: Oven = field(default_factory=lambda: Oven(heat=200))
    right: GasOven
    spices: tuple[str, ...] = ("salt", "pepper")


def test_each_setting_has_its_values_its_default_and_its_text() -> None:
    assert list(describe(Kitchen)) == [
        SettingHelp("left.heat", "a whole number of at least 1", "200", "Degrees, in the middle."),
        SettingHelp("left.fan", "true or false", "", ""),
        SettingHelp("right.heat", "a whole number of at least 1", "180", "Degrees, in the middle."),
        SettingHelp("right.fan", "true or false", "", ""),
        SettingHelp("right.flame", "a whole number of at least 1", None, "How high."),
        SettingHelp("spices", "a list of texts in quotes", '["salt", "pepper"]', ""),
    ]


RECORD_TASKS = [name for name in task_names() if issubclass(task_class(name), RecordTask)]


@pytest.mark.parametrize("name", RECORD_TASKS)
def test_every_setting_of_a_task_is_described(name: str) -> None:
    settings = {setting.name: setting for setting in describe_task(name)}
    assert all(setting.values and setting.text for setting in settings.values()), settings


def test_what_tasks_share_is_described_for_each() -> None:
    for name in ("sequence_classification", "sequence_regression", "multiple_choice"):
        settings = {setting.name: setting for setting in describe_task(name)}
        long_text = settings["task.long_text"]
        assert long_text.default == '"head"'
        assert long_text.values == "one of head, tail, head_tail, windows"
        assert "quarter" in long_text.text


@pytest.mark.parametrize("recipe", [FinetuneRecipe, PretrainRecipe])
def test_every_setting_of_a_recipe_is_described(recipe: type[Settings]) -> None:
    assert [setting.name for setting in describe(recipe)] == list(dotted_names(recipe))


def test_published_advice_is_there() -> None:
    texts = {setting.name: setting.text for setting in describe(FinetuneRecipe)}
    for name, source in (
        ("optimizer.name", "Mosbach et al. 2021"),
        ("optimizer.layer_decay", "Howard & Ruder 2018"),
        ("optimizer.learning_rate", "5e-5, 3e-5 and 2e-5"),
        ("model.reinit_layers", "Zhang et al. 2021"),
        ("model.freeze_layers", "Lee et al. 2019"),
        ("train.restarts", "section 4.1"),
    ):
        assert source in texts[name], name


def test_defaults_are_those_of_the_recipe() -> None:
    defaults = {setting.name: setting.default for setting in describe(FinetuneRecipe)}
    assert defaults["optimizer.learning_rate"] == "5e-05"
    assert defaults["model.init"] is None
    assert defaults["data.eval"] == ""
