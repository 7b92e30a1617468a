"""Answers to GLUE's test sets as gluebenchmark.com takes them: a table of index and prediction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bertsmith.atomic import write_atomically
from bertsmith.data.record import Record
from bertsmith.data.record_source import RecordSource
from bertsmith.errors import ConfigError
from bertsmith.inference.predictor import Predictor

# What the rows of test files, and of the hub, are numbered by.
_INDICES = ("index", "id", "idx")


def write_glue_submission(
    predictor: Predictor, source: RecordSource, folder: str | Path
) -> dict[Path, int]:
    """Answer a task's test set, or for MNLI both, each in a file with the name that GLUE wants.

    Args:
        predictor: with a model of the task.
        source: a task of GLUE.
        folder: where the files go; it is made.

    Returns:
        The files, and how many answers each has.

    Raises:
        ConfigError: the source is no task of GLUE, or the model is one of another task.
        DataError: a test set cannot be read, or the folder cannot be written.
    """
    files = submission_files(source)
    _check_model(predictor, source)
    counts: dict[Path, int] = {}
    for split, name in files.items():
        lines = ["index\tprediction"]
        lines += _rows(predictor, source, split)
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, ["".join(f"{line}\n" for line in lines).encode()])
        counts[path] = len(lines) - 1
    return counts


def submission_files(source: RecordSource) -> Mapping[str, str]:
    """The splits to answer, and the name of the file for each.

    Raises:
        ConfigError: GLUE takes no answers for the source.
    """
    files = {} if source.named is None else source.named.submissions
    if source.split is not None:
        files = {split: name for split, name in files.items() if split == source.split}
    if not files:
        split = "" if source.split is None else f", split {source.split}"
        raise ConfigError(
            f"GLUE takes no answers for {source.where}{split}; give the test split of one of its "
            "tasks, such as --input glue:mrpc"
        )
    return files


def _check_model(predictor: Predictor, source: RecordSource) -> None:
    named, task = source.named, predictor.task
    assert named is not None  # noqa: S101 - it has submissions
    if task.name != named.task:
        raise ConfigError(
            f"the model's task is {task.name} and that of {source.where} {named.task}; give a "
            "model that has learned it"
        )
    labels, wanted = task.settings().get("labels", []), named.settings.get("labels", [])
    if set(labels) != set(wanted):
        raise ConfigError(
            f"the model's labels ({', '.join(labels)}) are not those of {source.where} "
            f"({', '.join(wanted)}); give a model that has learned it"
        )


def _rows(predictor: Predictor, source: RecordSource, split: str) -> Iterator[str]:
    indices: list[Any] = []

    def numbered() -> Iterator[Record]:
        for number, record in enumerate(source.read(split)):
            named = (record.fields[name] for name in _INDICES if name in record.fields)
            indices.append(next(named, number))
            yield record

    for number, answer in enumerate(predictor.predict(numbered())):
        yield f"{indices[number]}\t{_prediction(answer)}"


def _prediction(answer: Mapping[str, Any]) -> str:
    """The label, or the score of STS-B, which goes from 0 to 5."""
    if "score" in answer:
        return f"{min(5.0, max(0.0, answer['score'])):.3f}"
    return str(answer["label"])
