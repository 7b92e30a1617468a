"""A job that is killed at any moment and begun again leaves the bytes of one that was not."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertsmith.atomic import write_atomically
from bertsmith.data.record import Record
from bertsmith.data.record_parts import RecordPart, RecordParts
from bertsmith.errors import ConfigError, DataError
from bertsmith.inference import job as job_module
from bertsmith.inference.job import Job, PartResult
from bertsmith.inference.vector_file import header

KEY = {"verb": "predict", "model": "0" * 64, "device": "cpu"}


@pytest.mark.parametrize("name", ["", "folder"])
def test_a_folder_is_no_file_of_results(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="is a folder; name a file in it"):
        Job(tmp_path / name, {})
    with pytest.raises(ConfigError, match="is a folder; name a file in it"):
        Job("/", {})


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is not a regular file; name another"):
        Job(tmp_path / "pipe", {})
    with pytest.raises(DataError, match="is not a regular file; choose another name"):
        write_atomically(tmp_path / "pipe", [b"x"])
    assert (tmp_path / "pipe").is_fifo()


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link, file = tmp_path / "link", tmp_path / "there" / "answers"
    link.symlink_to(file)
    assert Job(link, {}).output == file
    write_atomically(link, [b"x"])
    assert link.is_symlink()
    assert file.read_bytes() == b"x"


def records(count: int, *, bad: int = -1, prefix: str = "text") -> Iterator[Record]:
    for number in range(count):
        if number == bad:
            raise DataError(f"a.txt:{number + 1}: the record is bad")
        yield Record({"text": f"{prefix} {number}"}, "")


def answer(part: RecordPart) -> PartResult:
    """Lines longer than a file's buffer, so that torn ones reach the disk."""
    lines = [f"{record.fields['text']} {'x' * 9000}\n" for record in part.records]
    return PartResult("".join(lines).encode(), num_truncated=len(lines))


def run(output: Path, stream: Iterator[Record], key: dict[str, Any] = KEY, **settings: Any) -> Job:
    job = Job(output, key, **settings)
    with job:
        job.run(RecordParts(stream, lambda: 0), lambda: answer, characters=100)
    return job


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    """The output of a job that stopped at a record that could not be read."""
    output = tmp_path / "a.jsonl"
    with pytest.raises(DataError, match="the record is bad"):
        run(output, records(30, bad=14))
    assert names(tmp_path) == {"a.jsonl.unfinished", "a.jsonl.progress"}
    return output


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    output = tmp_path_factory.mktemp("whole") / "a.jsonl"
    assert run(output, records(30)).progress.records == 30
    assert names(output.parent) == {"a.jsonl"}
    return output.read_bytes()


def test_the_results_are_in_the_file_in_order(whole: bytes) -> None:
    assert [line.split()[1] for line in whole.decode().splitlines()] == [str(i) for i in range(30)]


def test_a_mended_input_goes_on_where_it_was_bad(interrupted: Path, whole: bytes) -> None:
    answered = []

    def counting(part: RecordPart) -> PartResult:
        answered.extend(part.records)
        return answer(part)

    job = Job(interrupted, KEY)
    with job:
        job.run(RecordParts(records(30), lambda: 0), lambda: counting, characters=100)
    assert interrupted.read_bytes() == whole
    assert 16 <= len(answered) < 30
    assert job.progress.num_truncated == 30
    assert names(interrupted.parent) == {"a.jsonl"}


def test_what_is_torn_is_cut_off(interrupted: Path, whole: bytes) -> None:
    with interrupted.with_name("a.jsonl.unfinished").open("ab") as file:
        file.write(b"text 14 xxx")
    run(interrupted, records(30))
    assert interrupted.read_bytes() == whole


