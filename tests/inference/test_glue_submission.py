"""Answers to GLUE's test sets stand in the files that it takes, complete and in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.data.glue_folder import TEXTS, write_glue
from tests.inference.conftest import save

from bertsmith.data.layout import Layout
from bertsmith.data.named_sets import NAMED_SETS
from bertsmith.data.record_source import RecordSource
from bertsmith.errors import ConfigError, DataError
from bertsmith.inference.glue_submission import write_glue_submission
from bertsmith.inference.predictor import Predictor
from bertsmith.tasks.registry import build_task

NAMES = [name for name in NAMED_SETS if name.startswith("glue:")]


@pytest.fixture(scope="module")
def glue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_glue(tmp_path_factory.mktemp("glue"))


def predictor(folder: Path, name: str, **changes: Any) -> Predictor:
    named = NAMED_SETS[name]
    settings = named.settings | changes
    return Predictor.load(save(folder / "model", [build_task(named.task, **settings)]))


@pytest.mark.parametrize("name", NAMES)
def test_each_task_has_its_files(glue: Path, tmp_path: Path, name: str) -> None:
    asked = predictor(tmp_path, name)
    source = RecordSource(name, folder=glue)
    counts = write_glue_submission(asked, source, tmp_path / "answers")
    named = NAMED_SETS[name]
    assert {path.name for path in counts} == set(named.submissions.values())
    assert set(counts.values()) == {len(TEXTS)}
    for split, file in named.submissions.items():
        header, *rows = (tmp_path / "answers" / file).read_text().splitlines()
        assert header == "index\tprediction"
        assert [row.split("\t")[0] for row in rows] == ["0", "1", "2", "3"]
        answers = list(asked.predict(source.read(split)))
        given = [row.split("\t")[1] for row in rows]
        if name == "glue:stsb":
            assert given == [f"{min(5, max(0, each['score'])):.3f}" for each in answers]
        else:
            assert given == [each["label"] for each in answers]
            assert set(given) <= set(named.settings["labels"])


def test_scores_stay_within_those_of_the_data(
    glue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = predictor(tmp_path, "glue:stsb")
    scores = iter([-0.2, 5.3, 2.34567, 5.0])
    monkeypatch.setattr(asked.task, "answer", lambda record, _: {"score": next(scores)})
    write_glue_submission(asked, RecordSource("glue:stsb", folder=glue), tmp_path)
    assert (tmp_path / "STS-B.tsv").read_text() == (
        "index\tprediction\n0\t0.000\n1\t5.000\n2\t2.346\n3\t5.000\n"
    )


def test_a_file_without_numbers_is_counted_and_one_with_them_followed(
    tmp_path: Path,
) -> None:
    asked = predictor(tmp_path, "glue:sst2")
    source = RecordSource("glue:sst2", folder=tmp_path)
    for text, expected in (
        ("sentence\ngood\nbad\n", ["0", "1"]),
        ("index\tsentence\n7\tgood\n5\tbad\n", ["7", "5"]),
    ):
        (tmp_path / "test.tsv").write_text(text)
        write_glue_submission(asked, source, tmp_path)
        rows = (tmp_path / "SST-2.tsv").read_text().splitlines()[1:]
        assert [row.split("\t")[0] for row in rows] == expected


def test_one_of_two_test_sets_can_be_answered_alone(glue: Path, tmp_path: Path) -> None:
    source = RecordSource("glue:mnli", folder=glue, split="test_mismatched")
    written = write_glue_submission(predictor(tmp_path, "glue:mnli"), source, tmp_path / "answers")
    assert [path.name for path in written] == ["MNLI-mm.tsv"]


@pytest.mark.parametrize(
    ("source", "changes", "message"),
    [
        (RecordSource("a.tsv", layout=Layout(text="1")), {}, "GLUE takes no answers for a.tsv; g"),
        (RecordSource("snli"), {}, "GLUE takes no answers for snli; give the test split of one"),
        (RecordSource("glue:rte", split="dev"), {}, "GLUE takes no answers for glue:rte, split d"),
        (
            RecordSource("glue:stsb"),
            {},
            "the model's task is sequence_classification and that of glue:stsb sequence_regression",
        ),
        (
            RecordSource("glue:rte"),
            {"labels": ["yes", "no"]},
            r"the model's labels \(yes, no\) are not those of glue:rte \(entailment, not_entailm",
        ),
    ],
)
def test_what_glue_would_not_take_is_refused(
    tmp_path: Path, source: RecordSource, changes: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        write_glue_submission(predictor(tmp_path, "glue:rte", **changes), source, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_test_set_with_a_broken_row_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test.tsv").write_text("id\tquestion1\tquestion2\n0\tgood\tbad\n1\tgood\n")
    source = RecordSource("glue:qqp", folder=tmp_path)
    with pytest.raises(DataError, match=r"test\.tsv:3: the row has 2 columns"):
        write_glue_submission(predictor(tmp_path, "glue:qqp"), source, tmp_path / "new")
