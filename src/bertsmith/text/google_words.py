"""The words of a text as Google's BERT splits them, with the places they came from.

Google's rules are those of Python's own Unicode tables (`unicodedata`): control characters are
deleted, Chinese characters stand alone, letters are lower-cased and lose their accents where the
vocabulary is uncased, and punctuation stands alone. So the words of characters that Unicode has
added or changed lately depend on the version of Python; `unicodedata.unidata_version` names it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

Word = tuple[str, Sequence[int]]
"""A word, and for each of its characters the place in the text of the one that it was made of."""

_DELETED, _BLANK, _CHINESE, _PUNCTUATION, _MARK, _OTHER = range(6)
# The blocks that Google's script calls Chinese: unified ideographs, extensions A to E, and the
# compatibility ideographs. Kana and Hangul are written in words.
_CHINESE_BLOCKS = (
    range(0x4E00, 0xA000),
    range(0x3400, 0x4DC0),
    range(0x20000, 0x2A6E0),
    range(0x2A700, 0x2B740),
    range(0x2B740, 0x2B820),
    range(0x2B820, 0x2CEB0),
    range(0xF900, 0xFB00),
    range(0x2F800, 0x2FA20),
)
# Symbols such as $ and ^ are no punctuation in Unicode; to BERT they are, in ASCII.
_ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


class _Kinds(dict[str, int]):
    """A character to what it is; each is looked up in Unicode's tables once."""

    def __missing__(self, character: str) -> int:
        kind = self[character] = _kind(character)
        return kind


def _kind(character: str) -> int:
    category = unicodedata.category(character)
    if character in "\t\n\r":
        return _BLANK
    if category in ("Cc", "Cf") or character == "\ufffd":
        return _DELETED
    if character.isspace():  # U+2028 and U+2029 too, where str.split() splits
        return _BLANK
    if any(ord(character) in block for block in _CHINESE_BLOCKS):
        return _CHINESE
    if category.startswith("P") or character in _ASCII_PUNCTUATION:
        return _PUNCTUATION
    return _MARK if category == "Mn" else _OTHER


_KINDS = _Kinds()


def google_words(text: str, *, lowercase: bool) -> list[Word]:
    """The words and punctuation marks of a text, in order.

    Args:
        text: any text.
        lowercase: lower-case and strip accents, as Google does only together.
    """
    if text.isascii() and text.isalnum():
        return [(text.lower() if lowercase else text, range(len(text)))]
    words: list[Word] = []
    for token, places in _tokens(text):
        folded = _fold(token, places) if lowercase else (token, places)
        words += _split_at_punctuation(*folded)
    return words


def _tokens(text: str) -> list[tuple[str, list[int]]]:
    """What stands between white space once control characters are gone; Chinese stands alone."""
    tokens: list[tuple[str, list[int]]] = []
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        kind = _KINDS[character]
        if kind == _DELETED:
            continue
        if kind in (_BLANK, _CHINESE):
            if characters:
                tokens.append(("".join(characters), places))
                characters, places = [], []
            if kind == _CHINESE:
                tokens.append((character, [place]))
        else:
            characters.append(character)
            places.append(place)
    if characters:
        tokens.append(("".join(characters), places))
    return tokens


def _fold(token: str, places: list[int]) -> tuple[str, list[int]]:
    """Lower-case a token and take off its accents.

    Both must see the token whole: a Σ that ends a word becomes ς, and decomposing sorts marks that
    follow each other. Neither changes how many characters each of its characters gives, so the
    places can be counted one by one (of marks that were sorted, a neighbour's).
    """
    if token.isascii():
        return token.lower(), places
    decomposed = unicodedata.normalize("NFD", token.lower())
    sources = [
        place
        for character, place in zip(token, places, strict=True)
        for _ in unicodedata.normalize("NFD", character.lower())
    ]
    kept = [
        (character, place)
        for character, place in zip(decomposed, sources, strict=True)
        if _KINDS[character] != _MARK
    ]
    return "".join(character for character, _ in kept), [place for _, place in kept]


def _split_at_punctuation(token: str, places: list[int]) -> list[Word]:
    words: list[Word] = []
    start = 0
    for at, character in enumerate(token):
        if _KINDS[character] == _PUNCTUATION:
            if start < at:
                words.append((token[start:at], places[start:at]))
            words.append((character, places[at : at + 1]))
            start = at + 1
    if start < len(token):
        words.append((token[start:], places[start:]))
    return words
