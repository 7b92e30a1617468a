"""Tags of words, and the entities that they spell: IOB1, IOB2, BIOES and BILOU.

One way of reading serves them all, the official `conlleval`'s: a word goes on with the entity of
the word before it where that one is B or I, this one I or E, and both are of the same type; any
other B, I, E or S begins an entity. Sequences that break their scheme's rules are read in the same
way, I after O as a beginning. So no file has to say which of the schemes it is in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

Scheme = Literal["iob2", "bioes", "plain"]
"""What a model is taught. iob2: B begins each entity, I goes on with it, O is outside. bioes: the
last word has E, a single one S. plain: tags that spell no entities, such as parts of speech."""

OUTSIDE = "O"
_PREFIXED = re.compile(r"[BIESLUM](-.+)?", re.DOTALL)
# BILOU's last and unit, and the middle of BMES, in the letters of BIOES.
_LETTERS = {"L": "E", "U": "S", "M": "I"}
# What an entity may go on with, and after what it may go on.
_ON, _OPEN = frozenset("IE"), frozenset("BI")


class Entity(NamedTuple):
    """A run of words of one type."""

    type: str
    """Empty where the tags are B, I and O alone."""
    start: int
    end: int
    """One past its last word."""


def scheme_of(tags: Iterable[str]) -> Scheme:
    """The scheme that the tags of a file, or the labels of a model, are those of.

    Tags spell entities when one begins with "B-" or "I-", or when one is "O" and the others begin
    with a scheme's letter; they are BIOES, or its like, where there is an end or a single one.
    """
    found = set(tags)
    others = found - {OUTSIDE}
    if not any(tag.startswith(("B-", "I-")) for tag in found) and not (
        others and others < found and all(map(is_scheme_tag, others))
    ):
        return "plain"
    has_ends = any(split_tag(tag)[0] in "ES" and is_scheme_tag(tag) for tag in found)
    return "bioes" if has_ends else "iob2"


def is_scheme_tag(tag: str) -> bool:
    """Whether a tag can stand in a scheme: "O", or a letter and a type, as in "B-LOC"."""
    return tag == OUTSIDE or _PREFIXED.fullmatch(tag) is not None


def entities_of(tags: Iterable[str]) -> list[Entity]:
    """The entities that tags spell, in order; the tags are those of a scheme."""
    found: list[Entity] = []
    letter_before, type_before = OUTSIDE, ""
    for place, tag in enumerate(tags):
        letter, kind = split_tag(tag)
        if letter in _ON and letter_before in _OPEN and kind == type_before:
            found[-1] = found[-1]._replace(end=place + 1)
        elif letter in _ON | _OPEN | {"S"}:
            found.append(Entity(kind, place, place + 1))
        letter_before, type_before = letter, kind
    return found


def tags_of(entities: Iterable[Entity], num_words: int, scheme: Scheme = "iob2") -> list[str]:
    """The tags of `num_words` words, of which the entities are some; "iob2" or "bioes"."""
    tags = [OUTSIDE] * num_words
    for kind, start, end in entities:
        letters = ["B"] + ["I"] * (end - start - 1)
        if scheme == "bioes":
            letters[-1] = "S" if len(letters) == 1 else "E"
        tags[start:end] = [join_tag(letter, kind) for letter in letters]
    return tags


def converted(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """The same entities in another scheme; plain tags stay as they are."""
    return list(tags) if scheme == "plain" else tags_of(entities_of(tags), len(tags), scheme)


def scheme_labels(tags: Iterable[str], scheme: Scheme) -> set[str]:
    """All tags that a scheme has for the types of these, which may be of another scheme."""
    kinds = {split_tag(tag)[1] for tag in tags if tag != OUTSIDE}
    letters = "BIES" if scheme == "bioes" else "BI"
    return {OUTSIDE} | {join_tag(letter, kind) for kind in kinds for letter in letters}


def continued(tag: str, scheme: Scheme) -> str:
    """The tag of the later pieces of a word that is cut to several."""
    letter, kind = split_tag(tag)
    return tag if scheme == "plain" or letter == OUTSIDE else join_tag("I", kind)


def canonical(tag: str) -> str:
    """The same tag in the letters of BIOES: "U-LOC" is "S-LOC"."""
    return join_tag(*split_tag(tag))


@lru_cache(maxsize=4096)
def split_tag(tag: str) -> tuple[str, str]:
    """Letter, as in BIOES, and type: "U-LOC" is ("S", "LOC")."""
    letter, _, kind = tag.partition("-")
    return _LETTERS.get(letter, letter), kind


def join_tag(letter: str, kind: str) -> str:
    """A tag from its letter and its type."""
    return f"{letter}-{kind}" if kind else letter
