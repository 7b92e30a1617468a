"""`--engine ray` makes what one machine makes, byte for byte, and leaves no process behind."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bertsmith.cli.main import main

Capture = pytest.CaptureFixture[str]
WORDS = ["good", "bad", "film", "a", "東", "."]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    draw = random.Random(0)
    lines = (" ".join(draw.choices(WORDS, k=draw.randint(1, 12))) for _ in range(40_000))
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    return path


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}


def start(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bertsmith", *arguments, "--engine", "ray", "--workers", "2"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def descendants(process: int) -> dict[int, str]:
    """The processes below one, and how they call themselves."""
    parents, calls = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text()
            call = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, parent = status.rpartition(")")[2].split()[:2]
        if state != "Z":
            parents[int(folder.name)], calls[int(folder.name)] = int(parent), call
    found: dict[int, str] = {}
    level = {process}
    while level:
        level = {child for child, parent in parents.items() if parent in level}
        found |= {child: calls[child] for child in level}
    return found


def workers(process: subprocess.Popen[str]) -> list[int]:
    """The processes that are at work on an item."""
    found = descendants(process.pid).items()
    return [number for number, call in found if call.startswith("ray::_Worker.work")]


def await_workers(process: subprocess.Popen[str]) -> list[int]:
    while process.poll() is None:
        if found := workers(process):
            return found
        time.sleep(0.01)
    raise AssertionError(process.communicate()[1])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_shards_are_the_same_bytes_although_a_worker_is_killed(
    classifier: Path, tmp_path: Path
) -> None:
    draw = random.Random(0)
    with (tmp_path / "text.txt").open("w") as file:
        for number in range(200_000):
            file.write(" ".join(draw.choices(WORDS, k=draw.randint(3, 20))) + "\n")
            file.write("\n" * (number % 50 == 0))
    asked = ["prepare", str(tmp_path / "text.txt"), "--vocab", str(classifier)]
    asked += ["--shard-wordpieces", "200000", "--output"]
    assert main([*asked, str(tmp_path / "one"), "--workers", "1"]) == 0
    with start([*asked, str(tmp_path / "many")]) as process:
        killed = await_workers(process)[0]
        os.kill(killed, signal.SIGKILL)
        output, error = process.communicate()
    assert process.returncode == 0, error
    assert json.loads(output)["counts"]["documents"] == 4_001
    many = contents(tmp_path / "many")
    assert len(many) > 8
    assert many == contents(tmp_path / "one")


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["predict", "embed"])
def test_results_are_the_same_bytes_although_a_worker_is_killed(
    classifier: Path, texts: Path, tmp_path: Path, verb: str
) -> None:
    asked = [verb, "--model", str(classifier), "--input", str(texts), "--output"]
    assert main([*asked, str(tmp_path / "one")]) == 0
    with start([*asked, str(tmp_path / "many")]) as process:
        os.kill(await_workers(process)[0], signal.SIGKILL)
        output, error = process.communicate()
    assert process.returncode == 0, error
    assert len(output.splitlines()) == (verb == "embed")
    assert (tmp_path / "many").read_bytes() == (tmp_path / "one").read_bytes()


# A cluster of two machines, of which one is taken away when there are some results.
TWO_MACHINES = """
import os, subprocess, sys, time
from pathlib import Path
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
from ray.cluster_utils import Cluster
machine = {"num_cpus": 1, "object_store_memory": 100_000_000}
cluster = Cluster(initialize_head=True, head_node_args={**machine, "include_dashboard": False})
second = cluster.add_node(**machine)
arguments = sys.argv[1:]
unfinished = Path(arguments[-1] + ".unfinished")
process = subprocess.Popen(
    [sys.executable, "-m", "bertsmith", *arguments, "--engine", "ray"],
    env={**os.environ, "RAY_ADDRESS": cluster.address},
)
while process.poll() is None and not (unfinished.exists() and unfinished.stat().st_size > 10_000):
    time.sleep(0.02)
was_at_work = process.poll() is None
cluster.remove_node(second, allow_graceful=False)
status = process.wait()
cluster.shutdown()
sys.exit(status or not was_at_work)
"""


@pytest.mark.slow
def test_results_are_the_same_bytes_although_a_machine_is_lost(
    classifier: Path, texts: Path, tmp_path: Path
) -> None:
    asked = ["predict", "--model", str(classifier), "--input", str(texts), "--output"]
    assert main([*asked, str(tmp_path / "one")]) == 0
    call = [sys.executable, "-c", TWO_MACHINES, *asked, str(tmp_path / "many")]
    done = subprocess.run(call, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "many").read_bytes() == (tmp_path / "one").read_bytes()


@pytest.mark.slow
def test_what_a_cluster_has_begun_one_process_goes_on_with(
    classifier: Path, texts: Path, tmp_path: Path, capsys: Capture
) -> None:
    asked = ["predict", "--model", str(classifier), "--input", str(texts), "--output"]
    assert main([*asked, str(tmp_path / "one")]) == 0
    texts.write_text(texts.read_text() + "{")
    with start([*asked, str(tmp_path / "many")]) as process:
        error = process.communicate()[1]
    assert process.returncode == 2
    assert "texts.jsonl:40001: the line is not JSON" in error.splitlines()[-1]
    texts.write_text(texts.read_text().removesuffix("{"))
    capsys.readouterr()
    assert main([*asked, str(tmp_path / "many")]) == 0
    assert "going on after the" in capsys.readouterr().err
    assert (tmp_path / "many").read_bytes() == (tmp_path / "one").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_is_left_when_the_program_is_killed(
    classifier: Path, texts: Path, tmp_path: Path, kill: signal.Signals
) -> None:
    asked = ["embed", "--model", str(classifier), "--input", str(texts), "--output"]
    with start([*asked, str(tmp_path / "x.npy")]) as process:
        await_workers(process)
        below = descendants(process.pid)
        process.send_signal(kill)
        process.communicate()
    assert any("raylet" in call for call in below.values())
    assert process.returncode in (-kill, 128 + kill)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and any(Path(f"/proc/{each}").exists() for each in below):
        time.sleep(0.1)
    assert [call for each, call in below.items() if Path(f"/proc/{each}").exists()] == []


@pytest.mark.parametrize("verb", ["prepare", "predict", "embed"])
@pytest.mark.parametrize("missing", [False, True])
def test_no_cluster_is_one_sentence(
    classifier: Path,
    texts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    verb: str,
    missing: bool,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    message = "RAY_ADDRESS (127.0.0.1:9) cannot be reached: Connection refused; start the cluster"
    if missing:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        message = "--engine ray needs the package ray; `pip install 'bertsmith[ray]'`"
    model = ["--model", str(classifier), "--input", str(texts)]
    asked = [str(texts), "--vocab", str(classifier)] if verb == "prepare" else model
    assert main([verb, *asked, "--output", str(tmp_path / "out"), "--engine", "ray"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"bertsmith: {message}")
    assert not (tmp_path / "out").exists()
