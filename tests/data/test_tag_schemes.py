"""Tags of any scheme spell the entities that the official script reads in them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, Entities

from bertsmith.data.tag_schemes import (
    Entity,
    continued,
    converted,
    entities_of,
    scheme_of,
    tags_of,
)

KINDS = ("LOC", "PER")


@st.composite
def entities(draw: st.DrawFn) -> tuple[list[Entity], int]:
    """Entities of a sentence, some side by side, and its number of words."""
    found, place = [], 0
    for kind, gap, length in draw(
        st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 2), st.integers(1, 3)))
    ):
        found.append(Entity(kind, place + gap, place + gap + length))
        place += gap + length
    return found, place + draw(st.integers(0, 2))


def iob1(tags: Sequence[str]) -> list[str]:
    """I everywhere but where an entity follows one of its type."""
    return [
        tag if tag == "O" or (i and tags[i - 1] in (tag, f"I{tag[1:]}")) else f"I{tag[1:]}"
        for i, tag in enumerate(tags)
    ]


def bilou(tags: Sequence[str]) -> list[str]:
    return [tag.replace("E-", "L-").replace("S-", "U-") for tag in tags]


@given(entities())
def test_every_scheme_is_read_alike(given: tuple[list[Entity], int]) -> None:
    true, length = given
    iob2, bioes = tags_of(true, length, "iob2"), tags_of(true, length, "bioes")
    forms = {IOB2: iob2, IOBES: bioes, IOB1: iob1(iob2), BILOU: bilou(bioes)}
    for scheme, tags in forms.items():
        assert entities_of(tags) == true
        assert converted(tags, "iob2") == iob2
        assert converted(tags, "bioes") == bioes
        theirs = Entities([tags], scheme).entities[0]
        assert [(each.tag, each.start, each.end) for each in theirs] == true


TAGS = st.lists(
    st.sampled_from(["O"] + [f"{letter}-{kind}" for letter in "BIES" for kind in KINDS])
)


@given(TAGS)
def test_broken_sequences_are_read_as_conlleval_does(tags: list[str]) -> None:
    theirs = [(kind, start, end + 1) for kind, start, end in get_entities(tags)]
    assert entities_of(tags) == theirs


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        # I without B begins an entity, and so does another type or a second B.
        ("O I-LOC I-LOC O", [("LOC", 1, 3)]),
        ("B-LOC I-PER", [("LOC", 0, 1), ("PER", 1, 2)]),
        ("B-LOC B-LOC I-LOC", [("LOC", 0, 1), ("LOC", 1, 3)]),
        ("I-LOC O I-LOC", [("LOC", 0, 1), ("LOC", 2, 3)]),
        # Types with hyphens, and tags without types.
        ("B-creative-work I-creative-work", [("creative-work", 0, 2)]),
        ("B I O B", [("", 0, 2), ("", 3, 4)]),
        ("B-X M-X E-X S-X", [("X", 0, 3), ("X", 3, 4)]),
        # Labels of other programs that are none of a scheme.
        ("[CLS] X -LOC B-LOC", [("LOC", 3, 4)]),
    ],
)
def test_entities_by_hand(tags: str, expected: list[tuple[str, int, int]]) -> None:
    assert entities_of(tags.split()) == expected


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ("O B-LOC I-LOC", "iob2"),
        ("O I-LOC", "iob2"),
        ("O B I", "iob2"),
        ("O B-LOC E-LOC", "bioes"),
        ("O U-LOC", "bioes"),
        ("O B-LOC PER", "iob2"),
        ("NOUN VERB", "plain"),
        ("I S", "plain"),
        ("O X", "plain"),
        ("O", "plain"),
        ("", "plain"),
    ],
)
def test_the_scheme_is_seen(tags: str, scheme: str) -> None:
    assert scheme_of(tags.split()) == scheme


def test_later_pieces_go_on() -> None:
    assert [continued(tag, "iob2") for tag in ("B-X", "I-X", "O", "S-X")] == ["I-X"] * 2 + [
        "O",
        "I-X",
    ]
    assert continued("NOUN", "plain") == "NOUN"
