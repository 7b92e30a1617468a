"""A tiny pre-trained model, records of two moods, and recipes for runs of a second."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import torch

from bertsmith.config import BertConfig
from bertsmith.export.model_folder import save_model
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.next_sentence import NextSentence
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from bertsmith.training.finetune_recipe import FinetuneRecipe

MOODS = {"good": ["good", "fine", "great"], "bad": ["bad", "poor", "dull"]}
THINGS = ["film", "book", "song", "play"]
PIECES = [*SPECIAL_TOKENS, *MOODS["good"], *MOODS["bad"], *THINGS, "a", "."]


def write_start(folder: Path) -> Path:
    """Write a model, and records to train (train.tsv) and to measure on (dev.tsv)."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=16,
        initializer_range=0.1,
    )
    tokenizer = Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=True)
    save_model(folder / "model", BertForTasks(config, [MaskedLM(), NextSentence()]), tokenizer)
    # Every word and every thing is in both files, and no text is.
    rows: dict[str, list[str]] = {"train": [], "dev": []}
    words = [(word, mood) for mood, words in MOODS.items() for word in words]
    for (i, (word, mood)), (j, thing) in itertools.product(enumerate(words), enumerate(THINGS)):
        rows["dev" if (i + j) % 4 == 0 else "train"].append(f"a {word} {thing} .\t{mood}")
    for name, lines in rows.items():
        (folder / f"{name}.tsv").write_text("text\tlabel\n" + "\n".join(lines) + "\n")
    return folder


def mood_recipe(start: Path, output: Path, **changes: dict[str, Any]) -> FinetuneRecipe:
    """A run that learns the moods in about a second; sections replace what they name."""
    values: dict[str, dict[str, Any]] = {
        "task": {"name": "sequence_classification"},
        "model": {"init": str(start / "model")},
        "data": {
            "train": str(start / "train.tsv"),
            "eval": str(start / "dev.tsv"),
            "max_seqlen": 12,
        },
        "train": {
            "output": str(output),
            "batch_size": 8,
            "steps": 60,
            "num_threads": 1,
            "precision": "fp32",
            "keep_checkpoints": 2,
        },
        "optimizer": {"learning_rate": 3e-3},
        "log": {"every_steps": 1},
    }
    for section, settings in changes.items():
        merged = values.get(section, {}) | settings
        values[section] = {key: value for key, value in merged.items() if value is not None}
    return FinetuneRecipe.from_dict(values)
