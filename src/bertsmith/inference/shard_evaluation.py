"""The figures of a pre-trained model on held-out text: language modelling and next sentence.

The text is a folder of `bertsmith prepare`, read as it is during pre-training: pairs and masks are
drawn with a seed and at a rate of their own, so that models compare however they were trained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertsmith.data.loader import PretrainingBatches
from bertsmith.data.masking import Masking
from bertsmith.data.shards import MANIFEST, TokenizedCorpus
from bertsmith.data.wordpiece_ids import WordpieceIds
from bertsmith.errors import ConfigError, DataError
from bertsmith.export.model_folder import load_model, load_pretrained
from bertsmith.export.model_source import is_exported, open_source
from bertsmith.tasks.registry import build_task
from bertsmith.tasks.task import RecordTask, Task
from bertsmith.training.evaluation import evaluate
from bertsmith.training.parallelize import choose_device
from bertsmith.training.pretraining import HELD_OUT_MASKED_PROB, HELD_OUT_SEED, reads_masked
from bertsmith.training.settings import Count, Fraction, Settings

_BATCH_SEQUENCES = 64
_ALL = 2**62


@dataclass(frozen=True, kw_only=True)
class HeldOutText(Settings):
    """How the text is read; the settings of the same names of a recipe's `[data]`."""

    max_seqlen: Count = 128
    pairs: bool = True
    """With false texts of one segment, and no next sentence: so models with its prediction and
    without it are measured on the same."""
    single_segment_prob: Fraction = 0.0
    eval_tokens: Count | None = None
    """Where not set, all of it."""


@dataclass(frozen=True, kw_only=True)
class _Sections(Settings):
    """So that errors name settings as they are written."""

    data: HeldOutText = field(default_factory=HeldOutText)


def held_out_text(data: Mapping[str, Any]) -> HeldOutText:
    """How to read the text, by the settings of a section `data`.

    Raises:
        ConfigError: with one line for each problem.
    """
    return _Sections.from_dict({"data": data}).data


def refuse_records(model: str | Path, data: str | Path) -> None:
    """Say of a model that knows the objectives of pre-training alone what it is measured on.

    Args:
        model: as for `load_model`.
        data: what is no folder of prepared text.

    Raises:
        CheckpointError: there is no such model, or it is damaged.
        DataError: it is such a model.
    """
    path = Path(data)
    if is_exported(model):
        return
    tasks = open_source(model).tasks()
    if not _are_objectives(tasks):
        return
    names = [task.name for task in tasks]
    of_model = f"{model} is a pre-trained model ({', '.join(names)})"
    if not path.exists():
        raise DataError(
            f"{data} does not exist; {of_model}, which is measured on a folder that `bertsmith "
            "prepare` has written"
        )
    found = sorted(each.parent.name for each in path.glob(f"*/{MANIFEST}")) if path.is_dir() else []
    there = f"; there are such folders in it: {', '.join(found)}" if found else ""
    advice = "fine-tune the model first to measure it on labelled records"
    raise DataError(
        f"{data} is not a folder that `bertsmith prepare` has written, and {of_model}, which is "
        f"measured on one{there or f'; {advice}'}"
    )


def _are_objectives(tasks: Sequence[Task]) -> bool:
    return bool(tasks) and not any(isinstance(task, RecordTask) for task in tasks)


def evaluate_shards(
    model: str | Path,
    shards: str | Path,
    text: HeldOutText | None = None,
    *,
    device: str | None = None,
) -> dict[str, float]:
    """Give the figures of each objective: loss (nats), accuracy, and perplexity of wordpieces.

    A model without next-sentence prediction is always given texts of one segment, as in its
    training.

    Args:
        model: a pre-trained model, as for `load_model`.
        shards: the folder of text, prepared with the model's vocabulary.
        text: how to read it.
        device: such as `cpu` or `cuda`; None takes a GPU where there is one.

    Raises:
        CheckpointError: there is no such model, or it is damaged.
        ConfigError: it has no head of pre-training, or reads no sequences of this length.
        DataError: the text is not there, or was prepared with another vocabulary.
    """
    text = text or HeldOutText()
    chosen = choose_device(device)
    loaded = load_model(model)
    tasks = loaded.model.tasks
    names = [task.name for task in tasks]
    if not _are_objectives(tasks):
        raise ConfigError(
            f"{model} is for {' and '.join(names) or 'no task yet'}, and text without labels is "
            "for the objectives of pre-training; give a pre-trained model, or labelled records"
        )
    positions = loaded.model.config.max_position_embeddings
    if text.max_seqlen > positions:
        raise ConfigError(
            f"data.max_seqlen ({text.max_seqlen}) must be at most the model's {positions} positions"
        )
    corpus = TokenizedCorpus.open(shards, vocabulary_sha256=loaded.tokenizer.vocabulary.sha256)
    is_paired = text.pairs and "next_sentence" in names
    asked = loaded.model
    if not is_paired and "next_sentence" in names:
        others = [build_task(name) for name in names if name != "next_sentence"]
        asked = load_pretrained(model, others).model.eval()
    budget = _BATCH_SEQUENCES * text.max_seqlen
    batches = PretrainingBatches(
        corpus,
        WordpieceIds.of(loaded.tokenizer),
        max_seqlen=text.max_seqlen,
        budget_tokens=budget,
        seed=HELD_OUT_SEED,
        objective="sentence_pairs" if is_paired else "full_segments",
        single_segment_prob=text.single_segment_prob if is_paired else 0.0,
        masking=Masking(masked_prob=HELD_OUT_MASKED_PROB),
        is_masked=reads_masked(names),
    )
    # The loader itself ends with the text.
    count = _ALL if text.eval_tokens is None else -(-text.eval_tokens // budget)
    figures = evaluate(asked.to(chosen), batches.evaluation_batches(count), chosen)
    for task in asked.tasks:
        if task.shown is not None and f"{task.name}_loss" in figures:
            figures[f"{task.name}_perplexity"] = math.exp(figures[f"{task.name}_loss"])
    return figures
