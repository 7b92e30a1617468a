"""A study's files: all of them, or none, and the same twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertsmith.comparison.labelled_sentences import LabelledSentence
from bertsmith.comparison.word_files import write_word_report, write_word_study
from bertsmith.errors import DataError
from bertsmith.export.model_folder import LoadedModel

PICTURES = ["attention.png", "layers.png", "map.png", "similarities.png"]


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_pictures_and_figures_are_left_in_the_folder(
    systems: dict[str, LoadedModel], shards: Path, tmp_path: Path
) -> None:
    study = write_word_study(systems, shards, tmp_path / "out")
    assert names(tmp_path / "out") == sorted([*PICTURES, "word.json"])
    figures = json.loads((tmp_path / "out" / "word.json").read_text(encoding="utf-8"))
    assert figures == json.loads(json.dumps(study.to_dict()))
    assert figures["corpus_sentences"] == 6
    assert [each["name"] for each in figures["systems"]] == ["GloVe", "LSTM", "GPT", "BERT"]
    assert figures["systems"][2]["attention"]["later"] == 0


def test_the_report_has_a_page_and_is_the_same_twice(
    systems: dict[str, LoadedModel], shards: Path, tmp_path: Path
) -> None:
    models = {"BERT": systems["BERT"]}
    for name in ("one", "two"):
        write_word_report(models, shards, tmp_path / name)
    assert names(tmp_path / "one") == sorted([*PICTURES, "report.html", "word.json"])
    for name in names(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    page = (tmp_path / "one" / "report.html").read_text(encoding="utf-8")
    assert "2 layers of 32" in page
    assert "“right” in its sentence" in page
    assert str(tmp_path) not in page


def test_what_there_is_nothing_of_is_not_drawn(
    systems: dict[str, LoadedModel], tmp_path: Path
) -> None:
    given = [LabelledSentence("turn right"), LabelledSentence("he was right")]
    write_word_study({"GloVe": systems["GloVe"]}, None, tmp_path, sentences=given)
    assert names(tmp_path) == ["map.png", "similarities.png", "word.json"]


def test_nothing_is_left_of_what_fails(systems: dict[str, LoadedModel], tmp_path: Path) -> None:
    given = [LabelledSentence("turn right"), LabelledSentence("turn left")]
    with pytest.raises(DataError, match="not in the sentence 'turn left'"):
        write_word_report(systems, None, tmp_path / "out", sentences=given)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be a folder of results"):
        write_word_study(systems, None, tmp_path / "file", sentences=[given[0]] * 2)
