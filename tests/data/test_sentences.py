"""Sentences are found, and put together they are the text again."""

from __future__ import annotations

import lzma
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.data.sentences import sentence_splitter
from bertsmith.errors import ConfigError

TRICKY = st.text(
    st.one_of(
        st.sampled_from("aDJ.?!…。！ \t\"'“”()\x0b\x1c\x85\xa0\u2009\u2028\u3000\u0301"),
        st.characters(exclude_categories=["Cs"]),
    )
)


def squeezed(text: str) -> str:
    return "".join(text.replace("\x85", "").split())


def test_paragraphs_are_split_at_sentences_and_not_at_abbreviations():
    split = sentence_splitter("en")
    lines = ["Mr. Smith met Dr. Jones. They had tea at 5 p.m. in the U.S. embassy.", "It rained"]
    assert [sentence.strip() for sentence in split(lines)] == [
        "Mr. Smith met Dr. Jones.",
        "They had tea at 5 p.m. in the U.S. embassy.",
        "It rained",
    ]


def test_the_rules_are_those_of_the_language():
    text = "Das ist z.B. gut. Er kam am 3. Oktober an."
    assert len(sentence_splitter("de")([text])) == 2


def test_without_a_language_each_line_is_a_sentence():
    assert sentence_splitter(None)(["One. Two.", "Three"]) == ["One. Two.", "Three"]


@settings(deadline=None)
@given(lines=st.lists(TRICKY, max_size=4), language=st.sampled_from(["en", "de", "zh", "xx"]))
def test_nothing_but_white_space_is_lost(lines, language):
    sentences = sentence_splitter(language)(lines)
    assert squeezed("".join(sentences)) == squeezed("".join(lines))


@pytest.mark.parametrize("space", "\x85\xa0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000")
def test_wide_white_space_after_an_initial_does_not_stop_the_splitter(space, capfd):
    sentences = sentence_splitter("en")([f"D{space}.{space}x", "Next. One."])
    assert [sentence.strip() for sentence in sentences[-2:]] == ["Next.", "One."]
    assert capfd.readouterr().err == ""  # where the splitter's panics go


def test_nothing_of_real_text_is_lost(shared_data):
    with lzma.open(shared_data / "corpus/wikipedia-dev.txt.xz", "rt", encoding="utf-8") as file:
        lines = file.read().splitlines()
    sentences = sentence_splitter("en")(lines)
    assert "".join(sentences) == "".join(lines).replace("\xa0", " ").translate(
        dict.fromkeys([*range(0x2000, 0x200B), 0x202F, 0x3000], " ")
    )
    assert 2 < len(sentences) / len([line for line in lines if line]) < 5


def test_a_long_line_is_split_like_a_short_one():
    sentences = [f"This is sentence {i} of a long line. " for i in range(3000)]
    assert sentence_splitter("en")(["".join(sentences)]) == sentences


def test_a_long_line_without_a_sentence_end_is_cut():
    line = "word " * 50_000
    sentences = sentence_splitter("en")([line])
    assert len(sentences) > 1
    assert "".join(sentences) == line


def test_a_long_line_without_a_sentence_end_is_cut_between_words():
    line = " ".join(f"word{i}" for i in range(50_000))
    sentences = sentence_splitter("en")([line])
    assert [word for sentence in sentences for word in sentence.split()] == line.split()
    assert max(map(len, sentences)) <= 2**14
    assert len(sentences) < len(line) / 2**14 + 2
    # One word alone has no place between words, nor has what follows a blank.
    line = "a" * 40_000
    assert "".join(sentence_splitter("en")([f" {line}"])) == f" {line}"
    assert len(sentence_splitter("en")([f" {line}"])) == 3


def test_the_splitter_sees_a_window_of_a_long_line_at_a_time(monkeypatch):
    # Its time grows with the square of the length where a line has nothing but opening quotes.
    seen = []

    def segment(language: str, text: str) -> list[str]:
        seen.append(len(text))
        return [text]

    monkeypatch.setattr("sentencex.segment", segment)
    line = "“" * 200_000
    assert "".join(sentence_splitter("en")([line])) == line
    assert max(seen) <= 2**14
    assert sum(seen) < 2 * len(line)


def test_a_panic_of_the_splitter_costs_one_line_its_split(monkeypatch):
    class PanicException(BaseException):
        pass

    def segment(language: str, text: str) -> list[str]:
        if "bad" in text:
            raise PanicException
        return text.split("|")

    monkeypatch.setattr("sentencex.segment", segment)
    assert sentence_splitter("en")(["a|b", "bad|line", "c"]) == ["a", "b", "bad|line", "c"]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencex", None)
    with pytest.raises(ConfigError, match=r"needs the package sentencex.*--sentence-per-line"):
        sentence_splitter("en")
    assert sentence_splitter(None)(["a"]) == ["a"]
