"""Shards depend on the text and the settings, and on nothing that happens on the way."""

from __future__ import annotations

import errno
import gzip
import json
import os
import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from bertsmith.data import prepare as prepare_module
from bertsmith.data.corpus import read_documents
from bertsmith.data.corpus_report import CorpusReport, describe
from bertsmith.data.prepare import Preparation, PrepareSettings, prepare
from bertsmith.data.shards import TokenizedCorpus
from bertsmith.errors import ConfigError, DataError
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import Vocabulary

WORDS = ["the", "cat", "dog", "sat", "ran", "on", "a", "mat", "log", "it", "was", "good"]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", *WORDS, "##s", "##ing"]
SMALL = PrepareSettings(shard_wordpieces=400)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=True)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Two files of about 2,000 words."""
    draw = random.Random(0)
    folder = tmp_path / "text"
    folder.mkdir()
    for name in ("a.txt", "b.txt.gz"):
        lines = []
        for _ in range(60):
            for _ in range(draw.randint(1, 4)):
                sentences = [
                    " ".join(draw.choices(WORDS, k=draw.randint(2, 8))).capitalize() + " mat."
                    for _ in range(draw.randint(1, 3))
                ]
                lines.append(" ".join(sentences))
            lines.append("")
        data = "\n".join(lines).encode()
        (folder / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def sentences_of(corpus: TokenizedCorpus) -> list[list[list[int]]]:
    return [
        [
            shard.wordpieces[shard.sentence_starts[s] : shard.sentence_starts[s + 1]].tolist()
            for s in range(*shard.document_starts[d : d + 2])
        ]
        for shard in corpus.shards
        for d in range(shard.num_documents)
    ]


def test_the_shards_hold_the_documents_sentence_by_sentence(text, tmp_path, tokenizer):
    prepare([text], tokenizer, tmp_path / "shards", SMALL, workers=1)
    corpus = TokenizedCorpus.open(
        tmp_path / "shards", vocabulary_sha256=tokenizer.vocabulary.sha256
    )
    corpus.verify()
    assert len(corpus.shards) > 5
    expected = [
        [
            tokenizer.ids(sentence + ".")
            for line in document.lines
            for sentence in line.removesuffix(".").split(". ")
        ]
        for document in read_documents(text)
    ]
    assert sentences_of(corpus) == expected


def test_a_sentence_may_be_a_line(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text("The cat. The dog.\nIt ran.\n")
    settings = PrepareSettings(language=None)
    report = prepare(tmp_path / "a.txt", tokenizer, tmp_path / "s", settings, workers=1)
    assert report.counts.sentences == 2


def test_the_folder_opens_as_a_tokenizer(text, tmp_path, tokenizer):
    prepare([text], tokenizer, tmp_path / "shards", workers=1)
    saved = Tokenizer.load(tmp_path / "shards")
    assert saved.vocabulary == tokenizer.vocabulary
    assert saved.lowercase


def test_the_number_of_workers_changes_no_byte(text, tmp_path, tokenizer):
    prepare([text], tokenizer, tmp_path / "one", SMALL, workers=1)
    prepare([text], tokenizer, tmp_path / "two", SMALL, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("blocks", [5, 8, 12, 30])
def test_an_interrupted_run_goes_on_to_the_same_bytes(text, tmp_path, tokenizer, blocks):
    prepare([text], tokenizer, tmp_path / "whole", SMALL, workers=1)
    left = iter(range(blocks))

    def interrupt():
        if next(left, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Preparation([text], tokenizer, tmp_path / "parts", SMALL).run(1, interrupt)
    with pytest.raises(DataError, match=r"run the same `bertsmith prepare` command again"):
        TokenizedCorpus.open(tmp_path / "parts")
    again = Preparation([text], tokenizer, tmp_path / "parts", SMALL)
    assert again.num_finished_shards > 0
    assert 0 < again.bytes_done <= again.total_bytes
    again.run(1)
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")


@pytest.mark.parametrize("blocks", [0, 5, 12, 30])
def test_the_same_object_goes_on_after_an_interruption(text, tmp_path, tokenizer, blocks):
    whole = prepare([text], tokenizer, tmp_path / "whole", SMALL, workers=1)
    left = iter(range(blocks))

    def interrupt():
        if next(left, None) is None:
            raise KeyboardInterrupt

    preparation = Preparation([text], tokenizer, tmp_path / "parts", SMALL)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            preparation.run(1, interrupt)
    assert preparation.run(1) == whole
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")


def test_progress_that_cannot_be_written_loses_nothing(text, tmp_path, tokenizer, monkeypatch):
    output = tmp_path / "shards"
    replace, written = Path.replace, []

    def full(path: Path, target: Path) -> Path:
        written.append(target.name)
        if written.count("progress.safetensors") == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    preparation = Preparation([text], tokenizer, output, SMALL)
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DataError, match=r"progress.* cannot be written: No space left"):
        preparation.run(1)
    monkeypatch.undo()
    preparation.run(1)
    prepare([text], tokenizer, tmp_path / "whole", SMALL, workers=1)
    assert contents(output) == contents(tmp_path / "whole")


def test_a_finished_preparation_returns_its_report_and_changes_nothing(text, tmp_path, tokenizer):
    report = prepare([text], tokenizer, tmp_path / "shards", SMALL, workers=1)
    before = contents(tmp_path / "shards")
    again = Preparation([text], tokenizer, tmp_path / "shards", SMALL)
    assert again.report == report
    assert again.run() == report
    assert contents(tmp_path / "shards") == before


def interrupted(text: Path, tokenizer: Tokenizer, output: Path) -> None:
    preparation = Preparation([text], tokenizer, output, SMALL)

    def interrupt():
        if preparation.bytes_done > preparation.total_bytes / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preparation.run(1, interrupt)


def finished(text: Path, tokenizer: Tokenizer, output: Path) -> None:
    prepare([text], tokenizer, output, SMALL, workers=1)


@pytest.mark.parametrize("begin", [interrupted, finished])
def test_other_settings_sources_or_vocabularies_do_not_go_on(text, tmp_path, tokenizer, begin):
    output = tmp_path / "shards"
    begin(text, tokenizer, output)
    other = Tokenizer.from_vocabulary(Vocabulary([*PIECES, "more"]), lowercase=True)
    cased = Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=False)
    german = PrepareSettings(shard_wordpieces=400, language="de")
    with pytest.raises(DataError, match="was begun with language 'en' and it is 'de' now; use"):
        Preparation([text], tokenizer, output, german)
    with pytest.raises(DataError, match="begun with vocabulary_sha256"):
        Preparation([text], other, output, SMALL)
    with pytest.raises(DataError, match="begun with lowercase True and it is False now"):
        Preparation([text], cased, output, SMALL)
    with pytest.raises(DataError, match="another list of 2 source files than these 1"):
        Preparation([text / "a.txt"], tokenizer, output, SMALL)
    os.utime(text / "a.txt", (1, 1))
    with pytest.raises(DataError, match=r"a\.txt has changed since .*shards was begun"):
        Preparation([text], tokenizer, output, SMALL)


def test_an_interrupted_run_whose_shard_is_lost_does_not_go_on(text, tmp_path, tokenizer):
    interrupted(text, tokenizer, tmp_path / "shards")
    (tmp_path / "shards/shard-00000.safetensors").unlink()
    with pytest.raises(DataError, match=r"shard-00000\.safetensors cannot be read"):
        Preparation([text], tokenizer, tmp_path / "shards", SMALL)


def test_damaged_progress_is_named(text, tmp_path, tokenizer):
    interrupted(text, tokenizer, tmp_path / "shards")
    path = tmp_path / "shards/progress.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match=r"progress\.safetensors is damaged"):
        Preparation([text], tokenizer, tmp_path / "shards", SMALL)


def test_a_run_that_finished_no_shard_leaves_nothing(text, tmp_path, tokenizer):
    (text / "a.txt").write_bytes(b"The cat.\n\xff\n")
    with pytest.raises(DataError, match=r"a\.txt:2: byte 0xff"):
        prepare([text], tokenizer, tmp_path / "shards", workers=1)
    assert not (tmp_path / "shards").exists()


def test_bad_text_after_finished_shards_can_be_skipped_by_the_next_run(text, tmp_path, tokenizer):
    data = (text / "a.txt").read_bytes() + b"\n\xff\n\nThe end.\n"
    (text / "a.txt").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.txt:\d+: byte 0xff"):
        prepare([text], tokenizer, tmp_path / "shards", SMALL, workers=1)
    skipping = PrepareSettings(shard_wordpieces=400, skip_bad=True)
    again = Preparation([text], tokenizer, tmp_path / "shards", skipping)
    assert again.num_finished_shards > 0
    report = again.run(1)
    assert report.counts.skipped == 1
    assert "byte 0xff" in report.skipped_examples[0]
    at_once = prepare([text], tokenizer, tmp_path / "at once", skipping, workers=1)
    assert at_once == report
    assert contents(tmp_path / "at once") == contents(tmp_path / "shards")


def test_a_folder_of_something_else_is_refused(text, tmp_path, tokenizer):
    with pytest.raises(DataError, match=r"text is not empty and holds no shards; give a new"):
        Preparation([text], tokenizer, text)
    with pytest.raises(DataError, match=r"a\.txt cannot be used as a folder: "):
        Preparation([text], tokenizer, text / "a.txt")


def test_text_without_words_is_refused(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text("\n \n\u200d\n")
    with pytest.raises(DataError, match=r"a\.txt and what follows it hold no text"):
        prepare(tmp_path / "a.txt", tokenizer, tmp_path / "shards", workers=1)
    assert not (tmp_path / "shards").exists()


@pytest.mark.parametrize("workers", [0, -1])
def test_there_is_at_least_one_worker(text, tmp_path, tokenizer, workers):
    with pytest.raises(ConfigError, match=rf"number of workers \({workers}\) must be at least 1"):
        prepare([text], tokenizer, tmp_path / "shards", workers=workers)


def test_a_full_disk_keeps_the_finished_shards(text, tmp_path, tokenizer, monkeypatch):
    output = tmp_path / "shards"
    replace = Path.replace

    def full(path: Path, target: Path) -> Path:
        if target.name == "shard-00003.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DataError, match=r"shard-00003.* cannot be written: No space left"):
        prepare([text], tokenizer, output, SMALL, workers=1)
    assert sorted(contents(output)) == [
        "progress.safetensors",
        *(f"shard-0000{i}.safetensors" for i in range(3)),
    ]
    monkeypatch.undo()
    prepare([text], tokenizer, output, SMALL, workers=1)
    prepare([text], tokenizer, tmp_path / "whole", SMALL, workers=1)
    assert contents(output) == contents(tmp_path / "whole")


def test_the_report_tells_what_a_user_must_know(tmp_path, tokenizer):
    documents = [
        "The cat sat. The dog ran.\nThe cat sat. The dog ran.",  # a repeated line
        "It was good.",  # one sentence
        "\u200d",  # nothing for BERT
        "A xyz ran. Caf\ufffd.",  # [UNK], U+FFFD
        "The cafÃ© was good. It was.\nThe cat\u2019s mat.",  # mojibake
    ]
    (tmp_path / "a.txt").write_text("\n\n".join(documents), encoding="utf-8")
    report = prepare(tmp_path / "a.txt", tokenizer, tmp_path / "shards", workers=1)
    counts = report.counts
    assert counts.documents == 4
    assert counts.sentences == 4 + 1 + 2 + 3
    assert counts.lines == 7
    assert counts.one_sentence_documents == 1
    assert counts.empty_documents == 1
    assert counts.replacement_character_lines == 1
    assert counts.mojibake_lines == 1
    assert counts.skipped == counts.cut_documents == 0
    assert report.repeated_line_share == 1 / 7
    assert report.repeated_line_sample == 1
    corpus = TokenizedCorpus.open(tmp_path / "shards")
    unigrams = corpus.unigram_counts()
    assert unigrams.sum() == counts.wordpieces == corpus.num_wordpieces
    assert unigrams[tokenizer.unk_id] == counts.unknown_wordpieces == 5


def test_a_prepared_folder_describes_itself(text, tmp_path, tokenizer):
    report = prepare([text], tokenizer, tmp_path / "shards", SMALL, workers=1)
    description = json.loads(json.dumps(describe(tmp_path / "shards")))
    assert CorpusReport.from_dict(description["report"]) == report
    assert description["documents"] == report.counts.documents == 120
    assert description["shards"] == len(list((tmp_path / "shards").glob("*.safetensors")))
    assert description["settings"]["language"] == "en"
    assert [Path(source["path"]).name for source in description["sources"]] == ["a.txt", "b.txt.gz"]


def test_a_shard_tells_where_its_text_comes_from(text, tmp_path, tokenizer):
    prepare([text], tokenizer, tmp_path / "shards", SMALL, workers=1)
    shards = TokenizedCorpus.open(tmp_path / "shards").shards
    assert shards[0].metadata["first_source"] == f"{text / 'a.txt'}:1"
    assert shards[-1].metadata["last_source"].startswith(f"{text / 'b.txt.gz'}:")


def test_ids_of_a_large_vocabulary_take_four_bytes(tmp_path):
    vocabulary = Vocabulary([*PIECES, *(f"w{i}" for i in range(70_000))])
    large = Tokenizer.from_vocabulary(vocabulary, lowercase=True)
    (tmp_path / "a.txt").write_text("w69999 the w3")
    prepare(tmp_path / "a.txt", large, tmp_path / "shards", workers=1)
    wordpieces = load_file(tmp_path / "shards/shard-00000.safetensors")["wordpieces"]
    assert wordpieces.dtype == np.uint32
    assert wordpieces.tolist() == [len(vocabulary) - 1, PIECES.index("the"), len(PIECES) + 3]


def test_memory_does_not_grow_with_the_corpus(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(prepare_module, "BLOCK_CHARACTERS", 25_000)
    (tmp_path / "a.txt").write_text("The cat sat on the mat. It was good.\n\n" * 15_000)
    settings = PrepareSettings(shard_wordpieces=10_000)
    peaks = []
    preparation = Preparation([tmp_path / "a.txt"], tokenizer, tmp_path / "shards", settings)
    tracemalloc.start()
    try:
        preparation.run(1, lambda: peaks.append(tracemalloc.get_traced_memory()[1]))
    finally:
        tracemalloc.stop()
    assert len(peaks) > 15
    assert peaks[-1] < 1.1 * peaks[len(peaks) // 4]


def test_real_text_with_the_published_vocabulary(shared_data, tmp_path):
    uncased = Tokenizer.load(shared_data / "vocab/bert-base-uncased-vocab.txt")
    source = shared_data / "corpus/wikipedia-dev.txt.xz"
    report = prepare(source, uncased, tmp_path / "shards", workers=1)
    TokenizedCorpus.open(tmp_path / "shards").verify()
    assert report.counts.documents == 600
    assert report.counts.sentences > 3 * report.counts.documents
    assert report.unknown_share < 0.001
    assert report.counts.mojibake_lines == 0
    # Splitting into sentences moves no wordpiece.
    texts = [line for document in read_documents(source) for line in document.lines]
    assert np.array_equal(
        np.concatenate(
            [shard.wordpieces for shard in TokenizedCorpus.open(tmp_path / "shards").shards]
        ),
        uncased.flat_ids(texts)[0],
    )
