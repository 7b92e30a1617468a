"""A small vocabulary to see through, and the published ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary

PIECES = [
    *SPECIAL_TOKENS,
    *"abcdefghijklmnopqrstuvwxyz,.!?'[]",
    *(f"##{c}" for c in "abdefghinostuvy"),
]
PIECES += ["un", "##aff", "##able", "jet", "makers", "fe", "##ud", "over", "seat", "the"]


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=True)


@pytest.fixture(scope="session", params=["uncased", "cased", "chinese", "multilingual-cased"])
def published(request: pytest.FixtureRequest, shared_data: Path) -> Path:
    """Each published vocab.txt."""
    return shared_data / "vocab" / f"bert-base-{request.param}-vocab.txt"


@pytest.fixture(scope="session")
def uncased(shared_data: Path) -> Tokenizer:
    return Tokenizer.load(shared_data / "vocab" / "bert-base-uncased-vocab.txt")
