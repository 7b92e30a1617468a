"""Recipes: the TOML files that the training verbs run, and their `key=value` overrides.

A recipe says everything that determines a run. Sections are checked as one: unknown keys, wrong
types, values out of range and settings that do not fit each other are all reported at once.
Relative paths are relative to the current directory, in a file as in an override.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from bertsmith.config import BertConfig
from bertsmith.errors import ConfigError
from bertsmith.model.encoders.registry import check_encoder
from bertsmith.training.recipe_file import apply_overrides, read_toml, to_toml
from bertsmith.training.settings import (
    Count,
    Fraction,
    Index,
    PositiveFloat,
    Settings,
)

MAX_SEED = 2**63 - 1
"""Random numbers are drawn by PyTorch and by kernels that count in 64 bits."""


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Settings):
    """The `[model]` section: a published size, sizes of one's own, or a model to go on from.

    The published keys replace single values of the size (`base` where no `preset` is named) or,
    beside `init`, the dropout of the model that is read. The vocabulary gives `vocab_size`.
    """

    preset: Literal["tiny", "mini", "small", "medium", "base", "large"] | None = None
    """The size of a new model; the keys below replace single values of it. Where `model.init` names
    a model to start from, that decides all of them but the two dropout probabilities."""
    encoder: str | None = None
    """Another encoder than BERT's: the name of a file of bertsmith/model/encoders."""
    init: Annotated[Path, "a model folder in quotes"] | None = None
    attention: Literal["auto", "eager", "reference", "sdpa", "triton", "varlen"] = "auto"
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
        if self.encoder is not None:
            check_encoder(self.encoder, "model.encoder")
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
class TrainSettings(Settings):
    """The part of the `[train]` section that pre-training and fine-tuning share."""

    output: Annotated[Path, "a folder for checkpoints and metrics, in quotes"]
    steps: Count | None = None
    """The run's length in optimizer steps; or"""
    budget_minutes: PositiveFloat | None = None
    """its length in time."""
    accumulation_steps: Count = 1
    """Microbatches whose gradients make one step, over all processes where there are several."""
    precision: Literal["fp32", "bf16", "fp8"] | None = None
    """Of matrix products; where not set, bf16 if that is fast. `fp8` is for pre-training on an
    NVIDIA GPU that has it, and for the widest products alone. Weights are always fp32."""
    gradient_checkpointing: bool = False
    compile: bool = False
    device: str | None = None
    """Where not set, a GPU if there is one."""
    num_threads: Count | None = None
    """Where not set, as PyTorch has it (`OMP_NUM_THREADS`, else all cores); four beside a GPU."""
    seed: Index = 12345
    eval_every_steps: Count | None = None
    """Where not set, ten times over the run."""
    checkpoint_every_steps: Count | None = None
    """Where not set, ten times over the run, a minute apart at least."""
    keep_checkpoints: Index = 2
    """How many of the latest. With 0 there is one while the run is under way and none when it is
    over; then it cannot be lengthened."""
    early_stopping_patience: Count | None = None
    """Evaluations in a row without a better held-out figure that end the run; the best model is
    kept with it and without."""

    def microbatches(self, progress: float) -> int:  # noqa: ARG002 - for those that change
        """Microbatches of a step when this part of the run, from 0 to 1, is over."""
        return self.accumulation_steps

    def __post_init__(self) -> None:
        """Check that the run has one length."""
        super().__post_init__()
        if self.seed > MAX_SEED:
            raise ConfigError(f"seed ({self.seed}) must be at most {MAX_SEED}")
        if self.steps is not None and self.budget_minutes is not None:
            raise ConfigError(
                f"steps ({self.steps}) and budget_minutes ({self.budget_minutes}) cannot both be "
                "the run's length; remove one, on the command line with train.steps= or "
                "train.budget_minutes= and nothing after it"
            )


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
