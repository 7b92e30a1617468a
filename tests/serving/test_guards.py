"""Limits, keys and origins; queues that are full, clients that go, models that fail."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.serving.conftest import Gate, Serve, error_of

from bertsmith.errors import ConfigError
from bertsmith.inference.embedder import Embedder
from bertsmith.serving.batching import Batcher
from bertsmith.serving.limits import Limits
from bertsmith.text.encoding import Encoding
from bertsmith.text.tokenizer import Tokenizer

pytestmark = pytest.mark.anyio

ASKED = "/v1/embeddings"


async def entered(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.entered.wait, 20)


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_that_is_too_large_is_refused(is_chunked: bool, serve: Serve) -> None:
    body = b'{"input": "' + b"a" * 2000 + b'"}'

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    content = parts() if is_chunked else body
    headers = {"Content-Type": "application/json"}
    async with serve("base", limits=Limits(max_body_bytes=1000)) as client:
        answer = await client.post(ASKED, content=content, headers=headers)
        small = await client.post(ASKED, json={"input": "a" * 900})
    assert answer.status_code == 413
    assert error_of(answer) == (
        "the body is larger than the 1,000 bytes that are read; send the texts in several requests"
    )
    assert small.status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (ASKED, {"input": ["a"] * 5}, "the request has 5 texts and at most 4 are taken at once"),
        (ASKED, {"input": ["a", "b" * 201]}, "text 2 has 201 characters and at most 200 are read"),
        ("/v1/predict", {"records": ["a"] * 5}, "the request has 5 records and at most 4 are"),
        ("/v1/predict", {"records": [["a" * 150, "b" * 51]]}, "record 1 has 201 characters and"),
        ("/v1/predict", {"records": [{"text": "a" * 197}]}, "record 1 has 201 characters and"),
        ("/v1/tokenize", {"input": [["a" * 150, "b" * 51]]}, "text 1 has 201 characters and at"),
    ],
)
async def test_too_many_and_too_long_texts_are_refused(
    path: str, body: dict[str, Any], message: str, serve: Serve
) -> None:
    async with serve("classes", limits=Limits(max_texts=4, max_characters=200)) as client:
        answer = await client.post(path, json=body)
    assert answer.status_code == 422
    assert error_of(answer).startswith(message)


async def test_a_record_of_too_many_sequences_is_refused(serve: Serve) -> None:
    async with serve("choices", limits=Limits(max_tokens=100)) as client:
        answer = await client.post("/v1/predict", json={"records": [["a " * 9, ["b"] * 20]]})
    assert answer.status_code == 422
    assert error_of(answer).startswith("record 1 would be read as 260 tokens, in all its windows")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_texts": 0}, r"max_texts \(0\) must be above 0"),
        ({"timeout_seconds": -1.0}, r"timeout_seconds \(-1.0\) must be above 0"),
        ({"timeout_seconds": math.inf}, r"timeout_seconds \(inf\) must be above 0 and finite"),
        ({"grace_seconds": math.nan}, r"grace_seconds \(nan\) must be above 0 and finite"),
        ({"max_queue": 9, "max_texts": 10}, r"max_queue \(9\) must be at least max_texts \(10\)"),
    ],
)
def test_limits_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Limits(**settings)


async def test_a_full_queue_says_when_to_come_again(serve: Serve, gate: Gate) -> None:
    async with serve("base", limits=Limits(max_queue=3, max_texts=3)) as client:
        waiting = asyncio.ensure_future(client.post(ASKED, json={"input": ["a", "b"]}))
        await entered(gate)
        refused = await client.post(ASKED, json={"input": ["c", "d"]})
        fitting = asyncio.ensure_future(client.post(ASKED, json={"input": "c"}))
        queue = (await client.get("/metrics")).text
        gate.opened.set()
        assert (await waiting).status_code == (await fitting).status_code == 200
        after = await client.post(ASKED, json={"input": ["c", "d", "e"]})
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1"
    assert error_of(refused) == "the queue of base is full; try again in 1 s"
    assert 'bertsmith_queue_texts{model="base"} 2.0' in queue.splitlines()
    assert after.status_code == 200


async def test_a_request_that_takes_too_long_is_given_up(serve: Serve, gate: Gate) -> None:
    async with serve("base", limits=Limits(timeout_seconds=2)) as client:
        first = asyncio.ensure_future(client.post(ASKED, json={"input": "a"}))
        await entered(gate)
        second = await client.post(ASKED, json={"input": "b"})
        assert (await first).status_code == second.status_code == 504
        assert error_of(second).startswith("there was no answer in the time that a request has")
        gate.opened.set()
        assert (await client.post(ASKED, json={"input": "c"})).status_code == 200
    assert sum(gate.batches) == 2  # the second text was never computed


async def test_a_body_that_does_not_arrive_is_given_up(serve: Serve) -> None:
    async def halting() -> AsyncIterator[bytes]:
        yield b'{"input": '
        await asyncio.sleep(5)
        yield b'"a"}'

    async with serve("base", limits=Limits(timeout_seconds=0.2)) as client:
        answer = await client.post(ASKED, content=halting())
    assert answer.status_code == 408
    assert error_of(answer).startswith("the body did not arrive within 0.2 s")


async def test_the_work_of_a_client_that_has_gone_is_dropped(serve: Serve, gate: Gate) -> None:
    async with serve("base", batch_tokens=3, max_wait_seconds=0) as client:
        app = client._transport.app
        first = asyncio.ensure_future(client.post(ASKED, json={"input": "a"}))
        await entered(gate)
        body = b'{"input": ["b", "c", "d"]}'
        messages = [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]
        sent: list[Any] = []

        async def receive() -> Any:
            await asyncio.sleep(0.2)  # until its work is in the queue
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": ASKED,
            "headers": [(b"content-type", b"application/json")],
            "query_string": b"",
            "client": None,
        }
        await app(scope, receive, send)
        gate.opened.set()
        assert (await first).status_code == 200
        assert (await client.post(ASKED, json={"input": "e"})).status_code == 200
        figures = (await client.get("/metrics")).text
    assert sent[0]["status"] == 499
    assert gate.batches == [1, 1]
    assert f'bertsmith_requests_total{{endpoint="{ASKED}",status="499"}} 1.0' in figures
    assert 'bertsmith_queue_texts{model="base"} 0.0' in figures


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors cannot be computed of batches with the word "bad"."""
    pooled = Embedder.pooled

    def failing(self: Embedder, examples: list[Any]) -> Any:
        bad = self.tokenizer.vocabulary.id_of("bad")
        if any(bad in example.input_ids for example in examples):
            raise RuntimeError("/home/somebody/kernel.cpp: device-side assert")
        return pooled(self, examples)

    monkeypatch.setattr(Embedder, "pooled", failing)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_model_whose_thread_has_ended_says_so(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("no more threads")

    monkeypatch.setattr("bertsmith.serving.computing.Computing.begin", fail)
    async with serve("base", "classes", limits=Limits(timeout_seconds=0.5)) as client:
        assert (await client.get("/health/ready")).status_code == 200
        body = {"model": "base", "input": "a"}
        assert (await client.post(ASKED, json=body)).status_code == 504
        for answer in (
            await client.post(ASKED, json=body),
            await client.post("/v1/tokenize", json=body),
            await client.get("/health/ready"),
            await client.get("/health/live"),
        ):
            assert answer.status_code == 503
            assert error_of(answer) == (
                "base cannot be asked any more; ask another server, and have this one restarted"
            )
        other = await client.post("/v1/tokenize", json={"model": "classes", "input": "a"})
        assert other.status_code == 200


async def test_the_models_end_with_the_application(serve: Serve) -> None:
    async with serve("base") as client:
        app = client._transport.app
        async with app.router.lifespan_context(app):
            assert (await client.post(ASKED, json={"input": "a"})).status_code == 200
        assert (await client.post(ASKED, json={"input": "a"})).status_code == 503


@pytest.mark.usefixtures("broken")
async def test_a_text_that_breaks_the_model_fails_alone(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    texts = ["a", "good", "bad film", "film", "the bad", "paris"]
    with caplog.at_level(logging.ERROR):
        async with serve("base", "classes", max_wait_seconds=0.1) as client:
            answers = await asyncio.gather(
                *(client.post(ASKED, json={"model": "base", "input": text}) for text in texts)
            )
            mixed = await client.post(ASKED, json={"model": "base", "input": texts})
            other = await client.post("/v1/predict", json={"model": "classes", "records": ["bad"]})
            ready = await client.get("/health/ready")
    assert [each.status_code for each in answers] == [200, 200, 500, 200, 500, 200]
    assert mixed.status_code == 500
    for failed in (answers[2], mixed):
        assert error_of(failed) == (
            "the server could not answer this request, and its log says why; others are not "
            "affected"
        )
    assert "device-side assert" in caplog.text
    assert other.status_code == ready.status_code == 200


async def test_keys_are_asked_for_everywhere_but_at_health(serve: Serve) -> None:
    async with serve("base", api_keys=["key-1", "schlüssel"]) as client:
        for headers in (
            {},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer key-2"},
            {"Authorization": "Bearer key-1x"},
            {"Authorization": "Basic key-1"},
            {"Authorization": b"Bearer \xff\xfe"},
        ):
            for path in ("/v1/models", "/metrics", "/openapi.json", "/nothing"):
                answer = await client.get(path, headers=headers)
                assert answer.status_code == 401
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert error_of(answer).startswith("this server needs an API key")
            assert (await client.post(ASKED, headers=headers)).status_code == 401
            for path in ("/health/live", "/health/ready"):
                assert (await client.get(path, headers=headers)).status_code == 200
        for key in (b"key-1", "schlüssel".encode()):
            answer = await client.get("/v1/models", headers={"Authorization": b"Bearer " + key})
            assert answer.status_code == 200
        refused = await client.get("/v1/models")
        assert refused.json()["error"]["code"] == "invalid_api_key"


async def test_other_origins_may_ask_only_where_they_are_named(serve: Serve) -> None:
    headers = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    async with serve("base") as client:
        plain = await client.get("/v1/models", headers=headers)
        assert "access-control-allow-origin" not in plain.headers
        assert (await client.options(ASKED, headers=headers)).status_code == 405
    named = {"cors_origins": ["https://a.example"], "api_keys": ["k"]}
    async with serve("base", **named) as client:
        preflight = await client.options(ASKED, headers=headers)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == "https://a.example"
        headers["Origin"] = "https://b.example"
        other = await client.get("/v1/models", headers={**headers, "Authorization": "Bearer k"})
        assert other.status_code == 200
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.usefixtures("broken")
async def test_scripts_of_other_origins_can_read_every_answer(
    serve: Serve, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Origin": "https://a.example"}
    limits = Limits(max_queue=1, max_texts=1)
    async with serve("base", limits=limits, cors_origins=["https://a.example"]) as client:
        waiting = asyncio.ensure_future(client.post(ASKED, json={"input": "bad"}, headers=headers))
        await entered(gate)
        full = await client.post(ASKED, json={"input": "a"}, headers=headers)
        gate.opened.set()
        failed = await waiting
    assert [failed.status_code, full.status_code] == [500, 429]
    for answer in (failed, full):
        assert error_of(answer)
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        assert answer.headers["access-control-expose-headers"] == "Retry-After"
    assert "a request could not be answered" in caplog.text


SERVED = "bertsmith.serving.served_model"


async def test_an_answer_has_a_size_at_which_it_is_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{SERVED}.MAX_CANDIDATES", 10)
    monkeypatch.setattr(f"{SERVED}.MAX_TOKENIZED", 10)
    masked = ["a [MASK] [MASK]"] * 2
    async with serve("base") as client:
        fitting = await client.post("/v1/fill-mask", json={"input": masked, "top_k": 2})
        more = await client.post("/v1/fill-mask", json={"input": masked, "top_k": 3})
        words = await client.post("/v1/fill-mask", json={"input": masked, "words": ["a", "of"] * 2})
        short = await client.post("/v1/tokenize", json={"input": ["a film", "a book", ""]})
        longer = await client.post("/v1/tokenize", json={"input": ["a film", "a book", "a"]})
    assert fitting.status_code == short.status_code == 200
    for refused in (more, words):
        assert error_of(refused).startswith("the answer would have more than 10 words, for all")
    assert error_of(longer).startswith("the texts have more than 10 wordpieces together")


async def test_words_to_compare_count_as_what_is_read_for_them(serve: Serve) -> None:
    """Two words that begin alike are read twice, not four times; three of one wordpiece, once."""
    words = ["good film", "good book", "film", "book", "dull"]
    asked = {"input": "a [MASK] .", "words": words}
    async with serve("base", limits=Limits(max_tokens=22)) as client:
        fitting = await client.post("/v1/fill-mask", json=asked)
        figures = (await client.get("/metrics")).text
        refused = await client.post("/v1/fill-mask", json={**asked, "words": [*words, "book good"]})
    assert fitting.status_code == 200
    assert 'bertsmith_batch_tokens_sum{model="base"} 17.0' in figures.splitlines()
    assert refused.json()["error"]["param"] == "words"
    assert error_of(refused).startswith("1 masks with 6 words would be read as 4 sequences of 23")


async def test_texts_of_a_large_request_are_encoded_in_turns_with_those_of_others(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertsmith.serving.model_queue.TURN_CHARACTERS", 20)
    encoded: list[str] = []
    entered, opened = threading.Event(), threading.Event()
    encode = Tokenizer.encode

    def recorded(self: Tokenizer, text: str, *others: Any) -> Encoding:
        encoded.append(text)
        entered.set()
        assert opened.wait(20)
        return encode(self, text, *others)

    monkeypatch.setattr(Tokenizer, "encode", recorded)
    async with serve("base") as client:
        large = asyncio.ensure_future(client.post("/v1/tokenize", json={"input": ["a film"] * 30}))
        assert await asyncio.to_thread(entered.wait, 20)
        small = asyncio.ensure_future(client.post("/v1/tokenize", json={"input": "hi"}))
        queue = 'bertsmith_queue_texts{model="base"} 31.0'
        while queue not in (await client.get("/metrics")).text:
            await asyncio.sleep(0.01)
        opened.set()
        assert (await large).status_code == (await small).status_code == 200
    assert encoded.index("hi") == 3  # of twenty characters in a turn
    assert len(encoded) == 31


async def test_a_full_queue_says_how_long_half_of_it_takes(
    serve: Serve, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Batcher, "seconds_per_item", 4.2)
    async with serve("base", limits=Limits(max_queue=3, max_texts=3)) as client:
        waiting = asyncio.ensure_future(client.post(ASKED, json={"input": ["a", "b"]}))
        await entered(gate)
        refused = await client.post(ASKED, json={"input": ["c", "d"]})
        gate.opened.set()
        assert (await waiting).status_code == 200
    assert refused.headers["Retry-After"] == "5"
    assert error_of(refused) == "the queue of base is full; try again in 5 s"


async def test_requests_are_counted_by_what_they_ask_and_what_became_of_them(
    serve: Serve,
) -> None:
    async with serve("base", api_keys=["k"], limits=Limits(max_body_bytes=99)) as client:
        key = {"Authorization": "Bearer k"}
        assert (await client.post(ASKED, json={})).status_code == 401
        assert (await client.post(ASKED, content=b"a" * 100, headers=key)).status_code == 413
        assert (await client.get("/v1/models/any/thing")).status_code == 401
        assert (await client.get("/v1/models/any")).status_code == 401
        scope = {
            "type": "http",
            "method": "POST",
            "path": ASKED,
            "headers": [(b"authorization", b"Bearer k")],
            "query_string": b"",
        }
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await client._transport.app(scope, receive, send)  # leaves while it sends its body
        figures = (await client.get("/metrics", headers=key)).text
    assert sent == []
    for endpoint, status in (
        (ASKED, 401),
        (ASKED, 413),
        (ASKED, 499),
        ("other", 401),
        ("/v1/models/{name}", 401),
    ):
        line = f'bertsmith_requests_total{{endpoint="{endpoint}",status="{status}"}} 1.0'
        assert line in figures.splitlines()
    assert 'status="500"' not in figures
    assert "_created" not in figures
    assert f'bertsmith_request_seconds_bucket{{endpoint="{ASKED}",le="60.0"}} 3.0' in figures


async def test_head_is_answered_as_get_without_a_body(serve: Serve) -> None:
    async with serve("base") as client:
        for path in ("/", "/health/live", "/health/ready", "/v1/models", "/openapi.json"):
            head, get = await client.head(path), await client.get(path)
            assert head.status_code == 200
            assert head.content == b""
            assert head.headers["content-length"] == get.headers["content-length"]
        assert (await client.head(ASKED)).status_code == 405
