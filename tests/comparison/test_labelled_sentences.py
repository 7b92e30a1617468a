"""Sentences and their senses, from every kind of file and from bad ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bertsmith.comparison.labelled_sentences import (
    DEFAULT_SENTENCES,
    DEFAULT_WORD,
    LabelledSentence,
    read_sentences,
)
from bertsmith.errors import DataError


def test_those_that_come_along_have_the_word_once_in_lower_case() -> None:
    senses = [each.sense for each in DEFAULT_SENTENCES]
    assert {sense: senses.count(sense) for sense in senses} == dict.fromkeys(
        ("direction", "correct", "entitlement", "political side"), 5
    )
    for each in DEFAULT_SENTENCES:
        assert re.findall(rf"\b{DEFAULT_WORD}\b", each.text) == [DEFAULT_WORD], each.text


def test_one_sentence_of_each_sense_begins_like_the_others() -> None:
    alike = [each.sense for each in DEFAULT_SENTENCES if each.text.startswith("The right ")]
    assert len(alike) == len(set(alike)) == 4


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", "sentence\tlabel\nTurn right.\tway\nAll right.\tgood\n"),
        ("a.csv", 'text,label\n"Turn right.",way\nAll right.,good\n'),
        (
            "a.jsonl",
            '{"text": "Turn right.", "label": "way"}\n{"text": "All right.", "label": "good"}',
        ),
    ],
)
def test_a_table_has_a_sense_for_each(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_sentences(tmp_path / name) == [
        LabelledSentence("Turn right.", "way"),
        LabelledSentence("All right.", "good"),
    ]


def test_plain_text_has_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Turn right.\n\n  \nÀ la maison, right?\n\n")
    found = read_sentences(tmp_path / "a.txt")
    assert [each.text for each in found] == ["Turn right.", "À la maison, right?"]
    assert {each.sense for each in found} == {None}


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("a.txt", b"\n \n", "holds blank lines alone"),
        ("a.tsv", b"sentence\tlabel\n \tway\n", r"a\.tsv:2: the sentence is empty"),
        ("a.txt", b"", "holds no records"),
        ("a.txt", "Turn right, André.\n".encode("latin-1"), r"a\.txt:1.*UTF-8"),
        ("a.txt", "Turn right.".encode("utf-16"), "is in UTF-16; save the file as UTF-8"),
        ("a.txt", b"way\tTurn right.\n", r"a\.txt:1: there are two texts and one sentence"),
        ("a.docx", b"Turn right.\n", r"a\.docx is no file of sentences.*give a \.txt"),
        ("a.pdf.gz", b"Turn right.\n", r"a \.csv, \.tsv or \.jsonl with"),
        ("a.jsonl", b'{"label": "way"}\n', r"a\.jsonl:1: none of the columns"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, name: str, contents: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(DataError, match=message):
        read_sentences(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.tsv does not exist"):
        read_sentences(tmp_path / "nothing.tsv")
