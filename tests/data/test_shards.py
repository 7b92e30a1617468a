"""What is written comes back, and what is damaged is refused."""

from __future__ import annotations

import errno
import json
import pickle
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from bertsmith.data.shards import Shard, ShardWriter, TokenizedCorpus
from bertsmith.errors import ConfigError, DataError

DOCUMENTS = [[[1, 2, 3], [4]], [[5]], [[6, 7], [8, 9, 10], [11]], [[3, 2, 1]]]


def write(folder: Path, documents=DOCUMENTS, *, vocab_size=100, size=5, sha="abc") -> Path:
    folder.mkdir(exist_ok=True)
    with ShardWriter(
        folder,
        vocab_size=vocab_size,
        vocabulary_sha256=sha,
        lowercase=True,
        shard_wordpieces=size,
    ) as writer:
        for document in documents:
            writer.append(document)
    return folder


def read(corpus: TokenizedCorpus) -> list[list[list[int]]]:
    return [
        [
            shard.wordpieces[shard.sentence_starts[s] : shard.sentence_starts[s + 1]].tolist()
            for s in range(*shard.document_starts[d : d + 2])
        ]
        for shard in corpus.shards
        for d in range(shard.num_documents)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "shards")


@settings(deadline=None, max_examples=50)
@given(
    documents=st.lists(st.lists(st.lists(st.integers(0, 69_999), max_size=5), max_size=4)),
    size=st.integers(1, 30),
    large=st.booleans(),
)
def test_documents_come_back_as_they_were_without_the_empty_ones(
    tmp_path_factory, documents, size, large
):
    vocab_size = 70_000 if large else 300
    documents = [[[i % vocab_size for i in s] for s in document] for document in documents]
    folder = write(tmp_path_factory.mktemp("shards"), documents, vocab_size=vocab_size, size=size)
    kept = [[s for s in document if s] for document in documents if any(document)]
    if not kept:
        with pytest.raises(DataError, match="holds no shards"):
            TokenizedCorpus.open(folder)
        return
    corpus = TokenizedCorpus.open(folder)
    corpus.verify()
    assert read(corpus) == kept
    pieces = [i for document in kept for sentence in document for i in sentence]
    assert corpus.num_wordpieces == len(pieces)
    assert corpus.num_sentences == sum(map(len, kept))
    assert corpus.num_documents == len(kept)
    assert np.array_equal(corpus.unigram_counts(), np.bincount(pieces, minlength=vocab_size))
    assert {shard.wordpieces.dtype.name for shard in corpus.shards} == {
        "uint32" if large else "uint16"
    }


def test_a_shard_is_full_at_the_end_of_the_document_that_reaches_its_size(folder: Path):
    shards = TokenizedCorpus.open(folder).shards
    assert [shard.num_wordpieces for shard in shards] == [5, 6, 3]


def test_any_reader_of_safetensors_opens_a_shard(folder: Path):
    with safe_open(folder / "shard-00000.safetensors", "numpy") as file:
        assert file.get_tensor("wordpieces").tolist() == [1, 2, 3, 4, 5]
        assert file.get_tensor("sentence_starts").tolist() == [0, 3, 4, 5]
        assert file.get_tensor("document_starts").tolist() == [0, 2, 3]
        assert file.metadata()["vocabulary_sha256"] == "abc"
        assert file.metadata()["lowercase"] == "true"


