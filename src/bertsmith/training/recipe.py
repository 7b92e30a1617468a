"""Recipes: the TOML files that the training verbs run, and their `key=value` overrides.

A recipe says everything that determines a run. Sections are checked as one: unknown keys, wrong
types, values out of range and settings that do not fit each other are all reported at once.
Relative paths are relative to the current directory, in a file as in an override.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from bertsmith.config import BertConfig
from bertsmith.data.layout import SETTINGS, Layout
from bertsmith.data.named_sets import named_set
from bertsmith.data.record_source import RecordSource
from bertsmith.errors import ConfigError
from bertsmith.model.feature_encoder import FeaturesConfig
from bertsmith.training.log import LogSettings
from bertsmith.training.optimizer import OptimizerSettings
from bertsmith.training.recipe_file import apply_overrides, read_toml, to_toml
from bertsmith.training.schedule import ScheduleSettings
from bertsmith.training.settings import (
    Count,
    Fraction,
    Index,
    PositiveFloat,
    Probability,
    Settings,
    hints,
)


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Settings):
    """The `[model]` section: a published size, sizes of one's own, or a model to go on from.

    The published keys replace single values of the size (`base` where no `preset` is named) or,
    beside `init`, the dropout of the model that is read. The vocabulary gives `vocab_size`.
    """

    preset: Literal["tiny", "mini", "small", "medium", "base", "large"] | None = None
    """The size of a new model; the keys below replace single values of it. Where `model.init` names
    a model to start from, that decides all of them but the two dropout probabilities."""
    init: Annotated[Path, "a model folder in quotes"] | None = None
    attention: Literal["auto", "reference", "sdpa", "varlen"] = "auto"
    hidden_size: Count | None = None
    num_hidden_layers: Count | None = None
    num_attention_heads: Count | None = None
    intermediate_size: Count | None = None
    hidden_act: str | None = None
    hidden_dropout_prob: Fraction | None = None
    attention_probs_dropout_prob: Fraction | None = None
    max_position_embeddings: Count | None = None
    type_vocab_size: Count | None = None
    initializer_range: PositiveFloat | None = None
    layer_norm_eps: PositiveFloat | None = None

    def __post_init__(self) -> None:
        """Check that the sizes make a model, or that `init` alone decides them."""
        super().__post_init__()
        if self.init is None:
            self.config(BertConfig().vocab_size)
            return
        dropout = {"hidden_dropout_prob", "attention_probs_dropout_prob"}
        fixed = [key for key in ("preset", *self.published()) if key not in dropout]
        fixed = [key for key in fixed if getattr(self, key) is not None]
        if fixed:
            raise ConfigError(
                f"{fixed[0]} cannot be set beside model.init ({self.init}), which decides it; "
                "remove one of them"
            )

    def published(self) -> dict[str, Any]:
        """The keys of `BertConfig` that the recipe sets."""
        names = [field.name for field in dataclasses.fields(BertConfig)]
        values = {name: getattr(self, name, None) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    def config(self, vocab_size: int) -> BertConfig:
        """The sizes of a new model with this many wordpieces.

        Raises:
            ConfigError: when the sizes do not fit each other.
        """
        preset = self.preset or "base"
        return BertConfig.preset(preset, **self.published() | {"vocab_size": vocab_size})


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
class PretrainData(Settings):
    """The `[data]` section of pre-training; the rates are the published ones."""

    train: Annotated[Path, "a folder written by `bertsmith prepare`, in quotes"]
    eval: Annotated[Path, "a folder written by `bertsmith prepare`, in quotes"] | None = None
    eval_tokens: Count = 262144
    """How much of it to measure on, each time the same."""
    max_seqlen: Count = 128
    single_segment_prob: Fraction = 0.0
    """Part of the sentence pairs that become single segments; the published data has none, and a
    model that has seen pairs alone is lost on a single text."""
    masked_prob: Fraction = 0.15
    """Part of the wordpieces that are to be predicted,"""
    mask_token_prob: Probability = 0.8
    """part of those that are shown as [MASK],"""
    random_token_prob: Probability = 0.1
    """and part of those that are shown as any other wordpiece; the rest stays as it is."""
    whole_word: bool = False
    """Choose words in place of wordpieces."""

    def __post_init__(self) -> None:
        """Check that something is hidden, and that the two ways leave room for each other."""
        super().__post_init__()
        if self.masked_prob == 0:
            raise ConfigError("masked_prob (0.0) must be above 0; without it nothing is learned")
        if self.mask_token_prob + self.random_token_prob > 1:
            raise ConfigError(
                f"mask_token_prob ({self.mask_token_prob}) and random_token_prob "
                f"({self.random_token_prob}) must not be more than 1 together; lower one"
            )


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
    max_seqlen: Count | None = None
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
class TrainSettings(Settings):
    """The part of the `[train]` section that pre-training and fine-tuning share."""

    output: Annotated[Path, "a folder for checkpoints and metrics, in quotes"]
    steps: Count | None = None
    """The run's length in optimizer steps; or"""
    budget_minutes: PositiveFloat | None = None
    """its length in time."""
    accumulation_steps: Count = 1
    """Microbatches whose gradients make one step."""
    precision: Literal["fp32", "bf16"] | None = None
    """Of matrix products; where not set, bf16 if that is fast. Weights are always fp32."""
    gradient_checkpointing: bool = False
    compile: bool = False
    device: str | None = None
    """Where not set, a GPU if there is one."""
    num_threads: Count | None = None
    seed: Index = 12345
    eval_every_steps: Count | None = None
    """Where not set, ten times over the run."""
    checkpoint_every_steps: Count | None = None
    """Where not set, ten times over the run; and whenever the model is better than before."""
    keep_checkpoints: Count = 2
    early_stopping_patience: Count | None = None
    """Evaluations in a row without a better held-out figure that end the run; the best model is
    kept with it and without."""

    def __post_init__(self) -> None:
        """Check that the run has one length."""
        super().__post_init__()
        if self.steps is not None and self.budget_minutes is not None:
            raise ConfigError(
                f"steps ({self.steps}) and budget_minutes ({self.budget_minutes}) cannot both be "
                "the run's length; remove one, on the command line with train.steps= or "
                "train.budget_minutes= and nothing after it"
            )


