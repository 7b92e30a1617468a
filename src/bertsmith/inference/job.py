"""`Job`: results of a long stream of records in a file, taken up where an interruption left it.

Records are answered in parts of a fixed size, and the file is the parts' results end to end. So
its bytes depend neither on interruptions nor on who answers the parts, this process or others.
Until the last part is there the file is called `NAME.unfinished`, and `NAME.progress` says how
much of it counts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from bertsmith.atomic import flush_to_disk
from bertsmith.data.parallel import OrderedMap, ordered_map
from bertsmith.data.record_parts import RecordPart, RecordParts
from bertsmith.errors import ConfigError, DataError
from bertsmith.inference.job_progress import JobProgress

# Reaching the disk takes some milliseconds each time; a crash loses no more than this, and a part.
SAVE_SECONDS = 1.0


@dataclass(frozen=True)
class PartResult:
    """What there is to write for a part."""

    contents: bytes
    num_truncated: int = 0
    """How many of the records were cut."""


Answer = Callable[[RecordPart], PartResult]


def key_of_unfinished(output: str | Path) -> dict[str, Any]:
    """What an interrupted job was begun with; nothing where there is none.

    Args:
        output: the file that it is to write.

    Raises:
        ConfigError: the output is a folder or a device.
        DataError: what it has left is damaged.
    """
    earlier = JobProgress.load(_progress_file(regular_file(Path(output))))
    return earlier.key if earlier else {}


def regular_file(path: Path) -> Path:
    """Where a link leads, so that it stays one; a folder or a device is no file of results.

    Raises:
        ConfigError: it is one.
    """
    path = path.resolve() if path.is_symlink() or not path.name else path
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is not a regular file; name another")
    return path


def refuse_input(output: str | Path, file: Path | None) -> None:
    """See that a job replaces nothing that it reads: neither by its file nor by those beside it.

    Args:
        output: the file that it is to write.
        file: what it is to read; None where that is no file.

    Raises:
        ConfigError: it would, or the output is a folder or a device.
    """
    output = regular_file(Path(output))
    own = (output, _unfinished_file(output), _progress_file(output), _lock_file(output))
    if file is not None and any(each.exists() and each.samefile(file) for each in own):
        raise ConfigError(
            f"{file} is the input, which the output would replace; name another file than {output}"
        )


def _unfinished_file(output: Path) -> Path:
    return output.with_name(f"{output.name}.unfinished")


def _progress_file(output: Path) -> Path:
    return output.with_name(f"{output.name}.progress")


def _lock_file(output: Path) -> Path:
    return output.with_name(f".{output.name}.lock")


class Job:
    """A file of results, to be made or to be finished; a context, in which the file is this job's.

    Args:
        output: the file; one that is there stays until the new one is whole.
        key: what the results depend on beside the records, by names that errors show.
        header: what the file begins with, of a length that does not depend on the number of
            records that it is given.
        can_continue: whether the records can be read again; if not, an interruption leaves nothing.
        restart: begin anew whatever an interrupted job has left.

    Raises:
        ConfigError: another process has the job, it was begun with another key, or the output is
            a folder or a device.
        DataError: what an interrupted job has left is damaged, or the folder cannot be written.
    """

    def __init__(
        self,
        output: str | Path,
        key: dict[str, Any],
        *,
        header: Callable[[int], bytes] = lambda _: b"",
        can_continue: bool = True,
        restart: bool = False,
    ):
        self.output = regular_file(Path(output))
        self.unfinished = _unfinished_file(self.output)
        self._progress_file = _progress_file(self.output)
        self._header = header
        self.can_continue = can_continue
        self._lock = FileLock(_lock_file(self.output))
        self._restart = restart
        self.progress = JobProgress(key)
        """What is done."""
        self._saved_at = time.monotonic()

    def __enter__(self) -> Job:
        with self._writing():
            self._take()
        try:
            self._take_up()
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if not self.progress.records or not self.can_continue:
            self._progress_file.unlink(missing_ok=True)
            self.unfinished.unlink(missing_ok=True)
        self._give_back()

    def run(
        self,
        records: RecordParts,
        make: Callable[[], Answer],
        *,
        characters: int,
        mapped: OrderedMap = ordered_map,
        workers: int = 1,
        on_progress: Callable[[], None] = lambda: None,
    ) -> int:
        """Answer what is not answered, put the file in place, and return how many records it has.

        Args:
            records: all of them; what is answered is read again, to see that it is the same.
            make: makes what answers a part, in each worker.
            characters: the size of a part.
            mapped: hands the parts to workers.
            workers: how many.
            on_progress: called after each part.

        Raises:
            DataError: a record cannot be read or answered, the records of before are others now,
                or the file cannot be written. The parts that are done stay.
        """
        if self.unfinished.exists() or not self.progress.is_complete:
            self._pass_over(records)
            with self._file() as file:
                parts = records.cut(characters)
                with contextlib.closing(mapped(make, parts, workers)) as results:
                    for part, result in results:
                        self._write(file, part, result)
                        on_progress()
                with self._writing():
                    file.seek(0)
                    file.write(self._header(self.progress.records))
                self.progress = dataclasses.replace(self.progress, is_complete=True)
                self._save(file)
            with self._writing():
                self.unfinished.replace(self.output)
        with self._writing():
            self._progress_file.unlink(missing_ok=True)
            flush_to_disk(self.output.parent)
        return self.progress.records

    def _write(self, file: BinaryIO, part: RecordPart, result: PartResult) -> None:
        with self._writing():
            file.write(result.contents)
        # In one step, between whose halves no signal can come.
        self.progress = dataclasses.replace(
            self.progress,
            records=part.end,
            fingerprint=part.fingerprint,
            bytes_read=part.bytes_read,
            bytes_written=self.progress.bytes_written + len(result.contents),
            num_truncated=self.progress.num_truncated + result.num_truncated,
        )
        if time.monotonic() - self._saved_at >= SAVE_SECONDS:
            self._save(file)
            self._saved_at = time.monotonic()

    def _take(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ConfigError(
                f"another process is writing {self.output}; wait for it or give another file"
            ) from None

    def _give_back(self) -> None:
        # Removed while it is held, so that nothing but the results is left beside them.
        Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()

    def _take_up(self) -> None:
        """What an earlier run has left, where it is of this job."""
        if self._restart:
            self._progress_file.unlink(missing_ok=True)
        earlier = JobProgress.load(self._progress_file)
        if earlier is None:
            return
        advice = "or add --restart to begin anew"
        if not self.can_continue:
            raise ConfigError(
                f"{self.unfinished} is of an interrupted job, and standard input cannot be read "
                f"again; give the file that it was begun with, {advice}"
            )
        for name in {**earlier.key, **self.progress.key}:
            was, now = earlier.key.get(name), self.progress.key.get(name)
            if was != now:
                how = f"{name} {was!r} and it is {now!r} now"
                if name == "model":
                    how = "another model than this one"
                raise ConfigError(
                    f"{self.unfinished} was begun with {how}; use what it was then, {advice}"
                )
        is_named = earlier.is_complete and not self.unfinished.exists()
        file = self.output if is_named else self.unfinished
        size = file.stat().st_size if file.exists() else 0
        if size < earlier.bytes_written:
            raise DataError(
                f"{file} has {size} bytes and {self._progress_file.name} beside it "
                f"tells of {earlier.bytes_written}; put it back, {advice}"
            )
        self.progress = earlier

    def _pass_over(self, records: RecordParts) -> None:
        count = self.progress.records
        if count and records.skip(count) != self.progress.fingerprint:
            raise ConfigError(
                f"{self.unfinished} has results of {count} records, and the input begins with "
                "others now; give the input of then, or add --restart to begin anew"
            )

    @contextlib.contextmanager
    def _file(self) -> Iterator[BinaryIO]:
        """The unfinished file behind what is done; when it is closed all that is done is saved."""
        is_new = not self.progress.records
        with self._writing():
            file = self.unfinished.open("wb" if is_new else "r+b")
        with file:
            with self._writing():
                if is_new:
                    written = file.write(self._header(0))
                    self.progress = dataclasses.replace(self.progress, bytes_written=written)
                file.truncate(self.progress.bytes_written)
                file.seek(self.progress.bytes_written)
            try:
                yield file
            except BaseException:
                # What went wrong is said, not that it cannot be saved: an older state is there.
                with contextlib.suppress(DataError):
                    self._save(file)
                raise

    def _save(self, file: BinaryIO) -> None:
        """Let what is written count; it reaches the disk first."""
        if self.progress.records:
            with self._writing():
                file.flush()
                os.fsync(file.fileno())
            if self.can_continue:
                self.progress.save(self._progress_file)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"{self.output} cannot be written: {error.strerror or error}; make room or choose "
                "another folder, then run the same command again"
            ) from None
