"""Settings of fine-tuning that usually go wrong with the model and the records at hand."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bertsmith.config import BertConfig
from bertsmith.tasks.long_text import LongText
from bertsmith.tasks.task import RecordTask
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.record_check import RecordCheck

# By hidden size, the rate above which models often end with one answer for everything; smaller ones
# bear, and need, more.
MAX_LEARNING_RATES = {768: 1e-4, 256: 1e-3}
MIN_RECORDS_OF_A_LABEL = 10
# Losing less is of no consequence.
MIN_CUT_SHARE = 0.05


def setting_warnings(
    recipe: FinetuneRecipe, task: RecordTask, config: BertConfig, check: RecordCheck
) -> tuple[str, ...]:
    """A sentence for each."""
    return tuple(_warnings(recipe, task, config, check))


def _warnings(
    recipe: FinetuneRecipe, task: RecordTask, config: BertConfig, check: RecordCheck
) -> Iterator[str]:
    rate, records = recipe.optimizer.learning_rate, check.train.num_records
    highest = [most for size, most in MAX_LEARNING_RATES.items() if config.hidden_size >= size]
    if recipe.mode == "finetune" and rate > min(highest, default=math.inf):
        yield (
            f"optimizer.learning_rate ({rate:g}) is high for a model with a hidden_size of "
            f"{config.hidden_size}, which then often learns one answer for everything; 2e-5 to "
            "5e-5 is usual"
        )
    labels = len(check.train.label_counts)
    if records < MIN_RECORDS_OF_A_LABEL * labels:
        yield (
            f"there are few training records ({records}) for the labels ({labels}), and what is "
            f"learned will depend on train.seed; {MIN_RECORDS_OF_A_LABEL} of each are better"
        )
    step = recipe.train.batch_size * recipe.train.accumulation_steps
    if records < step:
        yield (
            f"a step takes {step} records and there are {records}; lower train.batch_size, so "
            "that an epoch has several steps"
        )
    asked = recipe.data.max_seqlen
    if asked is not None and asked > config.max_position_embeddings:
        yield (
            f"data.max_seqlen ({asked}) is more than the model's positions "
            f"({config.max_position_embeddings}), which are the limit"
        )
    if recipe.train.early_stopping_patience is not None and check.eval is None:
        yield (
            "train.early_stopping_patience is set and data.eval is not: without records to measure "
            "on no run stops early"
        )
    long_text = getattr(task, "long_text", None)
    if isinstance(long_text, LongText):
        yield from _about_length(config, check, long_text)


def _about_length(config: BertConfig, check: RecordCheck, long_text: LongText) -> Iterator[str]:
    train, limit, positions = check.train, check.max_length, config.max_position_embeddings
    share = train.num_cut / train.num_records
    if share < MIN_CUT_SHARE:
        return
    enough = min(positions, train.lengths.percentile_95)
    loss = f"{share:.0%} of the training records lose text at {limit:,} wordpieces"
    longer = f"raise data.max_seqlen to {enough:,}" if limit < positions else ""
    if long_text.rule == "windows":
        yield (
            f"{loss}: the shorter text of a pair is cut at half of them"
            + (f"; {longer}" if longer else "")
        )
        return
    windows = train.num_windows / train.num_records
    yield (
        f"{loss}; {longer}{', or ' if longer else ''}read them in windows with "
        f"task.long_text=windows, about {windows:.1f} for each record"
    )
