from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.errors import CheckpointError, DataError
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary

SPECIAL = "\n".join(SPECIAL_TOKENS) + "\n"


def written(tmp_path: Path, data: bytes | str) -> Path:
    path = tmp_path / "vocab.txt"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_a_line_is_an_id(tmp_path):
    vocabulary = Vocabulary.load(written(tmp_path, SPECIAL + "word\n##s\n"))
    assert [vocabulary.id_of(piece) for piece in ("[PAD]", "word", "##s")] == [0, 5, 6]
    assert vocabulary.is_continuation.tolist() == [False] * 6 + [True]
    assert "word" in vocabulary
    assert len(vocabulary) == 7


@pytest.mark.parametrize("ending", ["", "\n"])
def test_the_last_line_need_not_end(tmp_path, ending):
    assert len(Vocabulary.load(written(tmp_path, SPECIAL + "last" + ending))) == 6


def test_blank_lines_take_an_id_that_no_text_gets(tmp_path):
    vocabulary = Vocabulary.load(written(tmp_path, SPECIAL + "\n \nword\n"))
    assert vocabulary.pieces[5:] == ["", "", "word"]
    assert "" not in vocabulary


def test_windows_line_ends_and_a_byte_order_mark_are_no_part_of_an_entry(tmp_path):
    data = "\ufeff" + SPECIAL.replace("\n", "\r\n") + "word\r\n"
    assert Vocabulary.load(written(tmp_path, data)).pieces == [*SPECIAL_TOKENS, "word"]


def test_only_line_feeds_end_a_line(tmp_path):
    pieces = [*SPECIAL_TOKENS, "\u2028", "##\u2028", "\x85", "a"]
    path = written(tmp_path, "\n".join(pieces))
    assert Vocabulary.load(path).pieces == pieces


def test_the_hash_is_that_of_the_file(published):
    vocabulary = Vocabulary.load(published)
    assert vocabulary.sha256 == hashlib.sha256(published.read_bytes()).hexdigest()


def test_case_is_read_from_the_entries(published):
    assert Vocabulary.load(published).is_cased == ("-cased" in published.name)


def test_bracketed_tokens_say_nothing_about_case():
    assert not Vocabulary([*SPECIAL_TOKENS, "[unused0]", "<S>", "[E1]", "ℝ"]).is_cased
    assert Vocabulary([*SPECIAL_TOKENS, "##S"]).is_cased


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (pickle.dumps(["[PAD]"]), "is a Python pickle"),
        (b"PK\x03\x04rest", "is a zip archive"),
        (b"\x1f\x8brest", "is a gzip file"),
        (SPECIAL.encode() + b"a\0b", "is a binary file"),
        (SPECIAL.encode() + b"caf\xe9\n", r"vocab\.txt:6: byte 34 is not UTF-8"),
        (SPECIAL + "a\nb\na\n", r"vocab\.txt:8: 'a' is already on line 6"),
        ("the\na\n", r"lacks \[PAD\], \[UNK\], \[CLS\], \[SEP\], \[MASK\]"),
        (SPECIAL.replace("[MASK]\n", ""), r"lacks \[MASK\]"),
    ],
)
def test_what_is_no_vocabulary_is_refused(tmp_path, data, message):
    with pytest.raises(CheckpointError, match=message):
        Vocabulary.load(written(tmp_path, data))


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(CheckpointError, match=f"{path.name}.* cannot be read"):
            Vocabulary.load(path)


def test_an_unknown_piece_is_named():
    with pytest.raises(DataError, match="'word' is not one of the vocabulary's 5 wordpieces"):
        Vocabulary(SPECIAL_TOKENS).id_of("word")


def test_equal_vocabularies_are_equal():
    one, same, other = (
        Vocabulary(SPECIAL_TOKENS),
        Vocabulary(SPECIAL_TOKENS),
        Vocabulary([*SPECIAL_TOKENS, "a"]),
    )
    assert one == same
    assert hash(one) == hash(same)
    assert one != other


@given(data=st.binary(max_size=200))
def test_any_bytes_give_a_vocabulary_or_an_error_of_ours(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "vocab.txt"
    path.write_bytes(SPECIAL.encode() + data)
    try:
        assert len(Vocabulary.load(path)) >= 5
    except CheckpointError as error:
        assert "vocab.txt" in str(error)
