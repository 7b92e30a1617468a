"""What Google's rules do; `tests/parity` holds them to Google's own script."""

from __future__ import annotations

import json
import pickle
import random
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from bertsmith.errors import CheckpointError, ConfigError, DataError
from bertsmith.text import google_pieces
from bertsmith.text.google_words import google_words
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary

CHARACTERS = "abcdefghijklmnopqrstuvwxyzσς,.!?'[]ᄒ中"
PIECES = [*SPECIAL_TOKENS, *CHARACTERS, *(f"##{c}" for c in f"{CHARACTERS}ᅡᆫ"), "un", "##aff", "the"]
TRICKY = [
    *"\x0b\x1c\x85\0\ufffd\xad\u200b\ufeff \t\n\xa0\u2028\u2029\u3000",
    *"aZ_,.'[]\u0301\u0345\u302e\U0001d165İßΣςé\u037e中か한\U0002b820\ue000\u0378",
    *["[MASK]", "unaff", "ΑΣ"],
]
TEXT = "Ünáff [MASK]\u200b, ΑΣ.Α ΑΣ. the中\ue000"


@pytest.fixture(scope="module")
def google() -> Tokenizer:
    return Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=True, normalization="google")


@pytest.fixture
def folder(google: Tokenizer, tmp_path: Path) -> Path:
    google.save(tmp_path / "saved")
    return tmp_path / "saved"


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_words_come_with_their_places():
    words = google_words("Ü\u200bn \u0301áff, İx", lowercase=True)
    assert [(word, list(places)) for word, places in words] == [
        ("un", [0, 2]),
        ("aff", [5, 6, 7]),
        (",", [8]),
        ("ix", [10, 11]),
    ]


def test_what_hugging_face_reads_in_another_way(google):
    other = Tokenizer.from_vocabulary(google.vocabulary, lowercase=True)
    for text, by_google, by_other in [
        ("a\ue000b", ["[UNK]"], ["a", "##b"]),  # private use is kept
        ("ΣΣ", ["σ", "##ς"], ["σ", "##σ"]),  # the Σ that ends a word
        ("a" * 150, ["a", *["##a"] * 149], ["[UNK]"]),
        ("a" * 201, ["[UNK]"], ["[UNK]"]),
    ]:
        assert google.wordpieces(text) == by_google
        assert other.wordpieces(text) == by_other


def test_a_sigma_looks_across_punctuation(google):
    assert google.words("ΑΣ.Α ΑΣ. ΑΣ'") == ["ασ", ".", "α", "ας", ".", "ας", "'"]
    for text in ("xΣ.x", "xΣ.", "xΣ'Σ", "Σ.x", "xΣ中x"):
        assert google.ids(text) == google.encode(text).ids[1:-1]


def test_offsets_point_into_the_original_text(google):
    text = "Ünáff\u200b, \u0301the\u2028한中"
    encoding = google.encode(text)
    spans = [text[start:end] for start, end in encoding.offsets[1:-1]]
    assert encoding.tokens[1:-1] == ["un", "##aff", ",", "the", "ᄒ", "##ᅡ", "##ᆫ", "中"]
    assert spans == ["Ün", "áff", ",", "the", "한", "한", "한", "中"]
    assert encoding.word_ids[1:-1] == [0, 0, 1, 2, 3, 3, 3, 4]


def test_special_tokens_are_recognised_unless_told_otherwise(google):
    text = "a[MASK]the [mask]"
    encoding = google.encode(text)
    assert encoding.tokens[1:4] == ["a", "[MASK]", "the"]
    assert encoding.offsets[1:4] == [(0, 1), (1, 7), (7, 10)]
    assert encoding.word_ids[1:4] == [0, 1, 2]
    split = google.encode(text, split_special_tokens=True)
    assert google.mask_id not in split.ids
    assert split.ids[1:-1] == google.ids(text)


def test_words_given_as_a_list_keep_their_numbers(google):
    encoding = google.encode(["unaff", "\x96", "it's", "[MASK]"])
    assert encoding.tokens[1:-1] == ["un", "##aff", "i", "##t", "'", "s", "[MASK]"]
    assert encoding.word_ids[1:-1] == [0, 0, 2, 2, 2, 2, 3]
    assert encoding.offsets[1:3] == [(0, 2), (2, 5)]
    assert google.encode("unaff the", ["the"]).segment_ids == [0] * 5 + [1, 1]


def test_decoding_works_as_always(google):
    assert google.decode(google.encode("The unaff, [MASK]").ids) == "the unaff,"


