from __future__ import annotations

import dataclasses
import lzma
import multiprocessing
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Engine
from transformers import BertTokenizerFast

from bertsmith.errors import ConfigError, DataError
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary

LONG = "the jet makers feud over seat " * 20


def test_a_text_is_wrapped_in_cls_and_sep(tokenizer):
    encoding = tokenizer.encode("Jet makers feud")
    assert encoding.tokens == ["[CLS]", "jet", "makers", "fe", "##ud", "[SEP]"]
    assert encoding.segment_ids == [0] * 6
    assert encoding.offsets == [(0, 0), (0, 3), (4, 10), (11, 13), (13, 15), (0, 0)]
    assert encoding.word_ids == [None, 0, 1, 2, 2, None]


def test_offsets_count_the_characters_of_the_original(tokenizer):
    text = "Ünáffable\u200b, 中 the"
    encoding = tokenizer.encode(text)
    spans = [text[start:end] for start, end in encoding.offsets[1:-1]]
    assert spans == ["Ün", "áff", "able", ",", "中", "the"]


def test_a_pair_has_two_segments_and_its_words_count_anew(tokenizer):
    encoding = tokenizer.encode("the jet", "feud over")
    assert encoding.segment_ids == [0, 0, 0, 0, 1, 1, 1, 1]
    assert encoding.word_ids == [None, 0, 1, None, 0, 0, 1, None]
    assert encoding.offsets[4:7] == [(0, 2), (2, 4), (5, 9)]


def test_words_given_as_a_list_keep_their_numbers(tokenizer):
    encoding = tokenizer.encode(["feud", "\x96", "it's", "over"])
    assert encoding.tokens[1:-1] == ["fe", "##ud", "i", "##t", "'", "s", "over"]
    assert encoding.word_ids[1:-1] == [0, 0, 2, 2, 2, 2, 3]  # control characters leave no piece
    assert encoding.offsets[1:3] == [(0, 2), (2, 4)]


def test_texts_and_lists_of_words_mix(tokenizer):
    batch = tokenizer.encode_batch(["the jet", ["the", "jet"]], [["over"], "over"])
    assert [e.ids for e in batch] == [tokenizer.encode("the jet", "over").ids] * 2


def test_special_tokens_in_text_are_recognised_unless_told_otherwise(tokenizer):
    assert tokenizer.encode("the [MASK] jet").tokens[2] == "[MASK]"
    split = tokenizer.encode("the [MASK] jet", split_special_tokens=True).tokens
    assert split == ["[CLS]", "the", "[", "[UNK]", "]", "jet", "[SEP]"]
    assert tokenizer.mask_id not in tokenizer.ids("the [MASK] jet")


def test_a_word_that_cannot_be_spelt_is_one_unknown_piece(tokenizer):
    assert tokenizer.wordpieces("the ja\u03c9et") == ["the", "[UNK]"]
    assert tokenizer.wordpieces("a" * 101) == ["[UNK]"]
    assert len(tokenizer.wordpieces("a" * 100)) == 100


def test_empty_texts_have_no_pieces(tokenizer):
    assert tokenizer.encode("").tokens == ["[CLS]", "[SEP]"]
    assert tokenizer.encode([]).tokens == ["[CLS]", "[SEP]"]
    assert tokenizer.ids(" \n\x0b") == []
    assert tokenizer.encode_batch([]) == []
    ids, lengths = tokenizer.flat_ids([])
    assert (len(ids), len(lengths)) == (0, 0)


@pytest.mark.parametrize("truncation", ["longest_first", "only_first", "head_tail"])
def test_a_long_text_is_cut_to_length(tokenizer, truncation):
    assert len(tokenizer.encode(LONG, max_length=32, truncation=truncation)) == 32
    pair = tokenizer.encode(LONG, "over", max_length=32, truncation=truncation)
    assert pair.tokens[-3:] == ["[SEP]", "over", "[SEP]"]
    assert len(pair) == 32


