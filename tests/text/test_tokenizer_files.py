from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from tokenizers import BertWordPieceTokenizer
from tokenizers import Tokenizer as Engine
from tokenizers.models import BPE
from transformers import AutoTokenizer

from bertsmith.errors import CheckpointError, ConfigError, DataError
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary

TEXT = "Hello, Wörld! [MASK] unaffable 中文 it's\u200b fine"


@pytest.fixture
def folder(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    tokenizer.save(tmp_path / "saved")
    return tmp_path / "saved"


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_saved_and_opened_is_the_same(tokenizer, folder):
    for path in (folder, folder / "tokenizer.json", folder / "vocab.txt"):
        opened = Tokenizer.load(path)
        assert opened.vocabulary == tokenizer.vocabulary
        assert opened.vocabulary.sha256 == tokenizer.vocabulary.sha256
        assert opened.lowercase
        assert opened.encode(TEXT) == tokenizer.encode(TEXT)


def test_the_length_is_stored_as_hugging_face_does(tokenizer, folder, tmp_path):
    assert Tokenizer.load(folder).max_length is None
    tokenizer.with_max_length(64).save(tmp_path)
    assert Tokenizer.load(tmp_path).max_length == 64
    assert pickle.loads(pickle.dumps(Tokenizer.load(tmp_path))).max_length == 64
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs.model_max_length == 64
    theirs = AutoTokenizer.from_pretrained(folder)  # where 10^30 stands for no length
    theirs.save_pretrained(tmp_path / "theirs")
    assert Tokenizer.load(tmp_path / "theirs").max_length is None


def test_hugging_face_opens_a_saved_folder_with_equal_ids(published, tmp_path):
    ours = Tokenizer.load(published)
    ours.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs(TEXT, TEXT)["input_ids"] == ours.encode(TEXT, TEXT).ids
    assert theirs(TEXT, TEXT)["token_type_ids"] == ours.encode(TEXT, TEXT).segment_ids
    assert len(theirs) == ours.vocab_size
    assert (theirs.pad_token_id, theirs.mask_token_id) == (ours.pad_id, ours.mask_id)


def test_what_hugging_face_saves_opens_with_equal_ids(published, tmp_path):
    ours = Tokenizer.load(published)
    ours.save(tmp_path / "ours")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    again = Tokenizer.load(tmp_path / "theirs")
    assert again.encode(TEXT) == ours.encode(TEXT)
    assert again.ids(TEXT) == ours.ids(TEXT)
    assert again.vocabulary == ours.vocabulary
    assert again.lowercase == ours.lowercase


def test_a_length_and_padding_stored_by_others_do_not_cut_texts(tokenizer, folder):
    engine = Engine.from_file(str(folder / "tokenizer.json"))
    engine.enable_truncation(4)
    engine.enable_padding(length=8)
    engine.save(str(folder / "tokenizer.json"))
    opened = Tokenizer.load(folder)
    assert opened.encode(TEXT) == tokenizer.encode(TEXT)
    assert opened.ids(TEXT) == tokenizer.ids(TEXT)


def test_a_tokenizer_json_of_the_engines_own_kind_opens(folder, tmp_path):
    theirs = BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase=True)
    theirs.save(str(tmp_path / "tokenizer.json"))
    assert Tokenizer.load(tmp_path).encode(TEXT).ids == theirs.encode(TEXT).ids


def test_added_tokens_keep_their_ids(folder):
    theirs = AutoTokenizer.from_pretrained(folder)
    theirs.add_tokens(["feud over"])
    theirs.add_special_tokens({"additional_special_tokens": ["[E1]"]})
    theirs.save_pretrained(folder)
    ours, text = Tokenizer.load(folder), "the feud over [E1] jet"
    assert ours.encode(text).ids == theirs(text)["input_ids"]
    assert ours.vocab_size == len(theirs)
    assert ours.vocabulary.pieces[-2:] == ["feud over", "[E1]"]
    plain = ours.encode(text, split_special_tokens=True).ids[1:-1]
    assert ours.ids(text) == plain


@pytest.mark.parametrize("is_special", [False, True])
def test_an_uncased_tokenizer_may_have_added_words_in_upper_case(folder, is_special):
    theirs = AutoTokenizer.from_pretrained(folder)
    theirs.add_tokens(["JetMakers"], special_tokens=is_special)
    theirs.save_pretrained(folder)
    ours = Tokenizer.load(folder)
    assert ours.lowercase
    ours.save(folder)
    again = Tokenizer.load(folder)
    for text in ("the JetMakers feud", "the jetmakers feud", "The JETMAKERS feud"):
        expected = theirs(text)["input_ids"]
        assert ours.encode(text).ids == expected
        assert again.encode(text).ids == expected
        assert ours.sequences([text], max_length=16)[0].tolist() == expected


def test_the_configuration_beside_counts_first(folder):
    edit(folder / "tokenizer_config.json", do_lower_case=False)
    for path in (folder, folder / "vocab.txt", folder / "tokenizer.json"):
        assert not Tokenizer.load(path).lowercase
    assert Tokenizer.load(folder).wordpieces("Jet") == ["[UNK]"]


def test_accents_and_cjk_follow_their_settings(folder):
    assert Tokenizer.load(folder).wordpieces("thé") == ["the"]
    edit(folder / "tokenizer_config.json", strip_accents=False, tokenize_chinese_chars=False)
    opened = Tokenizer.load(folder)
    assert opened.wordpieces("thé") == ["[UNK]"]
    assert opened.wordpieces("中文") == ["[UNK]"]
    opened.save(folder)
    assert Tokenizer.load(folder / "tokenizer.json").wordpieces("thé") == ["[UNK]"]