@settings(max_examples=300)
@given(text=st.lists(st.sampled_from(TRICKY), max_size=12).map("".join))
def test_the_quick_way_gives_the_same_ids(google, text):
    encoding = google.encode(text, split_special_tokens=True)
    assert google.ids(text) == encoding.ids[1:-1]
    words = google.words(text)
    assert len({number for number in encoding.word_ids if number is not None}) == len(words)
    assert all(0 <= start < end <= len(text) for start, end in encoding.offsets[1:-1])
    assert [start for start, _ in encoding.offsets[1:-1]] == sorted(
        start for start, _ in encoding.offsets[1:-1]
    )


def test_memory_stays_within_its_bound(google, monkeypatch):
    monkeypatch.setattr(google_pieces, "_MAX_CHUNKS", 50)
    rng = random.Random(0)
    copy = pickle.loads(pickle.dumps(google))
    for _ in range(200):
        text = "".join(rng.choice("abcdef ,") for _ in range(40)) + " " + "x" * 100
        assert copy.encode(text) == google.encode(text)
        assert len(copy._cutter._chunks) <= 50


def test_a_folder_opens_by_the_rules_it_was_saved_with(google, folder):
    config = json.loads((folder / "tokenizer_config.json").read_text())
    version = unicodedata.unidata_version
    assert config["bertsmith"] == {"normalization": "google", "unicode_version": version}
    for path in (folder, folder / "vocab.txt", folder / "tokenizer.json"):
        opened = Tokenizer.load(path)
        assert opened.normalization == "google"
        assert opened.encode(TEXT) == google.encode(TEXT)
    copy = pickle.loads(pickle.dumps(google.with_max_length(64)))
    assert (copy.normalization, copy.max_length) == ("google", 64)
    assert copy.ids(TEXT) == google.ids(TEXT)
    assert "Google's rules" in repr(copy)


def test_the_rules_can_be_chosen_when_opening(google, folder, tmp_path):
    other = Tokenizer.load(folder, normalization="huggingface")
    assert other.ids("a\ue000b") != google.ids("a\ue000b")
    assert other.unicode_version is None
    other.save(tmp_path / "other")
    assert "bertsmith" not in json.loads((tmp_path / "other" / "tokenizer_config.json").read_text())
    again = Tokenizer.load(tmp_path / "other", normalization="google")
    assert again.encode(TEXT) == google.encode(TEXT)


def test_the_version_of_unicode_stays_what_it_was(folder, tmp_path):
    edit(
        folder / "tokenizer_config.json",
        bertsmith={"normalization": "google", "unicode_version": "9.0.0"},
    )
    opened = Tokenizer.load(folder)
    assert opened.unicode_version == "9.0.0"
    opened.save(tmp_path / "again")
    assert Tokenizer.load(tmp_path / "again").unicode_version == "9.0.0"


def test_hugging_face_opens_the_folder_by_its_own_rules(google, folder):
    theirs = AutoTokenizer.from_pretrained(folder)
    assert theirs("the [MASK]")["input_ids"] == google.encode("the [MASK]").ids
    other = Tokenizer.load(folder, normalization="huggingface")
    assert theirs(TEXT)["input_ids"] == other.encode(TEXT).ids


def test_unknown_rules_are_refused(google, folder):
    with pytest.raises(ConfigError, match=r"normalization \('slow'\) must be one of huggingface"):
        Tokenizer.load(folder, normalization="slow")
    for ours, message in [
        ({"normalization": "slow"}, r"bertsmith.normalization \('slow'\) must be one of"),
        ("google", r"bertsmith \('google'\) must be an object"),
        ({"normalization": ["google"]}, "must be one of"),
        ({"normalization": "google", "unicode_version": 14}, r"unicode_version \(14\) must be"),
    ]:
        edit(folder / "tokenizer_config.json", bertsmith=ours)
        with pytest.raises(CheckpointError, match=message):
            Tokenizer.load(folder)


@pytest.mark.parametrize(
    "setting", [{"strip_accents": False}, {"tokenize_chinese_chars": False}], ids=str
)
def test_settings_that_google_does_not_have_are_refused(folder, setting):
    edit(folder / "tokenizer_config.json", **setting)
    with pytest.raises(CheckpointError, match=f"{next(iter(setting))} that Google's rules do not"):
        Tokenizer.load(folder)
    assert Tokenizer.load(folder, normalization="huggingface").lowercase


@pytest.mark.parametrize("wrong", [None, 3, b"the", "\ud800", ["\ud800"], ["the", 3]])
def test_what_is_no_text_is_refused(google, wrong):
    calls = [google.encode, lambda text: google.encode_batch(["the", text])]
    if not isinstance(wrong, list):
        calls += [google.ids, lambda text: google.flat_ids(["the", text])]
    for call in calls:
        with pytest.raises(DataError, match="a text must be a string"):
            call(wrong)
