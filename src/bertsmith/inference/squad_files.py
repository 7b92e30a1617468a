"""Predictions in the files that SQuAD's official scripts read, and their official figures.

`predictions.json` gives each question's id its answer, "" for none; `null_odds.json` how far "no
answer" is above the best span; `nbest_predictions.json` all that were ranked, as Google's code
writes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertsmith.atomic import atomic_folder
from bertsmith.data.json_document import refuse_constant
from bertsmith.data.layout import Layout
from bertsmith.data.question import id_of, question_of
from bertsmith.data.record_source import RecordSource
from bertsmith.errors import DataError
from bertsmith.metrics.squad import squad_figures


class SquadFiles:
    """Collects answers of `question_answering`, and writes them at the end.

    Args:
        folder: where the files go; it is made where it does not exist.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._predictions: dict[str, str] = {}
        self._n_best: dict[str, list[dict[str, Any]]] = {}
        self._null_odds: dict[str, float] = {}

    def add(self, answer: Mapping[str, Any]) -> None:
        """Take an answer, as a `Predictor` gives it.

        Raises:
            DataError: its question has no id, or one that another question has.
        """
        key = answer.get("id")
        if key is None or key in self._predictions:
            place = f"question {len(self._predictions) + 1}"
            problem = "no id" if key is None else f"the id {key}, which another one has"
            raise DataError(f"{place} has {problem}; SQuAD's files need an id for each question")
        self._predictions[key] = answer["answer"]
        self._n_best[key] = [
            {
                "text": each["answer"],
                "probability": each["probability"],
                "start_logit": each["start_logit"],
                "end_logit": each["end_logit"],
            }
            for each in answer["n_best"]
        ]
        if "no_answer_score" in answer:
            self._null_odds[key] = answer["no_answer_score"]

    def write(self) -> list[Path]:
        """Write the files; `null_odds.json` only where questions may have no answer.

        Raises:
            DataError: the folder cannot be written.
        """
        contents: dict[str, Mapping[str, Any]] = {
            "predictions.json": self._predictions,
            "nbest_predictions.json": self._n_best,
        }
        if self._null_odds:
            contents["null_odds.json"] = self._null_odds
        with atomic_folder(self.folder) as folder:
            for name, values in contents.items():
                (folder / name).write_text(json.dumps(values, indent=4) + "\n", encoding="utf-8")
        return [self.folder / name for name in contents]


def check_ids(source: RecordSource) -> None:
    """See that each question of a file has an id, before any of them is answered.

    Raises:
        DataError: one has none, or that of another.
    """
    if source.file("test") is None:
        return  # a stream, which cannot be read twice
    seen: set[str] = set()
    for record in source.read("test"):
        fields = {name.lower(): value for name, value in record.fields.items()}
        key = id_of(fields.get("id"), record.location)
        if key is None or key in seen:
            problem = "no id" if key is None else f"the id {key}, which another one has"
            raise DataError(
                f"{record.location} has {problem}; SQuAD's files need an id for each question"
            )
        seen.add(key)


def score_predictions(
    predictions: str | Path,
    data: str | Path,
    *,
    null_odds: str | Path | None = None,
    null_threshold: float = 1.0,
    layout: Layout | None = None,
    folder: Path | None = None,
    split: str | None = None,
) -> dict[str, float]:
    """The official figures of a file of predictions, in percent; see `squad_figures`.

    Args:
        predictions: JSON, texts by the questions' ids; a question without one counts as wrong.
        data: the questions with their answers: a file, or the name of a data set.
        null_odds: JSON, odds of "no answer" by id.
        null_threshold: odds above it make a prediction "no answer".
        layout: what the user says about `data`, if it is a file.
        folder: where the files of a data set lie; None: they come from the hub.
        split: the part of a data set to read; None: its dev split.

    Raises:
        ConfigError: there is no such data set or split.
        DataError: a file cannot be read, a question has no id or answers, or none is predicted.
    """
    texts = _read_object(Path(predictions), str, "answers' texts")
    odds = None if null_odds is None else _read_object(Path(null_odds), float, "numbers")
    answers: dict[str, list[str]] = {}
    for record in RecordSource(data, layout, folder, split).read("dev"):
        question = question_of(record)
        if question.id is None or question.answers is None:
            missing = "id" if question.id is None else "answers"
            raise DataError(f"{record.location} has no {missing}, so predictions cannot be scored")
        if question.id in answers:
            raise DataError(f"{record.location}: another question has the id {question.id}, too")
        answers[question.id] = [answer.text for answer in question.answers]
    if not answers.keys() & texts.keys():
        raise DataError(
            f"none of the ids in {predictions} is in {data}; give the data that was predicted"
        )
    return squad_figures(texts, answers, null_odds=odds, null_threshold=null_threshold)


def _read_object(path: Path, kind: type, what: str) -> dict[str, Any]:
    """A JSON object of ids and values of this kind."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; give a JSON file of ids and {what}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the file") from None
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is not JSON ({error}); give one object of ids and {what}"
        ) from None
    accepted = (int, float) if kind is float else kind
    if not isinstance(values, dict):
        raise DataError(f"{path} must be one JSON object of ids and {what}")
    for key, value in values.items():
        if not isinstance(value, accepted) or isinstance(value, bool):
            raise DataError(f"{path}: {key} is {value!r}; the values must be {what}")
    return values
