"""metrics.jsonl: one JSON object a line, which stays readable whenever the run is cut off.

Each line has `split` ("train" or "eval"), `step`, `tokens`, `elapsed_seconds` and figures such as
`masked_lm_loss`. A figure that is no finite number is null.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertsmith.errors import DataError


def metrics_line(values: Mapping[str, Any]) -> str:
    """One line, its end included; JSON knows no NaN and no infinity, so they become null."""
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }
    return json.dumps(finite, allow_nan=False) + "\n"


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """All lines of a metrics.jsonl; a last line that was cut off in writing is passed over.

    Raises:
        DataError: when the file cannot be read, or another line is not what it should be.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); it is the metrics.jsonl of a run"
        ) from None
    records = []
    for number, line in enumerate(lines, 1):
        record = _parse(line)
        if record is not None:
            records.append(record)
        elif line and number < len(lines):
            raise DataError(
                f"{path}:{number}: not a JSON object with a step and a split; delete the line"
            )
    return records


def drop_after(path: Path, step: int) -> list[dict[str, Any]]:
    """Cut a metrics.jsonl back to a step, so that a resumed run does not write lines twice.

    A half-written last line goes too. The new file takes the old one's place by one rename.

    Args:
        path: the file; it need not exist.
        step: the last one whose lines stay; with 0 none stays.

    Returns:
        what stays.
    """
    if not path.exists():
        return []
    kept = [record for record in read_metrics(path) if step > 0 and record["step"] <= step]
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.writelines(metrics_line(record) for record in kept)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return kept


def _parse(line: bytes) -> dict[str, Any] | None:
    """The record, or None where the line is none."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    well_formed = (
        isinstance(record, dict)
        and isinstance(record.get("step"), int)
        and record.get("split") in ("train", "eval")
    )
    return record if well_formed else None
