"""The demo's text: real, of every kind, the held-out documents in no training file."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path

import pytest

from bertsmith.demo import text as demo_text
from bertsmith.demo.text import DemoText, Documents, write_demo_text
from bertsmith.errors import ConfigError

pytest.importorskip("gensim", reason="the demo's text is in gensim, of the extra `demo`")
KINDS = ("wikipedia", "news", "newsgroup")


@pytest.fixture(scope="module")
def kinds() -> dict[str, Documents]:
    """All documents, which take seconds to read."""
    folder = demo_text.find_test_data()
    return {name: read(folder) for name, read in demo_text._KINDS.items()}


@pytest.fixture
def read_before(kinds: dict[str, Documents], monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the documents from memory."""
    for name, documents in kinds.items():
        monkeypatch.setitem(
            demo_text._KINDS, name, lambda folder, documents=documents: copy.deepcopy(documents)
        )


@pytest.fixture
def written(read_before: None, tmp_path: Path) -> DemoText:
    return write_demo_text(tmp_path / "text", seed=1)


def documents_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").rstrip("\n").split("\n\n")


def rows_of(path: Path) -> list[tuple[str, str]]:
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    assert header == "text\tlabel"
    rows = [line.split("\t") for line in lines]
    assert all(len(row) == 2 for row in rows)
    return [(sentence, kind) for sentence, kind in rows]


def test_there_is_real_text_of_every_kind(kinds: dict[str, Documents]) -> None:
    assert tuple(kinds) == KINDS
    for name, documents in kinds.items():
        assert len(documents) > 50, name
        for lines in documents:
            assert lines
            assert all(line.strip() and "\n" not in line for line in lines)
    # Markup and quoted mail are gone.
    wikipedia = "\n".join(line for lines in kinds["wikipedia"] for line in lines)
    assert len(wikipedia) > 1_000_000
    assert wikipedia.count("[[") + wikipedia.count("{{") < 100
    assert not any(line.startswith(">") for lines in kinds["newsgroup"] for line in lines)


def test_a_tenth_of_the_documents_is_held_out_and_in_no_other_file(
    written: DemoText, kinds: dict[str, Documents]
) -> None:
    everything = Counter("\n".join(lines) for group in kinds.values() for lines in group)
    train, held_out = Counter(documents_of(written.train)), Counter(documents_of(written.held_out))
    assert train + held_out == everything
    assert len(held_out) == pytest.approx(0.1 * len(everything), rel=0.1)
    # The same post may have been sent twice.
    assert len(train & held_out) <= 2
    assert written.num_documents == {name: len(group) for name, group in kinds.items()}
    assert written.num_characters == sum(
        len(line) for group in kinds.values() for lines in group for line in lines
    )


def test_sentences_are_of_every_kind_and_from_their_side_alone(written: DemoText) -> None:
    for file, documents, most in (
        (written.train_sentences, written.train, demo_text.TRAIN_SENTENCES),
        (written.held_out_sentences, written.held_out, demo_text.HELD_OUT_SENTENCES),
    ):
        rows = rows_of(file)
        counts = Counter(kind for _, kind in rows)
        assert set(counts) == set(KINDS)
        assert 100 < min(counts.values()) <= max(counts.values()) <= most
        text = " ".join(documents.read_text(encoding="utf-8").split())
        assert all(8 <= len(sentence.split()) <= 50 for sentence, _ in rows)
        assert all(sentence in text for sentence, _ in rows[::20])  # all of them take ten seconds


def test_the_seed_decides_the_draw(written: DemoText, tmp_path: Path) -> None:
    again = write_demo_text(tmp_path / "again", seed=1)
    other = write_demo_text(tmp_path / "other", seed=2)
    for name in ("train", "held_out", "train_sentences", "held_out_sentences"):
        first = getattr(written, name).read_bytes()
        assert getattr(again, name).read_bytes() == first
        assert getattr(other, name).read_bytes() != first


def test_without_gensim_the_way_to_get_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gensim", None)
    with pytest.raises(ConfigError, match=r"not installed; run `make demo`, or `pip install"):
        write_demo_text(tmp_path / "text", seed=1)
