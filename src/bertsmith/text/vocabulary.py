"""`Vocabulary`: the wordpieces in the order of their ids, and the `vocab.txt` that holds them.

Source: section 3 of Devlin et al. 2019 ("WordPiece embeddings with a 30,000 token vocabulary").

Dimension key: `V` wordpieces of the vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bertsmith.errors import CheckpointError, DataError

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTINUATION = "##"

_BINARY_KINDS = {b"\x80": "a Python pickle", b"PK": "a zip archive", b"\x1f\x8b": "a gzip file"}


class Vocabulary:
    """Wordpieces by id; equal vocabularies have equal `sha256`.

    Args:
        pieces: the wordpieces; the place of each is its id. A blank line of a vocab.txt is the
            empty string: it takes an id that no text ever gets.
        name: the file that they came from, for error messages.

    Raises:
        CheckpointError: an entry occurs twice, or a special token is missing.
    """

    def __init__(self, pieces: Sequence[str], *, name: str = "the vocabulary") -> None:
        self.pieces = list(pieces)
        self._ids: dict[str, int] = {}
        for index, piece in enumerate(self.pieces):
            if piece and self._ids.setdefault(piece, index) != index:
                raise CheckpointError(
                    f"{name}:{index + 1}: {piece!r} is already on line {self._ids[piece] + 1}; "
                    "an entry has one id, so remove one of the two where no model uses it yet"
                )
        missing = [token for token in SPECIAL_TOKENS if token not in self._ids]
        if missing:
            raise CheckpointError(
                f"{name} lacks {', '.join(missing)}; a BERT vocabulary holds "
                f"{' '.join(SPECIAL_TOKENS)}: is this the right file?"
            )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        r"""Read a `vocab.txt`: one wordpiece a line, its id is its line.

        Only `\n` and `\r\n` end a line, since published vocabularies have entries such as
        U+2028. Blanks around an entry are dropped, as Google's reader does.

        Raises:
            CheckpointError: the file cannot be read, is not text, or is no BERT vocabulary.
        """
        path = Path(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
        return cls(_lines(data, str(path)), name=str(path))

    def to_bytes(self) -> bytes:
        """The contents of a `vocab.txt`."""
        return "".join(f"{piece}\n" for piece in self.pieces).encode()

    @cached_property
    def sha256(self) -> str:
        """The hash of `to_bytes()`, in hexadecimal digits."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @cached_property
    def is_continuation(self) -> NDArray[np.bool_]:
        """(V,): whether a wordpiece continues a word (starts with `##`)."""
        return np.array([piece.startswith(CONTINUATION) for piece in self.pieces])

    @cached_property
    def is_cased(self) -> bool:
        """Whether an entry has an upper-case letter, tokens such as [MASK] and <S> excepted.

        Upper case is what lower-casing changes: the letter ℝ is in the uncased vocabulary.
        """
        return self.first_upper_case() is not None

    def first_upper_case(self, besides: Container[str] = ()) -> str | None:
        """The first entry that lower-casing would change, if there is one `besides` these."""
        changed = (piece for piece in self.pieces if piece != piece.lower())
        return next((p for p in changed if not is_bracketed(p) and p not in besides), None)

    def id_of(self, piece: str) -> int:
        """The id of a wordpiece.

        Raises:
            DataError: it is not in the vocabulary.
        """
        try:
            return self._ids[piece]
        except KeyError:
            raise DataError(
                f"{piece!r} is not one of the vocabulary's {len(self):,} wordpieces"
            ) from None

    def to_dict(self) -> dict[str, int]:
        """Wordpiece to id, blank entries left out."""
        return dict(self._ids)

    def __contains__(self, piece: object) -> bool:
        return piece in self._ids

    def __len__(self) -> int:
        """V."""
        return len(self.pieces)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.pieces == other.pieces

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self):,} wordpieces, sha256 {self.sha256[:8]})"


def is_bracketed(piece: str) -> bool:
    """Whether an entry is a token of the vocabulary's maker ([CLS], [unused7], <S>), not text."""
    return len(piece) > 2 and (piece[0], piece[-1]) in {("[", "]"), ("<", ">")}


def _lines(data: bytes, name: str) -> list[str]:
    """The entries of a vocab.txt; refuses what is not text."""
    if not data:
        raise CheckpointError(f"{name} is empty; a vocab.txt holds one wordpiece a line")
    for start, kind in _BINARY_KINDS.items():
        if data.startswith(start):
            raise CheckpointError(
                f"{name} is {kind}; give the vocab.txt or tokenizer.json that belongs to it"
            )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CheckpointError(
            f"{name}:{line}: byte {error.start} is not UTF-8; a vocab.txt is UTF-8 text"
        ) from None
    if "\0" in text:
        raise CheckpointError(f"{name} is a binary file; a vocab.txt holds one wordpiece a line")
    return [line.strip(" \t\r") for line in text.removesuffix("\n").split("\n")]