def test_other_rules_keep_settings_and_added_tokens(folder, tmp_path):
    theirs = AutoTokenizer.from_pretrained(folder)
    theirs.add_special_tokens({"additional_special_tokens": ["[E1]"]})
    theirs.save_pretrained(folder)
    edit(folder / "tokenizer_config.json", model_max_length=64)
    google = Tokenizer.load(folder).with_normalization("google")
    assert google.normalization == "google"
    assert google.max_length == 64
    assert google.encode("the [E1]").tokens == ["[CLS]", "the", "[E1]", "[SEP]"]
    google.save(tmp_path / "google")
    assert Tokenizer.load(tmp_path / "google").normalization == "google"
    edit(folder / "tokenizer_config.json", strip_accents=False, tokenize_chinese_chars=False)
    ours = Tokenizer.load(folder).with_normalization("huggingface")
    assert ours.wordpieces("thé") == ["[UNK]"]
    assert ours.wordpieces("中文") == ["[UNK]"]


@pytest.mark.parametrize("key", ["strip_accents", "tokenize_chinese_chars"])
def test_googles_rules_are_refused_where_settings_are_others(folder, key):
    edit(folder / "tokenizer_config.json", **{key: False})
    opened = Tokenizer.load(folder)
    with pytest.raises(CheckpointError, match=f"{key} that Google's rules do not have"):
        opened.with_normalization("google")
    with pytest.raises(CheckpointError, match=f"{key} that Google's rules do not have"):
        Tokenizer.load(folder, normalization="google")
    with pytest.raises(ConfigError, match=r"normalization \('lucene'\) must be one of"):
        opened.with_normalization("lucene")


def test_accents_stay_where_case_stays(tmp_path):
    cased = Tokenizer.from_vocabulary(Vocabulary([*SPECIAL_TOKENS, "é", "É"]), lowercase=False)
    assert cased.wordpieces("é É") == ["é", "É"]


def test_a_cased_vocabulary_is_not_opened_as_uncased(shared_data):
    path = shared_data / "vocab" / "bert-base-cased-vocab.txt"
    with pytest.raises(CheckpointError, match=r"upper-case entries \('A', say\).*lowercase=False"):
        Tokenizer.load(path, lowercase=True)


def test_a_stored_flag_that_contradicts_the_entries_is_refused(tmp_path):
    Tokenizer.from_vocabulary(Vocabulary([*SPECIAL_TOKENS, "Word"]), lowercase=False).save(tmp_path)
    edit(tmp_path / "tokenizer_config.json", do_lower_case=True)
    with pytest.raises(CheckpointError, match="set do_lower_case to false"):
        Tokenizer.load(tmp_path)
    assert not Tokenizer.load(tmp_path, lowercase=False).lowercase


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("tokenizer.json", b"{", "tokenizer.json is not valid JSON"),
        ("tokenizer.json", b"[" * 100_000, "tokenizer.json is not valid JSON"),
        ("tokenizer.json", b"\xff\xfe", "tokenizer.json is not valid JSON"),
        ("tokenizer.json", b"[]", "tokenizer.json must hold a JSON object"),
        ("tokenizer.json", b"{}", "has model None, and BERT's is 'WordPiece'"),
        ("tokenizer.json", b'{"model": 3}', "has model None"),
        ("tokenizer.json", pickle.dumps({}), "tokenizer.json is not valid JSON"),
        ("tokenizer_config.json", b"{", "tokenizer_config.json is not valid JSON"),
        ("tokenizer_config.json", b'{"do_lower_case": "yes"}', r"\('yes'\) must be true or false"),
        ("tokenizer_config.json", b'{"do_lower_case": null}', r"\(None\) must be true or false"),
        ("tokenizer_config.json", b'{"model_max_length": "9"}', r"\('9'\) must be a whole number"),
        ("tokenizer_config.json", b'{"model_max_length": 2}', r"\(2\) must be a whole number of 3"),
    ],
)
def test_damaged_files_are_named(folder, name, contents, message):
    (folder / name).write_bytes(contents)
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "BPE"}, "another kind of model"),
        ({"unk_token": "<unk>"}, r"must name the unknown token \[UNK\]"),
        ({"continuing_subword_prefix": "@@"}, "continue words with ##"),
        ({"vocab": {"[PAD]": 0}}, "lacks"),
        ({"vocab": {"[PAD]": 0, "[UNK]": 0}}, "each must have its own"),
        ({"vocab": {"[PAD]": 0, "[UNK]": 10**9}}, "each must have its own"),
        ({"vocab": {"[PAD]": -1}}, "is damaged"),
        ({"vocab": 3}, "is damaged"),
    ],
)
def test_a_tokenizer_json_that_is_not_berts_is_refused(folder, change, message):
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    values["added_tokens"] = []
    path.write_text(json.dumps(values | {"model": values["model"] | change}))
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.load(path)


def test_another_models_tokenizer_is_refused(tmp_path):
    Engine(BPE()).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(CheckpointError, match="has model 'BPE', and BERT's is 'WordPiece'"):
        Tokenizer.load(tmp_path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="none does not exist; a vocabulary is"):
        Tokenizer.load(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"holds neither tokenizer\.json nor vocab\.txt"):
        Tokenizer.load(tmp_path)


def test_saving_leaves_other_files_alone_and_no_traces(tokenizer, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    tokenizer.save(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]


def test_a_folder_that_cannot_be_written_is_named(tokenizer, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"folder cannot be written: .*; make room or choose"):
        tokenizer.save(tmp_path / "file" / "folder")
