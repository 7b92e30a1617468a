"""How far an interrupted job has come: one small file beside what it has written."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bertsmith.atomic import write_atomically
from bertsmith.errors import DataError


@dataclass(frozen=True)
class JobProgress:
    """What of a job is done."""

    key: dict[str, Any]
    """What the results depend on beside the records: a job may go on only where it is the same."""
    records: int = 0
    """How many have their results in the file."""
    fingerprint: str = ""
    """Of those records."""
    bytes_read: int = 0
    """Of the input, up to there."""
    bytes_written: int = 0
    """The length of the file; what follows is torn and is cut off."""
    num_truncated: int = 0
    """How many of the records were cut."""
    is_complete: bool = False
    """Whether there is nothing left but to give the file its name."""

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Read it; None where there is none.

        Raises:
            DataError: it is damaged.
        """
        try:
            found = cls(**json.loads(path.read_text(encoding="utf-8")))
            counts = (found.records, found.bytes_read, found.bytes_written, found.num_truncated)
            if not (
                isinstance(found.key, dict)
                and isinstance(found.fingerprint, str)
                and isinstance(found.is_complete, bool)
                # Not `isinstance`, since true and false are integers to it.
                and all(type(count) is int and 0 <= count < 2**63 for count in counts)
            ):
                raise ValueError("its values are not those of a job")
            return found
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise DataError(
                f"{path} is damaged ({error}); add --restart to begin the job anew"
            ) from None

    def save(self, path: Path) -> None:
        """Write it atomically.

        Raises:
            DataError: it cannot be written.
        """
        contents = json.dumps(dataclasses.asdict(self), ensure_ascii=False, indent=1)
        write_atomically(path, [contents.encode()])
