"""The tasks on which systems are compared, and the recipes by which they are learned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertsmith.comparison.plan import NEVER
from bertsmith.errors import ConfigError, DataError
from bertsmith.training.finetune_recipe import FinetuneRecipe


@dataclass(frozen=True, kw_only=True)
class Downstream:
    """A task to be learned on top of every system."""

    name: str
    title: str
    data: Mapping[str, Any]
    """The `[data]` section: a data set that has a name and its folder, or files."""
    task: Mapping[str, Any] = field(default_factory=dict)
    """The `[task]` section, or what of it is to be another than the data set's name says."""


# name: (title, the name of the data set)
_NAMED = {
    "sst2": ("SST-2", "glue:sst2"),
    "mrpc": ("MRPC", "glue:mrpc"),
    "ud-ewt": ("UD-EWT part of speech", "ud-ewt"),
    "wnut17": ("WNUT-17", "wnut17"),
}
# The figure of table 5 of the paper, where it is another than that of table 1 and the leaderboard.
_FIGURES = {"mrpc": "accuracy"}
TASKS = (*_NAMED, "squad")


def tasks_in(folder: Path, names: list[str] | None) -> list[Downstream]:
    """The tasks whose files are in a folder, each in a folder of its own.

    Args:
        folder: such as `bertsmith.data.named_sets` describes.
        names: which, of `TASKS`; None: all.

    Raises:
        ConfigError: there is no such task.
        DataError: the folder, or a part of SQuAD to train on, is not there.
    """
    if not folder.is_dir():
        raise DataError(f"--data ({folder}) is not a folder; give the one that holds the tasks'")
    chosen = chosen_names(names, TASKS)
    return [_squad(folder) if name == "squad" else _named(name, folder) for name in chosen]


def chosen_names(names: list[str] | None, known: tuple[str, ...]) -> list[str]:
    """These of the known names, in their usual order.

    Raises:
        ConfigError: one is not known.
    """
    for name in names or []:
        if name not in known:
            raise ConfigError(f"{name!r} is not a task here; those are {', '.join(known)}")
    return [name for name in known if names is None or name in names]


def _named(name: str, folder: Path) -> Downstream:
    title, data_set = _NAMED[name]
    task = {"figure": _FIGURES[name]} if name in _FIGURES else {}
    data = {"name": data_set, "folder": str(folder)}
    return Downstream(name=name, title=title, data=data, task=task)


def _squad(folder: Path) -> Downstream:
    """SQuAD 1.1, or where the whole is not there the part of its training set that is."""
    whole = sorted(folder.glob("squad*/train-v1.1.json*"))
    found = whole or sorted(folder.glob("squad*/train-v1.1*.json*"))
    dev = sorted(folder.glob("squad*/dev-v1.1.json*"))
    if not found or not dev:
        raise DataError(
            f"{folder} has no squad/train-v1.1*.json and squad/dev-v1.1.json; put them there, or "
            "leave squad out with --tasks"
        )
    return Downstream(
        name="squad",
        title="SQuAD 1.1",
        data={"train": str(found[0]), "eval": str(dev[0])},
        task={"name": "question_answering"},
    )


def finetune_recipe_of(
    task: Downstream,
    model: Path,
    mode: str,
    *,
    seed: int,
    max_seqlen: int,
    limit: int | None,
    output: Path,
    settings: Mapping[str, Any],
) -> FinetuneRecipe:
    """The recipe of one run.

    Args:
        task: what is learned.
        model: the folder of what is below.
        mode: of fine-tuning.
        seed: of the new layers and of the order of the records.
        max_seqlen: where texts are cut, or windows end.
        limit: the most records to learn from, and to measure on; None: all.
        output: the run's folder.
        settings: sections, which replace what is usual here.

    Raises:
        ConfigError: the settings cannot be.
    """
    # Small models that were pre-trained for minutes have further to go than the published ones.
    rate = 1e-3 if mode == "features" else 5e-4
    values: dict[str, Any] = {
        "mode": mode,
        "model": {"init": str(model), "hidden_dropout_prob": 0.1},
        "data": {
            **task.data,
            "max_seqlen": max_seqlen,
            "max_train_records": limit,
            "max_eval_records": limit,
        },
        "optimizer": {"name": "adamw", "learning_rate": rate},
        "train": {
            "epochs": 3,
            "batch_size": 16,
            "restarts": 0,
            "report": False,
            "eval_every_steps": NEVER,
        },
    }
    if task.task:
        values["task"] = dict(task.task)
    if mode != "finetune":
        values["features"] = _features_of(model, mode)
    for section, changes in settings.items():
        values[section] = {**values.get(section, {}), **changes}
    values["train"] = {**values["train"], "seed": seed, "output": str(output)}
    values["data"] = {key: value for key, value in values["data"].items() if value is not None}
    return FinetuneRecipe.from_dict(values)


def _features_of(model: Path, mode: str) -> dict[str, Any]:
    """What the BiLSTM reads: of a frozen model all layers by ELMo's learned mix, else the last.

    It is one layer whose two directions together are as wide as the model. The frozen layers are
    normalised: systems differ in the scale of their vectors, some of them by a factor of ten, and
    would else be told apart by it.
    """
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    lstm = {"lstm_layers": 1, "lstm_hidden_size": config["hidden_size"] // 2}
    if mode != "features":
        return {"layers": [-1], **lstm}
    layers = ["embeddings", *range(config["num_hidden_layers"])]
    return {"layers": layers, "combine": "weighted_sum", "layer_norm": True, **lstm}
