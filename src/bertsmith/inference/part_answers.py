"""What answers a part of a job's records: a predictor in lines, an embedder in rows of an array."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bertsmith.data.record_parts import RecordPart
from bertsmith.errors import CheckpointError
from bertsmith.export.model_fingerprint import model_fingerprint
from bertsmith.inference.embedder import Embedder
from bertsmith.inference.job import PartResult
from bertsmith.inference.predictor import Predictor


class PredictPart:
    """Answers as lines.

    Args:
        predictor: what answers.
        form: one of `FORMS`.
    """

    def __init__(self, predictor: Predictor, form: str):
        self._predictor = predictor
        self._written = FORMS[form]

    def __call__(self, part: RecordPart) -> PartResult:
        """The answers to a part's records.

        Raises:
            DataError: a record is none of the task's.
        """
        before = self._predictor.num_truncated
        answers = self._predictor.predict(part.records)
        contents = "".join(f"{self._written(answer)}\n" for answer in answers)
        return PartResult(contents.encode(), self._predictor.num_truncated - before)


class EmbedPart:
    """Vectors as the rows of an array of float32, without its header.

    Args:
        embedder: what makes them.
    """

    def __init__(self, embedder: Embedder):
        self._embedder = embedder

    def __call__(self, part: RecordPart) -> PartResult:
        """The vectors of a part's records.

        Raises:
            DataError: a record has no text.
        """
        rows = self._embedder.vectors(part.records)
        return PartResult(b"".join(np.asarray(row, "<f4").tobytes() for row in rows))


def _json(answer: dict[str, Any]) -> str:
    return json.dumps(answer, ensure_ascii=False)


def _conll(answer: dict[str, Any]) -> str:
    """The lines of a sentence; the line end that follows an answer makes the blank one."""
    words = zip(answer["tokens"], answer["tags"], strict=True)
    return "".join(f"{word}\t{tag}\n" for word, tag in words)


FORMS: Mapping[str, Callable[[dict[str, Any]], str]] = {"jsonl": _json, "conll": _conll}
"""How an answer is written: an object, or a word, a tab and its tag a line."""


def open_predict_part(
    model: str, fingerprint: str, device: str, precision: str, form: str
) -> PredictPart:
    """The same, of a model that is opened where this is called, by a worker on any machine.

    Args:
        model: a model folder's path on that machine.
        fingerprint: what `model_fingerprint` has to say of it.
        device: where to compute.
        precision: as for `Predictor.load`.
        form: one of `FORMS`.

    Raises:
        CheckpointError: it is another model there, or none.
    """
    _check_same(model, fingerprint)
    return PredictPart(Predictor.load(model, device=device, precision=precision), form)


def open_embed_part(
    model: str, fingerprint: str, device: str, settings: Mapping[str, Any]
) -> EmbedPart:
    """As `open_predict_part`, for vectors; `settings` are those of `Embedder.load`."""
    _check_same(model, fingerprint)
    return EmbedPart(Embedder.load(model, device=device, **settings))


def _check_same(model: str, fingerprint: str) -> None:
    if model_fingerprint(model) != fingerprint:
        raise CheckpointError(
            f"{model} on {platform.node()} is not the model that it is where the job was started; "
            "put the same folder at the same path of every machine"
        )
