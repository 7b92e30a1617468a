"""Tiny models of several tasks behind the application, and clients that ask it."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.inference import conftest as inference

from bertsmith.export.model_folder import load_model
from bertsmith.inference.embedder import Embedder
from bertsmith.serving.app import build_app
from bertsmith.serving.limits import Limits
from bertsmith.serving.metrics import Metrics
from bertsmith.serving.served_model import ServedModel
from bertsmith.tasks.registry import build_task

PIECES = [*inference.PIECES, "東"]

TASKS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "classes": [("sequence_classification", {"labels": ["neg", "pos"]})],
    "score": [("sequence_regression", {})],
    "tags": [("token_classification", {"labels": ["O", "B-LOC", "I-LOC"]})],
    "answers": [("question_answering", {"has_unanswerable": True, "doc_stride": 4})],
    "choices": [("multiple_choice", {})],
    "base": [("masked_lm", {}), ("next_sentence", {})],
}

Client = httpx2.AsyncClient
Serve = Callable[..., Any]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model folder for each of `TASKS`."""
    root = tmp_path_factory.mktemp("served")
    for name, tasks in TASKS.items():
        built = [build_task(task, **settings) for task, settings in tasks]
        inference.save(root / name, built, pieces=PIECES, positions=24)
    return {name: root / name for name in TASKS}


@pytest.fixture
def serve(folders: dict[str, Path]) -> Serve:
    """`async with serve("base", ...) as client`, which ends with the models' threads."""

    @asynccontextmanager
    async def serving(
        *names: str,
        limits: Limits | None = None,
        batch_tokens: int | None = None,
        max_wait_seconds: float = 0.002,
        more: Mapping[str, Path] | None = None,
        **settings: Any,
    ) -> AsyncIterator[Client]:
        limits, metrics = limits or Limits(), Metrics()
        models = [
            ServedModel(
                name,
                load_model({**folders, **(more or {})}[name]),
                limits=limits,
                metrics=metrics,
                batch_tokens=batch_tokens,
                max_wait_seconds=max_wait_seconds,
            )
            for name in names
        ]
        app = build_app(models, limits, metrics, **settings)
        transport = httpx2.ASGITransport(app)
        async with Client(transport=transport, base_url="http://served") as client:
            yield client
        for model in models:
            model.close()

    return serving


class Gate:
    """Holds up the computing of vectors until it is opened, and counts the texts."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered = threading.Event()
        self.batches: list[int] = []

    def wait(self, examples: list[Any]) -> None:
        self.entered.set()
        assert self.opened.wait(20)
        self.batches.append(len(examples))


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    pooled = Embedder.pooled

    def gated(self: Embedder, examples: list[Any]) -> Any:
        gate.wait(examples)
        return pooled(self, examples)

    monkeypatch.setattr(Embedder, "pooled", gated)
    yield gate
    gate.opened.set()


class Running:
    """A server in a process of its own, on a free port."""

    def __init__(self, *arguments: str, before: Sequence[str] = ()) -> None:
        command = [*before, sys.executable, "-m", "bertsmith", "serve", "--port", "0", *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        self.first = self.process.stderr.readline()
        found = re.search(r" at (http://127\.0\.0\.1:\d+)$", self.first)
        assert found, self.first + self.process.stderr.read()
        self.url = found[1]
        self.next = self.process.stderr.readline()
        if self.next.startswith("precision: "):  # where PyTorch computes
            self.next = self.process.stderr.readline()

    def ended(self) -> tuple[int, str, str]:
        """Exit status, and what else was printed."""
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@contextlib.contextmanager
def running(*arguments: str, before: Sequence[str] = ()) -> Iterator[Running]:
    """A server, by a command that `before` it sets its limits."""
    server = Running(*arguments, before=before)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate()


def error_of(answer: httpx2.Response) -> str:
    """The sentence of an error, whose body is in the one shape that there is."""
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    message = body["error"]["message"]
    assert isinstance(message, str)
    assert message
    assert "\n" not in message
    assert "Traceback" not in message
    return message
