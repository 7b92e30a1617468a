"""Words of running text are those that corpora of tagged words have."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.text.plain_words import plain_words


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in plain_words(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EU rejects German call.", "EU rejects German call ."),
        ("(Paris, AL-AIN): 'so'...", "( Paris , AL-AIN ) : ' so ' ..."),
        ("U.S. President George W. Bush's visit", "U.S. President George W. Bush 's visit"),
        ("I'm sure they don't, it’s", "I 'm sure they do n't , it ’s"),
        ("Bush 's 'n't", "Bush 's ' n't"),
        ("at 10:30, $30,000 for AT&T", "at 10:30 , $ 30,000 for AT&T"),
        ("@user #topic bbc.co.uk a@b.org", "@user #topic bbc.co.uk a@b.org"),
        ("see http://x.y/z?a=b.", "see http://x.y/z?a=b ."),
        ("它在Paris。", "它 在 Paris 。"),
        ("हिन्दी में", "हिन्दी में"),
        ("“so”—yes ❤️!!", "“ so ” — yes ❤️ !!"),
        ("snake_case vitamin a. Then", "snake_case vitamin a . Then"),
        (" \t\n", ""),
    ],
)
def test_words_and_punctuation_stand_alone(text: str, expected: str) -> None:
    assert words(text) == expected.split()


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("aZ9.,:'’-/@#_ \n😀東\u0301"))))
def test_all_that_is_not_blank_is_in_one_word(text: str) -> None:
    covered = [place for start, end in plain_words(text) for place in range(start, end)]
    assert covered == sorted(set(covered))
    assert not any(text[place].isspace() for place in covered)
    assert all(text[place].isspace() for place in set(range(len(text))) - set(covered))


def test_long_words_take_no_longer_than_their_length() -> None:
    for text in ("a" * 10**5, "a." * 10**5, "'" * 10**5, "9," * 10**5, "a'" * 10**5):
        assert plain_words(text)


def test_words_of_a_treebank_are_found(shared_data: Path) -> None:
    path = shared_data / "tasks" / "ud-ewt-pos" / "dev.conllu.xz"
    right = found = true = 0
    text, forms = "", []
    for line in lzma.decompress(path.read_bytes()).decode().splitlines(keepends=True):
        if line.startswith("# text = "):
            text, forms = line[9:].rstrip("\n"), []
        elif line[0].isdigit() and line.split("\t")[0].isdigit():
            forms.append(line.split("\t")[1])
        elif line == "\n":
            places, at = set(), 0
            for form in forms:
                at = text.index(form, at) + len(form)
                places.add((at - len(form), at))
            mine = set(plain_words(text))
            right, found, true = right + len(mine & places), found + len(mine), true + len(places)
    assert 2 * right / (found + true) > 0.97