@pytest.mark.parametrize("cores", [1, 64])
@pytest.mark.parametrize("normalization", ["huggingface", "google"])
def test_sequences_are_those_of_encode_with_few_cores_and_many(
    tokenizer, monkeypatch, cores, normalization
):
    monkeypatch.setattr("bertsmith.text.tokenizer.available_cores", lambda: cores)
    reader = tokenizer.with_normalization(normalization)
    texts = ["", "the jet", LONG, "the [MASK] jet", "Ünáffable\u200b, 中 the", " \n\x0b", "a" * 101]
    texts = texts * 20  # enough for threads to be worth it
    for max_length in (3, 4, 32, 10_000):
        expected = [reader.encode(text, max_length=max_length).ids for text in texts]
        found = reader.sequences(texts, max_length=max_length)
        assert [each.tolist() for each in found] == expected
    assert reader.sequences([], max_length=8) == []
    for wrong in ("\ud800", 3, None, b"the", ["the", "jet"], ("the", "jet")):
        with pytest.raises(DataError, match="a text must be a string"):
            reader.sequences([*texts, wrong], max_length=8)
        with pytest.raises(DataError, match="a text must be a string"):
            reader.flat_ids([*texts, wrong], split_special_tokens=False)
    with pytest.raises(ConfigError, match=r"max_length \(2\) must be at least 3"):
        reader.sequences(["the"], max_length=2)


@pytest.mark.parametrize("cores", [1, 64])
@pytest.mark.parametrize("normalization", ["huggingface", "google"])
def test_sequences_of_long_texts_are_those_of_encode(tokenizer, monkeypatch, cores, normalization):
    monkeypatch.setattr("bertsmith.text.tokenizer.available_cores", lambda: cores)
    reader = tokenizer.with_normalization(normalization)
    long_words = f"{'a' * 90} " * 30  # each is one piece: far more characters than most have
    texts = [LONG * 9, long_words, "the " * 50 + "[MASK] " * 50, "中" * 300, " " * 400 + "the jet"]
    texts += [
        "\u00e9t\u00e9 \u0301 jet\x0bs " * 40,
        "\u03a3\u03a3. " * 90,
        "the" + "\u0301" * 200 + " jet",
    ]
    for max_length in (3, 9, 32, 70):
        expected = [reader.encode(text, max_length=max_length).ids for text in texts]
        found = reader.sequences(texts * 9, max_length=max_length)
        assert [each.tolist() for each in found] == expected * 9
    with pytest.raises(DataError, match="a text must be a string"):
        reader.sequences([*texts * 9, "the " * 100 + "\ud800"], max_length=8)


@pytest.mark.parametrize("cores", [1, 64])
def test_sequences_hold_added_words_with_blanks(tokenizer, monkeypatch, cores):
    monkeypatch.setattr("bertsmith.text.tokenizer.available_cores", lambda: cores)
    engine = Engine.from_str(tokenizer._files.engine.to_str())
    engine.add_tokens(["the jet"])
    reader = Tokenizer(dataclasses.replace(tokenizer._files, engine=engine))
    texts = ["over the jet " * 10] * 64
    for max_length in range(3, 24):
        expected = reader.encode(texts[0], max_length=max_length).ids
        found = reader.sequences(texts, max_length=max_length)
        assert all(each.tolist() == expected for each in found)


def test_decoding_joins_pieces(tokenizer):
    encoding = tokenizer.encode("Jet makers feud, unaffable!")
    assert tokenizer.decode(encoding.ids) == "jet makers feud, unaffable!"
    shown = tokenizer.decode(encoding.ids, skip_special_tokens=False)
    assert shown.startswith("[CLS] jet")


def test_ids_outside_the_vocabulary_are_refused(tokenizer):
    for index in (-1, tokenizer.vocab_size):
        with pytest.raises(DataError, match=f"id {index} is outside the vocabulary"):
            tokenizer.decode([5, index])


@pytest.mark.parametrize("wrong", [None, 3, b"the", "\ud800", ["\ud800"], ["the", 3]])
def test_what_is_no_text_is_refused(tokenizer, wrong):
    calls = [tokenizer.encode, lambda text: tokenizer.encode_batch(["the", text])]
    if not isinstance(wrong, list):
        calls += [tokenizer.ids, lambda text: tokenizer.flat_ids(["the", text])]
    for call in calls:
        with pytest.raises(DataError, match="a text must be a string"):
            call(wrong)


