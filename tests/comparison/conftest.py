"""Systems, a corpus and a study of them, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.comparison.systems import DOCUMENTS, default_tokenizer, save, systems_of, write_corpus
from tests.training.conftest import PIECES, TOPICS, write_text

from bertsmith.comparison import by_counts
from bertsmith.comparison.corpus_sentences import CorpusSentences, corpus_sentences
from bertsmith.comparison.labelled_sentences import DEFAULT_SENTENCES
from bertsmith.comparison.word_study import WordStudy, study_word
from bertsmith.data.prepare import PrepareSettings, prepare
from bertsmith.export.model_folder import LoadedModel
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import Vocabulary


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("comparison") / "bert")


@pytest.fixture(scope="session")
def systems(folder: Path) -> dict[str, LoadedModel]:
    return systems_of(folder)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("comparison") / "shards"
    return write_corpus(path, DOCUMENTS, default_tokenizer())


@pytest.fixture(scope="session")
def corpus(shards: Path) -> CorpusSentences:
    return corpus_sentences(shards, "right")


@pytest.fixture(scope="session")
def study(systems: dict[str, LoadedModel], corpus: CorpusSentences) -> WordStudy:
    return study_word(systems, corpus, "right", DEFAULT_SENTENCES)


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `train` and `eval` shards and `tasks`."""
    folder = tmp_path_factory.mktemp("comparison")
    tokenizer = Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=True)
    for name, documents, seed in (("train", 200, 1), ("eval", 20, 2)):
        write_text(folder / f"{name}.txt", documents=documents, seed=seed)
        settings = PrepareSettings(language=None)
        prepare([folder / f"{name}.txt"], tokenizer, folder / name, settings, workers=1)
    sst2 = folder / "tasks" / "sst2"
    sst2.mkdir(parents=True)
    rows = [
        f"the {word} {noun} .\t{int(word == 'old')}"
        for topic in TOPICS
        for noun in topic
        for word in ("old", "small")
    ]
    for name, part in (("train", rows[8:]), ("dev", rows[:8])):
        (sst2 / f"{name}.tsv").write_text("sentence\tlabel\n" + "\n".join(part) + "\n")
    return folder


@pytest.fixture(autouse=True)
def short_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors that are good for something are the matter of one test alone."""
    monkeypatch.setattr(by_counts, "EPOCHS", 1)
