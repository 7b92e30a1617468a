"""A tiny model folder of each kind that is asked something."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bertsmith.config import BertConfig
from bertsmith.export.model_folder import save_model
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.next_sentence import NextSentence
from bertsmith.tasks.sequence_classification import SequenceClassification
from bertsmith.tasks.task import Task
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import Vocabulary

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "paris", "is", "the", "capital", "of"]
PIECES += ["france", ".", "a", "good", "bad", "film", "##s", "fine", "book", "dull"]


def save(
    folder: Path, tasks: list[Task], *, pieces: list[str] = PIECES, positions: int = 12
) -> Path:
    """A model of random weights."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(pieces) + 4,  # more than the vocabulary has, as in padded models
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=positions,
        initializer_range=0.3,
    )
    tokenizer = Tokenizer.from_vocabulary(Vocabulary(pieces), lowercase=True)
    save_model(folder, BertForTasks(config, tasks), tokenizer)
    return folder


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two labels; its training file had a text in column 4 and a label in column 2."""
    task = SequenceClassification(labels=["neg", "pos"], columns={"text": "4", "label": "2"})
    return save(tmp_path_factory.mktemp("models") / "classifier", [task])


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both of BERT's objectives."""
    return save(tmp_path_factory.mktemp("models") / "pretrained", [MaskedLM(), NextSentence()])
