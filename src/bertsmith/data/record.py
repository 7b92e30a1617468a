"""`Record`: one line of a file of task data, as its fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Record:
    """What a file says about one thing to learn from or to answer."""

    fields: Mapping[str, Any]
    """Columns by name; by number counted from "1" in a file without header."""
    location: str
    """`file:line`, for errors."""
