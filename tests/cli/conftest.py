"""Tiny model folders for the verbs that ask a model something."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bertsmith.config import BertConfig
from bertsmith.export.model_folder import save_model
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task
from bertsmith.tasks.task import Task
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import Vocabulary

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "a", ".", "東"]


def save(folder: Path, task: str, **settings: object) -> Path:
    return save_tasks(folder, [build_task(task, **settings)])


def save_pretrained(folder: Path) -> Path:
    """A model folder with both of BERT's objectives."""
    return save_tasks(folder, [build_task("masked_lm"), build_task("next_sentence")])


def save_tasks(folder: Path, tasks: list[Task]) -> Path:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=12,
        initializer_range=0.5,
    )
    model = BertForTasks(config, tasks)
    save_model(folder, model, Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=True))
    return folder


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with two labels, one of them not ASCII."""
    folder = tmp_path_factory.mktemp("cli") / "classifier"
    return save(folder, "sequence_classification", labels=["négatif", "positif"])


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that fills masks."""
    return save(tmp_path_factory.mktemp("cli") / "pretrained", "masked_lm")
