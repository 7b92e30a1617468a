"""The recipe of `bertsmith finetune` and `bertsmith sweep`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from bertsmith.annotations import Bounds
from bertsmith.data.layout import SETTINGS, Layout
from bertsmith.data.named_sets import named_set
from bertsmith.data.record_source import RecordSource
from bertsmith.errors import ConfigError
from bertsmith.model.feature_encoder import FeaturesConfig
from bertsmith.training.log import LogSettings
from bertsmith.training.optimizer import OptimizerSettings
from bertsmith.training.recipe import ModelSettings, Recipe, TrainSettings
from bertsmith.training.schedule import ScheduleSettings
from bertsmith.training.settings import (
    Count,
    Index,
    PositiveFloat,
    Settings,
    hints,
)


@dataclass(frozen=True, kw_only=True)
class FinetuneModel(ModelSettings):
    """The `[model]` section of fine-tuning."""

    init: Annotated[Path, "a model folder in quotes"] = field()  # takes the base's default away
    freeze_embeddings: bool = False
    """Leave the embeddings as they were pre-trained; less to learn from few records, less memory
    for the optimizer."""
    freeze_layers: Index = 0
    """So many of the lowest layers stay as they are, and the embeddings with them, since a frozen
    layer knows only those. Nothing is differentiated below the lowest trained layer, which saves
    time and memory; the highest quarter of the layers alone reaches nine tenths of the quality (Lee
    et al. 2019)."""
    reinit_layers: Index = 0
    """So many of the highest layers, and the pooler, start anew in place of as pre-trained: they
    are the most bound to pre-training. On some thousand records 1 to 6 of 24 layers made runs
    better and more alike (Zhang et al. 2021)."""


@dataclass(frozen=True, kw_only=True)
class FinetuneData(Settings):
    """The `[data]` section of fine-tuning."""

    train: Annotated[Path, "a file of records, in quotes"] | None = None
    eval: Annotated[Path, "a file of records, in quotes"] | None = None
    name: str | None = None
    """A data set with a name, such as glue:mrpc, in place of the files: it decides the task, and
    what of its settings the recipe does not say."""
    folder: Path | None = None
    """Where the published files of that data set are; where not set, they come from the hub."""
    max_train_records: Count | None = None
    """So many of the training records, the first ones; and so"""
    max_eval_records: Count | None = None
    """many of those to measure on, for quick trials."""
    max_seqlen: Annotated[int, Bounds(lambda x: x >= 5, "of at least 5")] | None = None
    """Where texts are cut, or windows end; where not set, as the task has it (128 for most)."""
    text: str | int | None = None
    """The column of the text: its name, or its number counted from 1; and so for"""
    pair: str | int | None = None
    """the second text of a pair, and"""
    label: str | int | None = None
    """the label. Where not set, well-known names are looked for."""
    choices: str | None = None
    """The choices of a question: a column with a list, or one column for each, with commas."""
    header: bool | None = None
    """Whether a table's first row names the columns; where not set, by what it says."""
    format: str | None = None
    """csv, tsv, json, jsonl, txt, conll or conllu; where not set, by the file's name."""

    def __post_init__(self) -> None:
        """Check that there are either files or a name."""
        super().__post_init__()
        if self.name is None and self.train is None:
            raise ConfigError(
                "train is not set; it must be a file of records, in quotes, where name does not "
                "say a data set, such as glue:mrpc"
            )
        files = [key for key in ("train", "eval", *SETTINGS) if getattr(self, key) is not None]
        if self.name is not None and files:
            raise ConfigError(
                f"{files[0]} cannot be set beside data.name ({self.name}), which decides it; "
                "remove one of them"
            )
        if self.name is None and self.folder is not None:
            raise ConfigError(
                f"folder ({self.folder}) is set and name is not; name the data set whose files "
                "it holds, or remove it"
            )

    def train_source(self) -> RecordSource:
        """Where the training records are.

        Raises:
            ConfigError: what the recipe says about the columns cannot be.
        """
        return self._source(self.train)

    def eval_sources(self) -> dict[str, RecordSource]:
        """What to measure on, by what the figures' names begin with; see `RecordSource.measured`.

        Raises:
            ConfigError: as for `train_source`.
        """
        if self.name is None and self.eval is None:
            return {}
        return self._source(self.eval).measured()

    def _source(self, file: Path | None) -> RecordSource:
        if self.name is not None:
            return RecordSource(self.name, folder=self.folder)
        assert file is not None  # noqa: S101 - checked when the section was made
        said = {key: getattr(self, key) for key in SETTINGS}
        layout = Layout.from_settings({k: v for k, v in said.items() if v is not None})
        return RecordSource(file, layout=layout)


