"""A corpus of made-up words in made-up sentences, to be had by anyone from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator

CORPUS = {
    "seed": 7,
    "num_documents": 400,
    "mean_sentences": 10,
    "mean_words": 8,
    "continuation_prob": 0.6,
    "num_roots": 180,
    "num_continuations": 70,
}


def vocabulary() -> list[str]:
    """Special tokens, roots of three letters, and continuations of two."""
    consonants, vowels = "bdfgklmnprst", "aeiou"
    syllables = [c + v for c in consonants for v in vowels]
    roots = [s + c for c in consonants for s in syllables][: CORPUS["num_roots"]]
    tails = syllables + [v + c for v in vowels for c in consonants]
    continuations = [f"##{tail}" for tail in tails[: CORPUS["num_continuations"]]]
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *roots, *continuations]


def generated_text(pieces: list[str]) -> str:
    """A sentence a line, a blank line after each document; many documents are one sentence."""
    rng = random.Random(CORPUS["seed"])
    roots = [piece for piece in pieces[5:] if not piece.startswith("##")]
    tails = [piece[2:] for piece in pieces[5:] if piece.startswith("##")]

    def geometric(mean: float) -> Iterator[int]:
        yield 0
        while rng.random() >= 1 / mean:
            yield 0

    def word() -> str:
        found = rng.choice(roots)
        while rng.random() < CORPUS["continuation_prob"]:
            found += rng.choice(tails)
        return found

    documents = [
        "".join(
            " ".join(word() for _ in geometric(CORPUS["mean_words"])) + "\n"
            for _ in geometric(CORPUS["mean_sentences"])
        )
        for _ in range(CORPUS["num_documents"])
    ]
    return "\n".join(documents)