@dataclass(frozen=True, kw_only=True)
class PretrainTraining(TrainSettings):
    """The `[train]` section of pre-training; one of `steps` and `budget_minutes` is needed."""

    batch_tokens: Count = 16384
    """Most tokens in a microbatch."""

    def __post_init__(self) -> None:
        """Check that the run has a length."""
        super().__post_init__()
        if self.steps is None and self.budget_minutes is None:
            raise ConfigError("steps is not set and budget_minutes neither; the run needs a length")


@dataclass(frozen=True, kw_only=True)
class FinetuneTraining(TrainSettings):
    """The `[train]` section of fine-tuning."""

    epochs: PositiveFloat = 3.0
    """Read where neither `steps` nor `budget_minutes` is set."""
    cuda_graphs: bool = True
    """On a GPU, launch a step's kernels all at once; without it small models wait for the CPU."""
    report: bool = True
    """Leave a model card, report.html and results.json beside the model; it takes some seconds."""
    batch_size: Count = 32
    """Records, or windows of long ones, in a microbatch."""
    restarts: Index = 3
    """How many runs may begin again, with the next seed, after half a run with one answer for every
    held-out record and a training loss to match; small sets make such runs of large models (paper,
    section 4.1). The last one goes to its end, and the best is kept. 0 leaves such runs alone."""


@dataclass(frozen=True, kw_only=True)
class FeaturesSettings(Settings):
    """The `[features]` section of fine-tuning, read where `mode` is "features".

    Table 7 of the paper has the rows `layers=["embeddings"]`; `[-2]`; `[-1]`; `[-4, -3, -2, -1]`
    summed and concatenated, the best one and the default; and all layers summed.
    """

    layers: Annotated[
        tuple[int | Literal["embeddings"], ...],
        'a list of layers: numbers, -1 for the last and 0 for the first, or "embeddings"',
    ] = FeaturesConfig.layers
    combine: Literal["concat", "weighted_sum"] = FeaturesConfig.combine
    """Side by side, or added up by learned weights."""
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


class Recipe(Settings):
    """What the recipes of both verbs can do."""

    @classmethod
    def load(cls, path: str | Path, overrides: Iterable[str] = ()) -> Self:
        """Read a recipe file.

        Args:
            path: TOML.
            overrides: `section.key=value`, which replace what the file says.

        Raises:
            ConfigError: when the file cannot be read, or with one line for each wrong setting.
        """
        return cls.from_dict(apply_overrides(read_toml(path), overrides))

    def to_toml(self) -> str:
        """The whole recipe, defaults written out; `load` gives the same recipe again."""
        return to_toml(self.to_dict())


@dataclass(frozen=True, kw_only=True)
class PretrainRecipe(Recipe):
    """A recipe of `bertsmith pretrain`."""

    tasks: tuple[str, ...] = ("masked_lm", "next_sentence")
    data: PretrainData
    train: PretrainTraining
    model: ModelSettings = field(default_factory=ModelSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    log: LogSettings = field(default_factory=LogSettings)

    def __post_init__(self) -> None:
        """Check what no section can see alone."""
        super().__post_init__()
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise ConfigError(
                f"tasks ({', '.join(self.tasks)}) must name one objective or more, each once"
            )
        if self.model.init is None:
            _check_positions(self.data.max_seqlen, self.model.config(BertConfig().vocab_size))


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

    mode: Literal["finetune", "features"] = "finetune"
    """Train all of the model, or leave it as it is and train a BiLSTM over its layers
    (section 5.3)."""
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
        unread = () if self.mode == "features" else ("features",)
        return {key: value for key, value in super().to_dict().items() if key not in unread}

    @property
    def features_config(self) -> FeaturesConfig | None:
        """What the heads read in place of the encoder, by the mode."""
        return self.features.config() if self.mode == "features" else None

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


def _check_positions(max_seqlen: int, config: BertConfig) -> None:
    if max_seqlen > config.max_position_embeddings:
        raise ConfigError(
            f"data.max_seqlen ({max_seqlen}) must be at most model.max_position_embeddings "
            f"({config.max_position_embeddings}); lower the one or raise the other"
        )