@dataclass(frozen=True, kw_only=True)
class FinetuneTraining(TrainSettings):
    """The `[train]` section of fine-tuning."""

    keep_checkpoints: Index = 0
    epochs: PositiveFloat = 3.0
    """Read where neither `steps` nor `budget_minutes` is set."""
    cuda_graphs: bool = True
    """On a GPU, launch a step's kernels all at once; without it small models wait for the CPU."""
    report: bool = True
    """Leave a model card, report.html, results.json and pictures beside the model; it takes some
    seconds."""
    batch_size: Count = 32
    """Records, or windows of long ones, in a microbatch."""
    restarts: Index = 3
    """How many runs may begin again, with the next seed, after half a run with one answer for every
    held-out record and a training loss to match; small sets make such runs of large models (paper,
    section 4.1). The last one goes to its end, and the best is kept. 0 leaves such runs alone."""

    def __post_init__(self) -> None:
        """Check that the precision is one for batches of any size."""
        super().__post_init__()
        if self.precision == "fp8":
            raise ConfigError("precision ('fp8') is for pre-training; set it to 'bf16'")


@dataclass(frozen=True, kw_only=True)
class FeaturesSettings(Settings):
    """The `[features]` section of fine-tuning, read where `mode` names a BiLSTM.

    Table 7 of the paper has the rows `layers=["embeddings"]`; `[-2]`; `[-1]`; `[-4, -3, -2, -1]`
    summed and concatenated, the best one and the default; and all layers summed.
    """

    layers: Annotated[
        tuple[int | Literal["embeddings"], ...],
        'a list of layers: numbers, -1 for the last and 0 for the first, or "embeddings"',
    ] = FeaturesConfig.layers
    combine: Literal["concat", "weighted_sum"] = FeaturesConfig.combine
    """Side by side, or added up by learned weights."""
    layer_norm: bool = FeaturesConfig.layer_norm
    """Give each layer's vectors mean 0 and variance 1 first; without it small vectors are learned
    from slowly."""
    lstm_hidden_size: Count | None = None
    """Of each of the two directions; where not set, the model's (the paper's 768 for BERT-base)."""
    lstm_layers: Count = FeaturesConfig.lstm_layers

    def __post_init__(self) -> None:
        """Check that there are layers, none of them twice."""
        super().__post_init__()
        self.config()

    def config(self) -> FeaturesConfig:
        """The same for the model."""
        return FeaturesConfig(**{name: getattr(self, name) for name in hints(type(self))})


# The modes with a BiLSTM between encoder and head, and whether the encoder is frozen.
_OVER_LAYERS: Mapping[str, bool] = {"features": True, "finetune_bilstm": False}


# On 2,000 texts of SST-2, over a BERT of 6 layers, rates from 3e-4 to 3e-3 reach the same accuracy
# (81.0 to 81.7 % of 872), and the best epoch is the third.
FEATURES_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "optimizer": {"name": "adamw", "learning_rate": 1e-3},
    "train": {"epochs": 5},
}


