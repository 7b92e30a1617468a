"""The OpenAPI document is true, and no body whatsoever gets more than a sentence of refusal."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.serving.conftest import TASKS, Serve, error_of, running

from bertsmith.export.model_folder import load_model
from bertsmith.serving.app import build_app
from bertsmith.serving.limits import Limits
from bertsmith.serving.metrics import Metrics
from bertsmith.serving.served_model import ServedModel

# Addresses, and what each needs.
ASKED = {
    "/v1/predict": ["records"],
    "/v1/fill-mask": ["input"],
    "/v1/embeddings": ["input"],
    "/v1/tokenize": ["input"],
    "/v1/attention": ["text"],
    "/v1/word-in-context": ["word", "sentences"],
}


@pytest.mark.anyio
async def test_the_document_names_every_endpoint_and_its_errors(serve: Serve) -> None:
    async with serve("base") as client:
        document = (await client.get("/openapi.json")).json()
    assert set(document["paths"]) == {
        *ASKED,
        "/v1/models",
        "/v1/models/{name}",
        "/health/live",
        "/health/ready",
        "/metrics",
    }
    for path in ASKED:
        responses = document["paths"][path]["post"]["responses"]
        errors = ("400", "401", "404", "408", "413", "422", "429", "500", "503", "504")
        assert set(responses) == {"200", *errors}
        for status in errors:
            schema = responses[status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}
    assert "HTTPValidationError" not in document["components"]["schemas"]


@pytest.fixture
def app(folders: dict[str, Path]) -> Iterator[Any]:
    """All kinds of models behind one application."""
    limits, metrics = Limits(max_texts=50, max_characters=2000, max_body_bytes=50_000), Metrics()
    models = [
        ServedModel(name, load_model(folders[name]), limits=limits, metrics=metrics)
        for name in TASKS
    ]
    yield build_app(models, limits, metrics)
    for model in models:
        model.close()


@pytest.mark.slow
def test_schemathesis_finds_no_answer_that_the_document_does_not_tell(
    folders: dict[str, Path],
) -> None:
    models = [option for name in TASKS for option in ("--model", str(folders[name]))]
    with running(*models) as server:
        check_with_schemathesis(server.url)
        assert httpx2.get(f"{server.url}/health/ready").status_code == 200


def check_with_schemathesis(url: str) -> None:
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]
    count = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @seed(6)
        @settings(
            max_examples=60,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            case.call_and_validate(checks=checks)

        check()
        count += 1
    assert count == 11


# What the fields of bodies are taken from, and what bodies are made wrong by.
STRINGS = ["", "a good film", "[MASK]", "a [MASK] film", "\ud800", "\x00", "東" * 40, "a " * 900]
NAMES = ["model", "records", "input", "top_k", "words", "encoding_format", "dimensions", "user"]
NAMES += ["notation", "text", "pair", "layer", "head", "word", "sentences"]
FIELDS = ["text", "pair", "question", "context", "choices", "tokens", "label", "answers", "id"]
FIELDS += ["sentence1", "sentence2", "tags", "is_impossible", "ending0", "ending1", ""]


def value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(12 if depth < 4 else 9)
    if kind < 4:
        return rng.choice(STRINGS)
    if kind < 9:
        return rng.choice([None, True, 0, -1, 1, 3.5, 10**30, 1e308, "base", list(TASKS)[kind - 4]])
    if kind == 9:
        return {rng.choice(FIELDS + NAMES): value(rng, depth + 1) for _ in range(rng.randrange(5))}
    return [value(rng, depth + 1) for _ in range(rng.randrange(5))]


def body(rng: random.Random, path: str) -> bytes:
    """A body that is nearly right, or not at all."""
    fields: dict[str, Any] = {"model": rng.choice(list(TASKS))}
    for wanted in ASKED[path if rng.random() < 0.8 else rng.choice(list(ASKED))]:
        fields[wanted] = rng.choice([value(rng), [value(rng) for _ in range(rng.randrange(4))]])
    for name in rng.sample(NAMES, rng.randrange(3)):
        fields[name] = value(rng)
    written = json.dumps(fields if rng.random() < 0.9 else value(rng)).encode()
    if rng.random() < 0.3:
        at = rng.randrange(len(written) + 1)
        written = rng.choice(
            [
                written[:at],
                written[:at] + bytes([rng.randrange(256)]) + written[at + 1 :],
                written + written,
                written.replace(b'"', b"'", 1),
                written.replace(b"null", b"NaN").replace(b"true", b"Infinity"),
                b"[" * rng.randrange(5000) + written,
                bytes(rng.randrange(256) for _ in range(at)),
            ]
        )
    return written


@pytest.mark.slow
@pytest.mark.anyio
async def test_ten_thousand_malformed_bodies_get_answers(app: Any) -> None:
    rng = random.Random(10_000)
    statuses: dict[int, int] = {}
    kinds = ["application/json"] * 8 + ["text/plain", "application/json; charset=latin-1"]
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://served") as client:
        for _ in range(200):
            paths = rng.choices(list(ASKED), k=50)
            asked = [
                client.post(
                    path, content=body(rng, path), headers={"Content-Type": rng.choice(kinds)}
                )
                for path in paths
            ]
            for answer in await asyncio.gather(*asked):
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
                if answer.status_code != 200:
                    error_of(answer)
                assert answer.status_code in (200, 400, 404, 413, 422), answer.text
        assert (await client.get("/health/ready")).status_code == 200
        good = await client.post("/v1/embeddings", json={"model": "base", "input": "a"})
        assert good.status_code == 200
    assert sum(statuses.values()) == 10_000
    assert min(statuses[200], statuses[400], statuses[422]) > 100
    assert threading.active_count() < 50
