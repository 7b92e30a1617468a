"""Questions from a file to a model, to the files of the official scripts, to official figures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.tasks.passages import save_pretrained, squad, write_squad

from bertsmith.data.records import read_records
from bertsmith.errors import DataError
from bertsmith.export.model_folder import load_model
from bertsmith.inference.evaluation import evaluate_file
from bertsmith.inference.predictor import Predictor
from bertsmith.inference.squad_files import SquadFiles, score_predictions
from bertsmith.tasks.question_answering import QuestionAnswering
from bertsmith.training.finetune_recipe import FinetuneRecipe
from bertsmith.training.finetuning import Finetuned, finetune


def run(folder: Path, unanswerable: float, **task: Any) -> Finetuned:
    train = write_squad(folder / "train.json", 250, seed=1, unanswerable=unanswerable)
    dev = write_squad(folder / "dev.json", 60, seed=2, unanswerable=unanswerable)
    return finetune(
        FinetuneRecipe.from_dict(
            {
                "task": {"name": "question_answering", "doc_stride": 4} | task,
                "model": {"init": str(save_pretrained(folder / "start"))},
                # Short, so that most passages are read in windows.
                "data": {"train": str(train), "eval": str(dev), "max_seqlen": 14},
                "train": {
                    "output": str(folder / "model"),
                    "steps": 400,
                    "num_threads": 1,
                    "precision": "fp32",
                },
                "optimizer": {"learning_rate": 1.5e-3},
            }
        )
    )


@pytest.fixture(scope="module", params=[0.0, 0.4], ids=["v1.1", "v2.0"])
def learned(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Finetuned]]:
    """A folder with a model that has learned, and the files that it did it with."""
    folder = tmp_path_factory.mktemp("squad")
    yield folder, run(folder, request.param)


def test_questions_with_and_without_an_answer_are_learned(learned: tuple[Path, Finetuned]) -> None:
    folder, finetuned = learned
    figures = finetuned.outcome.figures
    assert figures["f1"] > 0.9
    assert figures["exact_match"] > 0.85
    has_unanswerable = "no answer" in finetuned.preparation.label_counts
    if has_unanswerable:
        assert min(figures["has_answer_f1"], figures["no_answer_accuracy"]) > 0.8
        assert figures["f1"] == pytest.approx(figures["best_f1"], abs=0.02)
    assert finetuned.preparation.num_train == 250
    assert finetuned.preparation.num_examples > 300
    # The folder's own figures are those, at the threshold that was tuned.
    evaluated = evaluate_file(folder / "model", folder / "dev.json", device="cpu")
    assert evaluated == pytest.approx(figures, abs=1e-5)
    (task,) = load_model(folder / "model").model.tasks
    assert isinstance(task, QuestionAnswering)
    assert task.has_unanswerable is has_unanswerable
    assert task.settings()["doc_stride"] == 4
    if has_unanswerable:
        assert task.no_answer_threshold > figures["best_f1_threshold"]


def test_official_figures_are_those_of_the_model(
    learned: tuple[Path, Finetuned], tmp_path: Path
) -> None:
    folder, finetuned = learned
    dev = folder / "dev.json"
    predictor = Predictor.load(folder / "model", device="cpu")
    files = SquadFiles(tmp_path / "out")
    answers = []
    for answer in predictor.predict(read_records(dev)):
        files.add(answer)
        answers.append(answer)
    paths = {path.name: path for path in files.write()}
    for answer, record in zip(answers, read_records(dev), strict=True):
        if answer["answer"]:
            context = record.fields["context"]
            assert context[answer["start"] : answer["end"]] == answer["answer"]
    odds = paths.get("null_odds.json")
    official = score_predictions(paths["predictions.json"], dev, null_odds=odds, null_threshold=1e9)
    ours = finetuned.outcome.figures
    exact = official["exact_match"] if odds is None else official["exact"]
    assert exact / 100 == pytest.approx(ours["exact_match"])
    assert official["f1"] / 100 == pytest.approx(ours["f1"])
    if odds is not None:
        assert official["HasAns_f1"] / 100 == pytest.approx(ours["has_answer_f1"])
        assert official["NoAns_exact"] / 100 == pytest.approx(ours["no_answer_accuracy"])
    n_best = json.loads(paths["nbest_predictions.json"].read_text())
    assert n_best.keys() == json.loads(paths["predictions.json"].read_text()).keys()
    for ranked in n_best.values():
        assert list(ranked[0]) == ["text", "probability", "start_logit", "end_logit"]
        assert sum(each["probability"] for each in ranked) == pytest.approx(1.0)


def test_questions_come_in_every_form(learned: tuple[Path, Finetuned]) -> None:
    folder, _ = learned
    predictor = Predictor.load(folder / "model", device="cpu")
    context = "the cat went and Emmy saw New Oslo, Tuesday and it, the cat."
    forms: list[Any] = [
        ("Where?", context),
        ["Where?", context],
        {"question": "Where?", "context": context, "answers": ["nowhere in it"]},
        {"text": "Where?", "pair": context},
    ]
    answers = list(predictor.predict(forms))
    assert answers[0]["answer"] == "New Oslo"
    for answer in answers:
        assert answer == answers[0]
    for wrong, message in [
        ("Where?", r"record 1 is of type str; it must be a pair of a question"),
        (("Where?",), r"record 1 is of type tuple"),
        ({"question": "Where?"}, r"record 1 has no passage beside the question"),
        (("", context), r"record 1: the question is empty"),
    ]:
        with pytest.raises(DataError, match=message):
            list(predictor.predict([wrong]))


ANSWER = {
    "id": "1",
    "answer": "Ada",
    "n_best": [{"answer": "Ada", "probability": 1.0, "start_logit": 2.0, "end_logit": 3.0}],
}


def test_odds_are_written_where_there_are_any(tmp_path: Path) -> None:
    files = SquadFiles(tmp_path / "a" / "b")
    files.add(ANSWER)
    assert [path.name for path in files.write()] == ["predictions.json", "nbest_predictions.json"]
    files.add(ANSWER | {"id": "2", "answer": "", "no_answer_score": 1.5})
    paths = files.write()
    assert json.loads(paths[0].read_text()) == {"1": "Ada", "2": ""}
    assert json.loads(paths[2].read_text()) == {"2": 1.5}


def test_files_need_an_id_for_each_question(tmp_path: Path) -> None:
    files = SquadFiles(tmp_path)
    files.add(ANSWER)
    with pytest.raises(DataError, match=r"question 2 has the id 1, which another one has; SQuAD's"):
        files.add(ANSWER)
    with pytest.raises(DataError, match=r"question 2 has no id; SQuAD's files need an id for each"):
        files.add({key: value for key, value in ANSWER.items() if key != "id"})
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file.* cannot be written"):
        SquadFiles(tmp_path / "file" / "x").write()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (None, r"p\.json does not exist; give a JSON file of ids and answers' texts"),
        ("{", r"p\.json is not JSON \(.*\); give one object of ids and answers' texts"),
        ("\ud800", r"p\.json is not JSON"),
        ('{"1-0": NaN}', r"p\.json is not JSON \(NaN is not a JSON number\)"),
        ("[]", r"p\.json must be one JSON object of ids and answers' texts"),
        ('{"1-0": 3}', r"p\.json: 1-0 is 3; the values must be answers' texts"),
        ('{"other": "a"}', r"none of the ids in .*p\.json is in .*dev\.json; give the data that"),
    ],
)
def test_predictions_of_no_known_form_are_refused(
    tmp_path: Path, contents: str | None, message: str
) -> None:
    dev = write_squad(tmp_path / "dev.json", 3, seed=1)
    path = tmp_path / "p.json"
    if contents is not None:
        path.write_bytes(contents.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError, match=message):
        score_predictions(path, dev)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": None}, r"qas\[0\] has no id, so predictions cannot be scored"),
        ({"answers": None, "is_impossible": None}, r"question 1-0 has no answers, so predictions"),
    ],
)
def test_data_without_ids_or_answers_cannot_score(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    document = squad(1, seed=1)
    document["data"][0]["paragraphs"][0]["qas"][0].update(changes)
    (tmp_path / "dev.json").write_text(json.dumps(document))
    (tmp_path / "p.json").write_text('{"1-0": "Ada"}')
    with pytest.raises(DataError, match=message):
        score_predictions(tmp_path / "p.json", tmp_path / "dev.json")


def test_odds_must_be_numbers(tmp_path: Path) -> None:
    dev = write_squad(tmp_path / "dev.json", 3, seed=1, unanswerable=0.9)
    (tmp_path / "p.json").write_text('{"1-0": "", "1-1": "", "1-2": ""}')
    (tmp_path / "odds.json").write_text('{"1-0": "high"}')
    with pytest.raises(DataError, match=r"odds\.json: 1-0 is 'high'; the values must be numbers"):
        score_predictions(tmp_path / "p.json", dev, null_odds=tmp_path / "odds.json")
