"""Two published ways to write wordpieces down.

bert: a piece that continues a word starts with ## (Devlin et al. 2019): `jet makers fe ##ud over`.
gnmt: a piece that starts a word starts with _ (Wu et al. 2016, section 4.1, "Google's Neural
    Machine Translation System"): `_jet _makers _fe ud _over`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from bertsmith.text.vocabulary import CONTINUATION, SPECIAL_TOKENS

Notation = Literal["bert", "gnmt"]


def in_gnmt_notation(pieces: Iterable[str]) -> list[str]:
    """Pieces in BERT's notation to the other; special tokens are no words and stay as they are."""
    return [_in_gnmt_notation(piece) for piece in pieces]


def _in_gnmt_notation(piece: str) -> str:
    if piece in SPECIAL_TOKENS:
        return piece
    # "##" alone is two marks of a text, not a continuation of nothing.
    if piece.startswith(CONTINUATION) and piece != CONTINUATION:
        return piece.removeprefix(CONTINUATION)
    return f"_{piece}"
