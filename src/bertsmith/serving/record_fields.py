"""Which fields of a client's record a model reads, and that a record has no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bertsmith.data.record import Record
from bertsmith.inference.predictor import Predictor
from bertsmith.serving.errors import RequestError, shortened


def record_fields(predictor: Predictor) -> list[str]:
    """The fields of a record: the task's, and the columns that it was trained on."""
    named = predictor.layout.named
    columns = (named[role].split(",") for role in ("text", "pair", "choices") if role in named)
    names = [*predictor.task.field_names, *(each.strip() for x in columns for each in x)]
    return list(dict.fromkeys(names))


def check_fields(records: Sequence[Any], predictor: Predictor, model_name: str) -> None:
    """See that nothing of a record would be left out without a word.

    Args:
        records: as for `Predictor.predict`; those that are no mappings are left to it.
        predictor: what is to read them.
        model_name: what clients call it.

    Raises:
        RequestError: a record has a field that is not read, or none that is (422).
    """
    fields = record_fields(predictor)
    known = {*fields, predictor.layout.named.get("label")}
    listed = ", ".join(fields)
    for number, record in enumerate(records, 1):
        if not isinstance(record, Mapping):
            continue
        for name in record:
            if name not in known and not predictor.task.knows_field(name):
                raise RequestError(
                    422,
                    f"record {number}: {shortened(name)!r} is no field that {model_name} reads; "
                    f"those are {listed}",
                )
        if not predictor.task.without_label(Record(record, "")).fields:
            raise RequestError(
                422,
                f"record {number} has none of the fields that {model_name} reads ({listed}); "
                "give them",
            )
