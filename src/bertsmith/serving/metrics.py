"""Figures for Prometheus: requests, how long they take, queues and batches."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_TOKENS = (16, 64, 256, 1024, 2048, 4096, 8192, 16384, 32768, 65536)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The figures of one server; several in one process do not see each other's."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        # They are a series beside each other one, of when it began.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._requests = Counter(
            "bertsmith_requests",
            "Requests that were answered; 499 are those whose client had gone.",
            ["endpoint", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "bertsmith_request_seconds",
            "From the end of a request's headers to the end of its answer.",
            ["endpoint"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._batch_texts = Histogram(
            "bertsmith_batch_texts",
            "Texts or records of a batch.",
            ["model"],
            buckets=_TEXTS,
            registry=registry,
        )
        self._batch_tokens = Histogram(
            "bertsmith_batch_tokens",
            "Tokens of a batch.",
            ["model"],
            buckets=_TOKENS,
            registry=registry,
        )
        self._tokens = Counter(
            "bertsmith_tokens", "Tokens that were computed.", ["model"], registry=registry
        )
        self._queue = Gauge(
            "bertsmith_queue_texts",
            "Texts or records that wait or are being computed.",
            ["model"],
            registry=registry,
        )

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            endpoint: the address as the server knows it, never as a client wrote it, so that
                clients cannot make up series.
            status: of HTTP.
            seconds: how long it took.
        """
        self._requests.labels(endpoint, str(status)).inc()
        self._seconds.labels(endpoint).observe(seconds)

    def batch_observer(self, model: str) -> Callable[[int, int], None]:
        """What is to be told of the batches of a model: texts and tokens."""
        texts, tokens = self._batch_texts.labels(model), self._batch_tokens.labels(model)
        total = self._tokens.labels(model)

        def observe(num_texts: int, num_tokens: int) -> None:
            texts.observe(num_texts)
            tokens.observe(num_tokens)
            total.inc(num_tokens)

        return observe

    def watch_queue(self, model: str, length: Callable[[], int]) -> None:
        """Ask for the length of a model's queue whenever the figures are read."""
        self._queue.labels(model).set_function(length)

    def page(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self.registry)