def test_the_arrays_are_read_only_views_of_the_mapped_file(folder: Path):
    wordpieces = TokenizedCorpus.open(folder).shards[0].wordpieces
    assert isinstance(wordpieces, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        wordpieces[0] = 1


def test_the_same_documents_give_the_same_bytes(folder: Path, tmp_path: Path):
    again = write(tmp_path / "again")
    for path in folder.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_a_corpus_travels_to_another_process_as_its_paths(tmp_path: Path):
    corpus = TokenizedCorpus.open(write(tmp_path / "s", [[list(range(90)) * 1000]]))
    sent = pickle.dumps(corpus)
    assert len(sent) < 2000
    assert read(pickle.loads(sent)) == read(corpus)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_shard_is_refused_when_opened(folder: Path, keep: int):
    path = folder / "shard-00001.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"shard-00001\.safetensors is (truncated|not a shard)"):
        TokenizedCorpus.open(folder)


@settings(deadline=None, max_examples=50)
@given(place=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_changed_byte_is_found_by_opening_or_by_verify(tmp_path_factory, place, value):
    folder = write(tmp_path_factory.mktemp("shards"))
    path = folder / "shard-00000.safetensors"
    data = bytearray(path.read_bytes())
    place %= len(data)
    # The numbers and names in the metadata that nobody reads back are not under the checksum.
    header_end = 8 + int.from_bytes(data[:8], "little")
    if data[place] == value or 8 <= place < header_end:
        return
    data[place] = value
    path.write_bytes(data)
    with pytest.raises(DataError, match="shard-00000"):
        TokenizedCorpus.open(folder).verify()


def test_a_missing_shard_is_named(folder: Path):
    (folder / "shard-00002.safetensors").unlink()
    with pytest.raises(DataError, match=r"shard-00002\.safetensors cannot be read: No such file"):
        TokenizedCorpus.open(folder)


def test_a_shard_of_another_vocabulary_is_refused(folder: Path, tmp_path: Path):
    other = write(tmp_path / "other", sha="xyz")
    (other / "shard-00001.safetensors").replace(folder / "shard-00001.safetensors")
    with pytest.raises(DataError, match="made with another vocabulary"):
        TokenizedCorpus.open(folder)


def test_a_shard_of_another_corpus_is_refused(folder: Path, tmp_path: Path):
    other = write(tmp_path / "other", [[[1, 2, 3, 4, 5]]])
    (other / "shard-00000.safetensors").replace(folder / "shard-00000.safetensors")
    with pytest.raises(DataError, match=r"is not the shard that manifest\.json lists"):
        TokenizedCorpus.open(folder)


def test_a_corpus_of_another_vocabulary_than_the_one_asked_for_is_refused(folder: Path):
    TokenizedCorpus.open(folder, vocabulary_sha256="abc")
    with pytest.raises(DataError, match=r"prepared with another vocabulary \(abc\).*\(xyz\)"):
        TokenizedCorpus.open(folder, vocabulary_sha256="xyz")


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"holds no manifest\.json.*run the same"):
        TokenizedCorpus.open(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other"}', "\x00", "\N{SNOWMAN}{"])
def test_a_damaged_manifest_is_refused(folder: Path, text: str):
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        TokenizedCorpus.open(folder)


def test_a_manifest_with_an_unknown_key_is_refused(folder: Path):
    values = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(values | {"surprise": 1}))
    with pytest.raises(DataError, match="surprise"):
        TokenizedCorpus.open(folder)


@pytest.mark.parametrize("bad", [-1, 100, 65_536 + 3])
def test_an_id_outside_the_vocabulary_is_refused(tmp_path: Path, bad: int):
    with pytest.raises(DataError, match=rf"id {bad} is not one of the vocabulary's 100"):
        write(tmp_path / "shards", [[[1, bad]]])


def test_an_error_in_the_block_leaves_no_manifest(tmp_path: Path):
    with (
        pytest.raises(RuntimeError),
        ShardWriter(tmp_path, vocab_size=9, vocabulary_sha256="abc", lowercase=True) as writer,
    ):
        writer.append([[1]])
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_shard_needs_room_for_a_wordpiece(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"size of a shard \(0\)"):
        write(tmp_path / "shards", size=0)


class FullDisk:
    """A file that takes its first bytes and then has no room."""

    def __init__(self, file: IO[bytes]):
        self.file = file

    def write(self, data) -> None:
        self.file.write(bytes(data)[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch):
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode="r": FullDisk(opened(path, mode)))
    writer = ShardWriter(tmp_path, vocab_size=9, vocabulary_sha256="abc", lowercase=True)
    writer.append([[1]])
    with pytest.raises(DataError, match=r"shard-00000.*No space left on device; make room"):
        writer.finish()
    assert list(tmp_path.iterdir()) == []


def test_a_shard_says_how_long_it_is_before_its_data_is_read(folder: Path):
    shard = Shard(folder / "shard-00001.safetensors")
    assert (shard.num_wordpieces, shard.num_sentences, shard.num_documents) == (6, 3, 1)
