"""Many processes give what one gives, in order, and none is left behind."""

from __future__ import annotations

import functools
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertsmith.data.parallel import ordered_map
from bertsmith.errors import DataError

# What a worker runs must be in a module that it can import.
DOUBLER = """
import os, time
from bertsmith.errors import DataError

class Doubler:
    def __init__(self, slow_every):
        self.slow_every = slow_every

    def __call__(self, item):
        if item == -1:
            raise DataError("-1 is bad")
        if item == -2:
            os._exit(1)
        time.sleep(0.05 * (item % self.slow_every == 0))
        return 2 * item, os.getpid()
"""


@pytest.fixture
def doubler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Any]:
    """Makes a maker of a function that doubles, slowly at some items: results are out of order."""
    (tmp_path / "doubler.py").write_text(DOUBLER)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("doubler")
    monkeypatch.delitem(sys.modules, "doubler")
    monkeypatch.setitem(sys.modules, "doubler", module)
    return lambda slow_every: functools.partial(module.Doubler, slow_every)


def test_results_come_in_order_from_several_processes(doubler):
    results = list(ordered_map(doubler(2), range(40), workers=2))
    assert [(item, double) for item, (double, _) in results] == [(i, 2 * i) for i in range(40)]
    processes = {process for _, (_, process) in results}
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_one_worker_is_this_process(doubler):
    results = list(ordered_map(doubler(3), range(3), workers=1))
    assert results == [(i, (2 * i, os.getpid())) for i in range(3)]


@pytest.mark.parametrize("workers", [1, 2])
def test_items_are_read_no_further_ahead_than_the_workers_need(doubler, workers):
    read = []
    items = (read.append(i) or i for i in range(0, 2000, 100))
    results = ordered_map(doubler(10_000), items, workers)
    next(results)
    assert len(read) <= 2 * workers + 1
    results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_worker_is_raised_here(doubler, workers):
    results = ordered_map(doubler(10_000), [12, -1, 14], workers)
    assert next(results)[1][0] == 24
    with pytest.raises(DataError, match="-1 is bad"):
        next(results)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_before_an_item_that_cannot_be_read_are_given(doubler, workers):
    def items():
        yield from range(6)
        raise DataError("line 7 is broken")

    results = ordered_map(doubler(10_000), items(), workers)
    assert [next(results)[0] for _ in range(6)] == list(range(6))
    with pytest.raises(DataError, match="line 7 is broken"):
        next(results)


def test_a_killed_worker_is_explained(doubler):
    with pytest.raises(DataError, match=r"worker process was killed.*with fewer workers"):
        list(ordered_map(doubler(10_000), [-2, 18], workers=2))


ENDLESS = """
import functools, itertools, sys
from doubler import Doubler
from bertsmith.data.parallel import ordered_map
if __name__ == "__main__":
    for _, (_, process) in ordered_map(functools.partial(Doubler, 1), itertools.count(100), 2):
        print(process, flush=True)
"""


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # A process that ended and that nobody has waited for still has an id.
    status = Path(f"/proc/{process}/status")
    try:
        return not (status.exists() and "State:\tZ" in status.read_text())
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.skipif(os.name == "nt", reason="kills by POSIX signals")
def test_workers_end_when_their_parent_is_killed(doubler, tmp_path):
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        workers = {int(parent.stdout.readline()) for _ in range(8)}
        parent.kill()
    assert len(workers) == 2
    deadline = time.monotonic() + 300
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, workers))


IMPORTING = """
import functools, operator, os, time
from bertsmith.data.parallel import ordered_map
if __name__ == "__mp_main__":  # in a worker
    os.write(1, b"importing\\n")
    time.sleep(1)
if __name__ == "__main__":
    list(ordered_map(functools.partial(functools.partial, operator.neg), range(9), 2))
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_workers_that_still_import_say_nothing_of_ctrl_c(tmp_path: Path) -> None:
    script = tmp_path / "importing.py"
    script.write_text(IMPORTING)
    with subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        assert parent.stdout.readline() == "importing\n"
        os.killpg(parent.pid, signal.SIGINT)
        errors = parent.stderr.read()
    assert errors.count("KeyboardInterrupt") == 1  # the script's own
    assert "multiprocessing/spawn.py" not in errors


def test_a_script_without_a_guard_is_told_so_and_does_not_hang(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import functools, operator\n"
        "from bertsmith.data.parallel import ordered_map\n"
        "make = functools.partial(functools.partial, operator.neg)\n"
        "print(list(ordered_map(make, range(9), 2)))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "must stand under `if __name__ == '__main__':`" in done.stderr.splitlines()[-1]
