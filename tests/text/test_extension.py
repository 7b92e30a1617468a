from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from bertsmith.errors import ConfigError, DataError
from bertsmith.text.extension import WordChoice, choose_words, extend_vocabulary
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary

LETTERS = "abcdehiorstuvw"
PIECES = [
    *SPECIAL_TOKENS[:1],
    "[unused0]",
    *SPECIAL_TOKENS[1:],
    *LETTERS,
    *(f"##{c}" for c in LETTERS),
    *["[unused1]", "co", "##vid", "virus", "1", "##9"],
]


@pytest.fixture(params=["huggingface", "google"])
def small(request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer.from_vocabulary(
        Vocabulary(PIECES), lowercase=True, normalization=request.param
    )


def test_words_are_chosen_by_the_pieces_that_they_save(small):
    texts = ["COVID virus, covid 19 19 19 19 19", "Covid. sister brothérs; ж ж ж rot"] * 2
    chosen = choose_words(texts, small, count=9, min_frequency=2)
    assert chosen == [
        WordChoice("brothers", 2, ["b", "##r", "##o", "##t", "##h", "##e", "##r", "##s"]),
        WordChoice("sister", 2, ["s", "##i", "##s", "##t", "##e", "##r"]),
        WordChoice("covid", 6, ["co", "##vid"]),
        WordChoice("ж", 6, ["[UNK]"]),
        WordChoice("rot", 2, ["r", "##o", "##t"]),
    ]
    assert choose_words(texts, small, count=2, min_frequency=2) == chosen[:2]
    often = choose_words(texts, small, count=9, min_frequency=6)
    assert [choice.word for choice in often] == ["covid", "ж"]


def test_the_order_of_the_text_does_not_matter(small):
    texts = ["sis cots wed", "vows wed", "vows cots sis"]
    forwards = choose_words(texts, small, count=4, min_frequency=2)
    assert forwards == choose_words(texts[::-1], small, count=4, min_frequency=2)
    assert [choice.word for choice in forwards] == ["vows", "cots", "sis", "wed"]


def test_words_that_are_too_long_to_be_read_are_not_chosen(small):
    longest = small.max_word_characters
    texts = [f"{'a' * longest} {'b' * (longest + 1)}"]
    chosen = choose_words(texts, small, count=9, min_frequency=1)
    assert [choice.word for choice in chosen] == ["a" * longest]


def test_choosing_refuses_what_cannot_be(small):
    with pytest.raises(ConfigError, match=r"count \(0\) must be at least 1"):
        choose_words(["a"], small, count=0)
    with pytest.raises(ConfigError, match=r"min_frequency \(0\) must be at least 1"):
        choose_words(["a"], small, count=1, min_frequency=0)
    with pytest.raises(DataError, match="2 texts hold no word"):
        choose_words(["", " "], small, count=1)


def test_unused_entries_are_filled_before_new_ones_are_added(small):
    extension = extend_vocabulary(small, ["covid", "sister", "rot"])
    unused = [PIECES.index("[unused0]"), PIECES.index("[unused1]")]
    assert [new.id for new in extension.new] == [*unused, len(PIECES)]
    assert [new.piece for new in extension.new] == ["covid", "sister", "rot"]
    assert extension.tokenizer.vocab_size == len(PIECES) + 1
    for index, piece in enumerate(PIECES):
        if index not in unused:
            assert extension.tokenizer.vocabulary.pieces[index] == piece
    assert small.vocabulary.pieces == PIECES


def test_new_pieces_name_what_they_were_cut_into(small):
    new, unknown = extend_vocabulary(small, ["covid", "ж"]).new
    assert new.old_ids == [small.vocabulary.id_of("co"), small.vocabulary.id_of("##vid")]
    assert unknown.old_ids == [small.unk_id]


def test_a_new_word_is_one_piece_and_changes_longer_ones_that_begin_with_it(small):
    extended = extend_vocabulary(small, ["covid", "cov"]).tokenizer
    assert small.wordpieces("Covid") == ["co", "##vid"]
    assert extended.wordpieces("Covid") == ["covid"]
    assert small.wordpieces("covids acovid") == [
        "co",
        "##vid",
        "##s",
        "a",
        *["##c", "##o", "##vid"],
    ]
    assert extended.wordpieces("covids acovid") == ["covid", "##s", "a", *["##c", "##o", "##vid"]]
    assert extended.ids("Covid") == [extended.vocabulary.id_of("covid")]
    assert extended.encode("[MASK]").ids[1] == small.mask_id


def test_the_longest_piece_is_not_always_the_best(small):
    extended = extend_vocabulary(small, ["cov"]).tokenizer
    assert small.wordpieces("covid") == ["co", "##vid"]
    assert extended.wordpieces("covid") == ["cov", "##i", "##d"]


def test_an_extended_tokenizer_is_saved_and_opened(small, tmp_path):
    longer = small.with_max_length(64)
    extended = extend_vocabulary(longer, ["covid", "sister", "rot"]).tokenizer
    extended.save(tmp_path)
    opened = Tokenizer.load(tmp_path)
    text = "The covid sister's rot [MASK]"
    assert opened.encode(text) == extended.encode(text)
    assert (opened.max_length, opened.normalization) == (64, small.normalization)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs(text)["input_ids"] == extended.encode(text).ids


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "there are no words to add"),
        ([""], "'' is no word"),
        ([3], "3 is no word"),
        (["virus"], "'virus' is already wordpiece"),
        (["[MASK]"], r"'\[MASK\]' is already wordpiece"),
        (["covid", "rot", "covid"], "'covid' is among the words twice"),
        (["a covid"], "'a covid' holds a blank"),
        (["Covid"], "'Covid' is read as 'covid' by this tokenizer; give that form"),
        (["cövid"], "'cövid' is read as 'covid' by this tokenizer; give that form"),
        (["covid-19"], "'covid-19' is read as 'covid - 19' by this tokenizer, never as one word"),
        (["##vids"], "'##vids' is read as '# # vids'"),
        (["\u200b"], "is read as 'nothing'"),
        (["a" * 201], "has 201 characters and words of more than"),
    ],
)
def test_words_that_no_text_would_give_are_refused(small, words, message):
    with pytest.raises(DataError, match=message):
        extend_vocabulary(small, words)


def test_a_cased_vocabulary_takes_upper_case():
    cased = Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=False)
    extended = extend_vocabulary(cased, ["Covid", "cövid"]).tokenizer
    assert extended.wordpieces("Covid cövid") == ["Covid", "cövid"]


def test_real_words_of_a_field_shorten_its_text(shared_data, uncased):
    lines = (shared_data / "tasks" / "sst2" / "dev.tsv").read_text().splitlines()
    chosen = choose_words(lines, uncased, count=100, min_frequency=2)
    assert len(chosen) == 100
    saved = [choice.frequency * (len(choice.pieces) - 1) for choice in chosen]
    assert saved == sorted(saved, reverse=True)
    extended = extend_vocabulary(uncased, [choice.word for choice in chosen]).tokenizer
    assert extended.vocab_size == uncased.vocab_size
    before, after = (t.flat_ids(lines)[0] for t in (uncased, extended))
    assert len(before) - len(after) >= sum(saved)
