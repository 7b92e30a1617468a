"""Answers without a model: logits that a test chooses, for records that it chooses."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch

from bertsmith.config import BertConfig
from bertsmith.data.example import EncodedRecord, Example
from bertsmith.data.record import Record
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.sequence_task import SequenceTask
from bertsmith.tasks.task import ScoredRecord
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from bertsmith.training.record_evaluation import RecordEvaluation
from bertsmith.training.report.findings import Findings
from bertsmith.training.report.results import DataFile, model_results

HOSTILE = (
    "</p><script>alert('x')</script><img src=http://x/y onerror=alert(1)> & \"'`|*_ \x00\u202e"
)


def evaluation_of(
    task: SequenceTask, golds: Sequence[Any], scores: Sequence[Any], texts: Sequence[str] = ()
) -> RecordEvaluation:
    """An evaluation of records with these labels, to which these scores were given."""
    scored = []
    for number, (gold, score) in enumerate(zip(golds, scores, strict=True), 1):
        text = texts[number - 1] if texts else f"text {number}"
        record = Record({"text": text, "label": gold}, f"/home/someone/secret/dev.tsv:{number}")
        length = 2 + number % 40
        example = Example([5] * length, [0] * length, task.target_of(record))
        scored.append(ScoredRecord(EncodedRecord(record, (example,)), torch.tensor(score)))
    return RecordEvaluation(scored, 0.5)


def tiny(task: SequenceTask) -> tuple[BertForTasks, Tokenizer]:
    """A model of the task, and its tokenizer."""
    pieces = [*SPECIAL_TOKENS, "a", "text", "."]
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=16,
    )
    return BertForTasks(config, [task]), Tokenizer.from_vocabulary(
        Vocabulary(pieces), lowercase=True
    )


def results_of(task: SequenceTask, findings: Findings | None, **changes: Any) -> dict[str, Any]:
    """A results.json of a model that was not trained."""
    model, tokenizer = tiny(task)
    evaluation = None if findings is None else DataFile("dev.tsv", len(findings.judged), "ab" * 32)
    results = model_results(
        findings,
        name="mine",
        task=task,
        model=model,
        tokenizer=tokenizer,
        evaluation=evaluation,
        training=None,
    )
    return results | changes


def all_texts(value: Any) -> list[str]:
    """Every text in a JSON value."""
    if isinstance(value, dict):
        return [*value, *itertools.chain.from_iterable(map(all_texts, value.values()))]
    if isinstance(value, list):
        return list(itertools.chain.from_iterable(map(all_texts, value)))
    return [value] if isinstance(value, str) else []