@pytest.mark.parametrize(
    ("key", "stream", "message"),
    [
        ({"model": "1" * 64}, records(30), "was begun with another model than this one; use what"),
        ({"device": "cuda"}, records(30), "was begun with device 'cpu' and it is 'cuda' now; use"),
        ({"--layer": 1}, records(30), "was begun with --layer None and it is 1 now; use what it"),
        ({}, records(30, prefix="other"), "has results of 12 records, and the input begins with o"),
        ({}, records(5), "has results of 12 records, and the input begins with others now; give"),
    ],
)
def test_another_job_is_refused_and_nothing_is_lost(
    interrupted: Path, whole: bytes, key: dict[str, Any], stream: Iterator[Record], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        run(interrupted, stream, KEY | key)
    assert message in str(error.value)
    assert str(error.value).endswith("--restart to begin anew")
    run(interrupted, records(30))
    assert interrupted.read_bytes() == whole


def test_restart_begins_anew(interrupted: Path) -> None:
    run(interrupted, records(3, prefix="other"), KEY | {"device": "cuda"}, restart=True)
    assert len(interrupted.read_text().splitlines()) == 3
    assert names(interrupted.parent) == {"a.jsonl"}


def test_records_that_cannot_be_read_again_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the record is bad"):
        run(tmp_path / "a.jsonl", records(30, bad=14), can_continue=False)
    assert names(tmp_path) == set()


def test_records_that_cannot_be_read_again_continue_nothing(interrupted: Path) -> None:
    before = names(interrupted.parent)
    with pytest.raises(ConfigError, match="standard input cannot be read again; give the file"):
        run(interrupted, records(30), can_continue=False)
    assert names(interrupted.parent) == before


@pytest.mark.parametrize("contents", [None, b"x"])
def test_a_file_that_lacks_results_is_refused(interrupted: Path, contents: bytes | None) -> None:
    unfinished = interrupted.with_name("a.jsonl.unfinished")
    unfinished.unlink()
    if contents is not None:
        unfinished.write_bytes(contents)
    with pytest.raises(
        DataError, match=r"has [01] bytes and a.jsonl.progress beside it tells of 1"
    ):
        run(interrupted, records(30))


@pytest.mark.parametrize(
    "contents", ["", "[]", "{}", '{"key": {}, "more": 2}', '{"key": 1}', '{"key']
)
def test_damaged_progress_is_refused(interrupted: Path, contents: str) -> None:
    interrupted.with_name("a.jsonl.progress").write_text(contents)
    with pytest.raises(DataError, match=r"a.jsonl.progress is damaged .* add --restart to begin"):
        run(interrupted, records(30))


@pytest.mark.parametrize("value", [-5, 1.5, True, "3", None, 2**63])
@pytest.mark.parametrize("name", ["records", "bytes_read", "bytes_written", "num_truncated"])
def test_progress_that_counts_nothing_is_refused(
    interrupted: Path, name: str, value: object
) -> None:
    file = interrupted.with_name("a.jsonl.progress")
    file.write_text(json.dumps(json.loads(file.read_text()) | {name: value}))
    with pytest.raises(DataError, match=r"a.jsonl.progress is damaged .* add --restart to begin"):
        run(interrupted, records(30))


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    with (
        Job(tmp_path / "a.jsonl", KEY),
        pytest.raises(ConfigError, match=r"another process is writing .*a.jsonl; wait for it or"),
    ):
        run(tmp_path / "a.jsonl", records(3))


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    output = tmp_path / "a.jsonl"
    output.write_text("old")
    with pytest.raises(DataError, match="bad"):
        run(output, records(30, bad=29))
    assert output.read_text() == "old"
    run(output, records(30))
    assert len(output.read_text().splitlines()) == 30


def test_a_full_disk_is_one_sentence_and_what_is_done_stays(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    output = tmp_path / "out" / "a.jsonl"
    output.parent.mkdir()

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000))

    done = subprocess.run(
        [sys.executable, script, output, "0"],
        capture_output=True,
        text=True,
        preexec_fn=small_files,
        check=False,
    )
    assert "a.jsonl cannot be written: File too large; make room" in done.stderr.splitlines()[-1]
    assert json.loads(output.with_name("a.jsonl.progress").read_text())["records"] == 12
    run(output, records(30))
    assert output.read_bytes() == whole


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be written: .*; make room or choose another"):
        run(tmp_path / "file" / "a.jsonl", records(3))