def test_batches_of_different_lengths_are_refused(tokenizer):
    with pytest.raises(DataError, match="2 texts came with 1 pairs"):
        tokenizer.encode_batch(["a", "b"], ["c"])


def test_blank_entries_move_no_id():
    spaced = Vocabulary([*SPECIAL_TOKENS, "", "", "jet", ""])
    tokenizer = Tokenizer.from_vocabulary(spaced, lowercase=True)
    assert tokenizer.ids("Jet") == [7]
    assert tokenizer.vocab_size == 9


def test_a_copy_by_pickle_is_the_same(tokenizer):
    tokenizer.ids("warm the memory")
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy.vocabulary == tokenizer.vocabulary
    assert copy.encode("Feud [MASK]").ids == tokenizer.encode("Feud [MASK]").ids
    assert copy.ids("Feud [MASK]") == tokenizer.ids("Feud [MASK]")


def test_it_works_in_a_new_process(tokenizer):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(tokenizer.ids, [LONG]) == [tokenizer.ids(LONG)]


@given(text=st.text(max_size=60))
def test_any_text_decodes_and_has_offsets_in_order(tokenizer, text):
    encoding = tokenizer.encode(text)
    starts = [start for start, _ in encoding.offsets[1:-1]]
    assert starts == sorted(starts)
    assert all(0 <= s <= e <= len(text) for s, e in encoding.offsets)
    tokenizer.decode(encoding.ids)


def oracle(vocab: Path) -> BertTokenizerFast:
    lowercase = "-cased" not in vocab.name
    return BertTokenizerFast(str(vocab), do_lower_case=lowercase)


def dev_lines(shared_data: Path, most: int | None) -> list[str]:
    files = sorted((shared_data / "corpus").glob("*-dev*"))
    assert files
    lines: list[str] = []
    for file in files:
        text = lzma.decompress(file.read_bytes()).decode()
        lines += [line for line in text.split("\n") if line][:most]
    return lines


def assert_equal_ids(vocab: Path, lines: list[str]) -> None:
    theirs = oracle(vocab)(lines, add_special_tokens=True)["input_ids"]
    ours = Tokenizer.load(vocab)
    assert [encoding.ids for encoding in ours.encode_batch(lines)] == theirs
    assert ours.ids_batch(lines) == [ids[1:-1] for ids in theirs]


def test_ids_equal_hugging_faces_on_some_real_text(published, shared_data):
    assert_equal_ids(published, dev_lines(shared_data, 200))


@pytest.mark.slow
def test_ids_equal_hugging_faces_on_all_held_out_text(published, shared_data):
    assert_equal_ids(published, dev_lines(shared_data, None))


def test_segments_offsets_and_words_equal_hugging_faces(published, shared_data):
    lines = dev_lines(shared_data, 40)
    theirs = oracle(published)(lines[::2], lines[1::2], return_offsets_mapping=True)
    ours = Tokenizer.load(published).encode_batch(lines[::2], lines[1::2])
    for index, encoding in enumerate(ours):
        assert encoding.ids == theirs["input_ids"][index]
        assert encoding.segment_ids == theirs["token_type_ids"][index]
        assert encoding.offsets == theirs["offset_mapping"][index]
        assert encoding.word_ids == theirs.word_ids(index)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["uncased", "cased"])
def test_ids_equal_hugging_faces_over_all_that_unicode_assigns(shared_data, case):
    vocab = shared_data / "vocab" / f"bert-base-{case}-vocab.txt"
    ours, theirs = Tokenizer.load(vocab), oracle(vocab).backend_tokenizer
    # Beyond the ideographs and apart from the tags lie unassigned and private code points alone,
    # which are all treated alike: every 61st of them.
    planes = [range(0xD800), range(0xE000, 0x34000), range(0xE0000, 0xE1000)]
    others = [range(0x34000, 0xE0000, 61), range(0xE1000, 0x110000, 61)]
    points = [point for each in planes + others for point in each]
    for start in range(0, len(points), 2**16):
        texts = [f"a{chr(point)}b" for point in points[start : start + 2**16]]
        expected = [encoding.ids for encoding in theirs.encode_batch_fast(texts)]
        assert [encoding.ids for encoding in ours.encode_batch(texts)] == expected
        assert ours.ids_batch(texts) == [ids[1:-1] for ids in expected]
