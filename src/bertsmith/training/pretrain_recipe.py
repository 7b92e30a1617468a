"""The recipe of `bertsmith pretrain`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from bertsmith.config import BertConfig
from bertsmith.data.sentence_pairs import MIN_SEQLEN
from bertsmith.errors import ConfigError
from bertsmith.training.log import LogSettings
from bertsmith.training.optimizer import OptimizerSettings
from bertsmith.training.recipe import ModelSettings, Recipe, TrainSettings
from bertsmith.training.schedule import ScheduleSettings
from bertsmith.training.settings import (
    Count,
    Fraction,
    Probability,
    Settings,
)


@dataclass(frozen=True, kw_only=True)
class PretrainData(Settings):
    """The `[data]` section of pre-training; the rates are the published ones."""

    train: Annotated[Path, "a folder written by `bertsmith prepare`, in quotes"]
    eval: Annotated[Path, "a folder written by `bertsmith prepare`, in quotes"] | None = None
    eval_tokens: Count = 262144
    """How much of it to measure on, each time the same."""
    max_seqlen: Count = 128
    short_seqlen: Count | None = None
    """Longest sequence in the first part of the run, where that is to be shorter; published are
    128, and then 512."""
    short_proportion: Fraction = 0.9
    """Part of the run, by steps or by time as its own length, that `short_seqlen` is for. A run
    that is made longer later may so go back to short sequences."""
    single_segment_prob: Fraction = 0.0
    """Part of the sentence pairs that become single segments; the published data has none, and a
    model that has seen pairs alone is lost on a single text."""
    masked_prob: Fraction = 0.15
    """Part of the wordpieces that are to be predicted (of held-out text 0.15, so that runs with
    another part compare),"""
    mask_token_prob: Probability = 0.8
    """part of those that are shown as [MASK],"""
    random_token_prob: Probability = 0.1
    """and part of those that are shown as any other wordpiece; the rest stays as it is."""
    whole_word: bool = False
    """Choose words in place of wordpieces."""

    def __post_init__(self) -> None:
        """Check that something is hidden, and that the two ways leave room for each other."""
        super().__post_init__()
        if self.short_seqlen is not None and self.short_seqlen < MIN_SEQLEN:
            raise ConfigError(
                f"short_seqlen ({self.short_seqlen}) must be at least {MIN_SEQLEN}: [CLS], and a "
                "wordpiece and [SEP] of each of two texts"
            )
        if self.short_seqlen is not None and self.short_seqlen >= self.max_seqlen:
            raise ConfigError(
                f"short_seqlen ({self.short_seqlen}) must be below max_seqlen ({self.max_seqlen}), "
                "which comes after it; lower it or remove it"
            )
        if self.masked_prob == 0:
            raise ConfigError("masked_prob (0.0) must be above 0; without it nothing is learned")
        if self.mask_token_prob + self.random_token_prob > 1:
            raise ConfigError(
                f"mask_token_prob ({self.mask_token_prob}) and random_token_prob "
                f"({self.random_token_prob}) must not be more than 1 together; lower one"
            )


@dataclass(frozen=True, kw_only=True)
class PretrainTraining(TrainSettings):
    """The `[train]` section of pre-training; one of `steps` and `budget_minutes` is needed."""

    batch_tokens: Count = 16384
    """Most tokens in a microbatch."""
    rampup_accumulation_steps: Count | None = None
    """Microbatches of the first steps, where the batch is to grow: they are doubled at equal
    distances until they are `accumulation_steps`."""
    rampup_proportion: Fraction = 0.3
    """Part of the run after which the batch of `rampup_accumulation_steps` has grown to its full
    size. Small batches learn more from a token while the loss falls fast (McCandlish et al. 2018,
    "An empirical model of large-batch training")."""
    cuda_graphs: bool = False
    """Launch a step's kernels all at once, where `compile` is set and a GPU's attention is packed;
    small models wait for the CPU otherwise."""
    shard_model: bool = False
    """Deal parameters, gradients and optimizer state out over the processes of torchrun, for a
    model that does not fit on one GPU. With `bert_adam` and `adamw`, not with `fp8`."""

    def __post_init__(self) -> None:
        """Check that the run has a length, and batches that can be multiplied."""
        super().__post_init__()
        if self.precision == "fp8" and self.batch_tokens % 16:
            raise ConfigError(
                f"batch_tokens ({self.batch_tokens}) must be a multiple of 16 for precision = 'fp8'"
            )
        if self.precision == "fp8" and self.shard_model:
            raise ConfigError(
                "shard_model = true cannot be used with precision = 'fp8'; set precision to 'bf16'"
            )
        if self.steps is None and self.budget_minutes is None:
            raise ConfigError("steps is not set and budget_minutes neither; the run needs a length")
        first, last = self.rampup_accumulation_steps, self.accumulation_steps
        if first is not None and (first == last or first << _doublings(first, last) != last):
            raise ConfigError(
                f"rampup_accumulation_steps ({first}) must be accumulation_steps ({last}) halved "
                "once or several times"
            )

    def microbatches(self, progress: float) -> int:
        """Microbatches of a step when this part of the run, from 0 to 1, is over."""
        first, last = self.rampup_accumulation_steps, self.accumulation_steps
        if first is None or progress >= self.rampup_proportion:
            return last
        done = int(_doublings(first, last) * progress / self.rampup_proportion)
        return first << done


def _doublings(first: int, last: int) -> int:
    """How often `first` can be doubled until it is above `last`, less one; 0 where it is."""
    return max(0, (last // first).bit_length() - 1)


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
        if self.train.shard_model and self.optimizer.name in ("lamb", "muon"):
            raise ConfigError(
                f"optimizer.name ({self.optimizer.name!r}) needs whole matrices, which no process "
                "has with train.shard_model = true; choose bert_adam or adamw"
            )
        if self.model.init is None:
            self.check_sizes(self.model.config(BertConfig().vocab_size))

    def check_sizes(self, config: BertConfig) -> None:
        """See that the model has a position for every token, and a segment for every text.

        Raises:
            ConfigError: it has fewer than the longest sequences, or than the texts of a pair.
        """
        max_seqlen, init = self.data.max_seqlen, self.model.init
        if "next_sentence" in self.tasks and config.type_vocab_size < 2:
            raise ConfigError(
                f"type_vocab_size ({config.type_vocab_size}) must be at least 2 for next_sentence, "
                "which reads pairs of texts"
            )
        if max_seqlen <= config.max_position_embeddings:
            return
        if init is None:
            name, remedy = "model.max_position_embeddings", "lower the one or raise the other"
        else:
            name = f"the positions of {init}"
            remedy = "lower it, or give the model more with `bertsmith extend --positions`"
        raise ConfigError(
            f"data.max_seqlen ({max_seqlen}) must be at most {name} "
            f"({config.max_position_embeddings}); {remedy}"
        )