# Dies at a certain one of all the calls that change something on the disk or answer a part.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from bertsmith.inference import job as job_module
sys.path.insert(0, str(Path(job_module.__file__).parents[3] / "tests" / "inference"))
import test_job

calls = 0

def dying(function):
    def called(*args, **settings):
        global calls
        calls += 1
        if calls == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **settings)
    return called

for name in ("fsync", "replace", "unlink", "truncate"):
    setattr(os, name, dying(getattr(os, name)))
test_job.answer = dying(test_job.answer)
job_module.SAVE_SECONDS = 0
test_job.run(Path(sys.argv[1]), test_job.records(30))
print(calls)
"""


def test_a_job_that_is_killed_at_any_moment_goes_on_to_the_same_bytes(
    tmp_path: Path, whole: bytes
) -> None:
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)

    def run_script(output: Path, moment: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, script, output, str(moment)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    output = tmp_path / "uninterrupted"
    moments = int(run_script(output, 0).stdout)
    assert output.read_bytes() == whole
    assert moments > 30
    # Each of them from a fresh beginning, and all of them one after the other.
    chained = tmp_path / "chained"
    for moment in [*range(1, moments - 6, 6), *range(moments - 6, moments + 1)]:
        output = tmp_path / f"killed-{moment}"
        assert run_script(output, moment).returncode == -signal.SIGKILL
        run_script(chained, moment % 7 + 4)
        assert not output.exists() or output.read_bytes() == whole
        with contextlib.suppress(FileNotFoundError):
            assert whole.startswith(output.with_name(f"{output.name}.unfinished").read_bytes())
        run(output, records(30))
        assert output.read_bytes() == whole
    run(chained, records(30))
    assert chained.read_bytes() == whole


def test_an_array_has_its_rows_in_its_header(tmp_path: Path) -> None:
    output = tmp_path / "a.npy"

    def rows(part: RecordPart) -> PartResult:
        found = [[len(str(record.fields["text"])), part.end] for record in part.records]
        return PartResult(np.array(found, "<f4").tobytes())

    for bad in (14, -1):
        job = Job(output, KEY, header=lambda count: header(count, 2))
        with contextlib.suppress(DataError), job:
            job.run(RecordParts(records(30, bad=bad), lambda: 0), lambda: rows, characters=100)
    found = np.load(output, mmap_mode="r")
    assert (found.shape, found.dtype) == ((30, 2), np.float32)
    assert found[:, 0].tolist() == [6] * 10 + [7] * 20
    assert len(header(0, 2)) == len(header(2**60, 2))


def test_progress_is_told_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "SAVE_SECONDS", 0)
    seen = []
    with Job(tmp_path / "a.jsonl", KEY) as job:
        parts = RecordParts(records(10), lambda: 7)
        job.run(
            parts,
            lambda: answer,
            characters=100,
            on_progress=lambda: seen.append((job.progress.records, job.progress.bytes_read)),
        )
    assert seen == [(3, 7), (6, 7), (9, 7), (10, 7)]
    assert names(tmp_path) == {"a.jsonl"}


# Such a signal may come between the opening of a file and what closes it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_between_any_two_lines_loses_nothing(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM and Ctrl-C raise an exception wherever the program is."""
    monkeypatch.setattr(job_module, "SAVE_SECONDS", 0)
    count = limit = 0

    def at_line(frame: Any, event: str, _: object) -> Any:
        nonlocal count
        count += event == "line"
        if count == limit and event == "line":
            raise KeyboardInterrupt
        return at_line

    def at_call(frame: Any, event: str, _: object) -> Any:
        return at_line if frame.f_code.co_filename == job_module.__file__ else None

    def traced(output: Path) -> None:
        previous = sys.gettrace()
        sys.settrace(at_call)
        try:
            run(output, records(30))
        finally:
            sys.settrace(previous)

    traced(tmp_path / "uninterrupted")
    num_lines = count
    assert num_lines > 200
    for limit in range(1, num_lines, 9):
        count, output = 0, tmp_path / str(limit)
        with pytest.raises(KeyboardInterrupt):
            traced(output)
        run(output, records(30))
        assert output.read_bytes() == whole
        output.unlink()