@dataclass(frozen=True, kw_only=True)
class FinetuneRecipe(Recipe):
    """A recipe of `bertsmith finetune`; defaults are those of the paper's appendix A.3.

    With `mode = "features"` the paper gives none. A new BiLSTM learns at rates that would destroy a
    pre-trained encoder, and has further to go: see `FEATURES_DEFAULTS`.
    """

    mode: Literal["finetune", "features", "finetune_bilstm"] = "finetune"
    """Train all of the model; or leave it as it is and train a BiLSTM over its layers
    (section 5.3); or train both together (section 5.1, "+ BiLSTM")."""
    task: Annotated[dict[str, Any], "a section with the name of a task and its settings"]
    model: FinetuneModel
    data: FinetuneData
    train: FinetuneTraining
    optimizer: OptimizerSettings = field(
        default_factory=lambda: OptimizerSettings(learning_rate=5e-5)
    )
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    features: FeaturesSettings = field(default_factory=FeaturesSettings)
    log: LogSettings = field(default_factory=LogSettings)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from nested mappings, with the task of a data set that has a name.

        What is not said is as usual in the mode.

        Raises:
            ConfigError: with one line for each problem, all of them at once.
        """
        return super().from_dict(_with_defaults(with_task(values)))

    def __post_init__(self) -> None:
        """Check what no section can see alone."""
        super().__post_init__()
        if not isinstance(self.task.get("name"), str):
            raise ConfigError("task.name is not set; it must be the name of a task in quotes")
        if self.mode == "finetune" and self.features != FeaturesSettings():
            raise ConfigError(
                "features has settings that mode = 'finetune' does not read; set mode = 'features'"
            )
        model = self.model
        if self.mode == "features" and (
            model.freeze_embeddings or model.freeze_layers or model.reinit_layers
        ):
            raise ConfigError(
                "model.freeze_embeddings, model.freeze_layers and model.reinit_layers are for "
                "fine-tuning, and mode = 'features' leaves the whole encoder as it is; remove them"
            )
        if self.mode == "features" and self.optimizer.name == "muon":
            raise ConfigError(
                "optimizer.name ('muon') is for the encoder's matrices, which mode = 'features' "
                "leaves as they are; choose adamw or bert_adam"
            )

    def to_dict(self) -> dict[str, Any]:
        """As for `Settings`, without the section that the mode does not read."""
        unread = () if self.mode in _OVER_LAYERS else ("features",)
        return {key: value for key, value in super().to_dict().items() if key not in unread}

    @property
    def features_config(self) -> FeaturesConfig | None:
        """What the heads read in place of the encoder, by the mode."""
        if self.mode not in _OVER_LAYERS:
            return None
        return dataclasses.replace(self.features.config(), is_frozen=_OVER_LAYERS[self.mode])

    @property
    def task_settings(self) -> dict[str, Any]:
        """What the `[task]` section says besides the task's name."""
        return {key: value for key, value in self.task.items() if key != "name"}


def _with_defaults(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values with those defaults that are the mode's own."""
    if values.get("mode") != "features":
        return values
    own = {
        name: {**defaults, **values.get(name, {})}
        for name, defaults in FEATURES_DEFAULTS.items()
        if isinstance(values.get(name, {}), Mapping)
    }
    return {**values, **own}


def task_name(values: Mapping[str, Any]) -> str:
    """What a recipe's nested values call their task, or the task of their data set.

    Raises:
        ConfigError: `task` is no section.
    """
    section = with_task(values).get("task", {})
    if not isinstance(section, Mapping):
        raise ConfigError(f"task ({section!r}) must be a section of settings")
    return str(section.get("name"))


def with_task(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The recipe with its data set's task and the settings of it that the recipe does not say."""
    data, task = values.get("data"), values.get("task", {})
    name = data.get("name") if isinstance(data, Mapping) else None
    if not isinstance(name, str) or not isinstance(task, Mapping):
        return values
    try:
        named = named_set(name)
    except ConfigError as error:
        raise ConfigError(f"data.name: {error}") from None
    if task.get("name", named.task) != named.task:
        return values
    return {**values, "task": {"name": named.task, **named.settings, **task}}
