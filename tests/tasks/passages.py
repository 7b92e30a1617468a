"""Questions of who, where and when: a tiny BERT learns what kind of word answers them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch

from bertsmith.config import BertConfig
from bertsmith.export.model_folder import save_model
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.task import Task
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary

KINDS = {
    "who": ["Ada", "Alan", "Emmy", "Kurt"],
    "where": ["Rome", "New Rome", "Oslo", "New Oslo"],
    "when": ["Monday", "Tuesday"],
}
FILLERS = ["went", "and", "saw", "it", "the", ",", "cat"]
_WORDS = (word for texts in KINDS.values() for text in texts for word in text.lower().split())
PIECES = [*SPECIAL_TOKENS, *KINDS, *dict.fromkeys(_WORDS), *FILLERS, "?", "."]


def squad(count: int, *, seed: int, unanswerable: float = 0.0, length: int = 8) -> dict[str, Any]:
    """A file in SQuAD's form; `unanswerable` of the questions ask for what is not there."""
    draw = random.Random(seed)
    paragraphs = []
    for number in range(count):
        asked = draw.choice(list(KINDS))
        is_impossible = draw.random() < unanswerable
        said = [kind for kind in KINDS if kind != asked or not is_impossible]
        words = [draw.choice(FILLERS) for _ in range(length)] + [
            draw.choice(KINDS[kind]) for kind in said
        ]
        draw.shuffle(words)
        context = " ".join(words).replace(" ,", ",") + "."
        answer = next((word for word in words if word in KINDS[asked]), None)
        question = {
            "id": f"{seed}-{number}",
            "question": f"{asked.capitalize()}?",
            "answers": []
            if answer is None
            else [{"text": answer, "answer_start": context.index(answer)}],
            "is_impossible": is_impossible,
        }
        paragraphs.append({"context": context, "qas": [question]})
    return {"version": "v2.0", "data": [{"title": "Days out", "paragraphs": paragraphs}]}


def write_squad(path: Path, count: int, **settings: Any) -> Path:
    """The same, as a file."""
    path.write_text(json.dumps(squad(count, **settings)))
    return path


def tokenizer() -> Tokenizer:
    """It knows the words of the passages, in lower case."""
    return Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=True)


def save_pretrained(folder: Path, task: Task | None = None) -> Path:
    """A tiny model folder to start from, or for a task."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.1,
    )
    save_model(folder, BertForTasks(config, [task or MaskedLM()]), tokenizer())
    return folder
