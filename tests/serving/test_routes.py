"""What the endpoints answer is what the library answers, whoever else asks at the same time."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serving.conftest import PIECES, TASKS, Serve, error_of

from bertsmith.export.model_folder import load_model
from bertsmith.inference.embedder import Embedder
from bertsmith.inference.fill_mask import fill_mask
from bertsmith.inference.predictor import Predictor

pytestmark = pytest.mark.anyio

WORDS = [piece for piece in PIECES[5:] if not piece.startswith("##")]
RECORDS: dict[str, list[Any]] = {
    "classes": ["good film", ["a", "bad film"], {"text": "fine", "label": "?"}, "", "a " * 50],
    "score": ["good film", {"sentence1": "fine book", "sentence2": "dull"}],
    "tags": ["paris is dull", ["paris", "is", "fine"], {"tokens": ["a", "book"]}, "a " * 40],
    "answers": [
        ["the capital of france", "paris is the capital of france . " * 6],
        {"question": "a film", "context": "a good film", "id": "7"},
    ],
    "choices": [["a film", ["good", "bad", "dull"]], {"context": "a", "choices": ["b", "the"]}],
}


def texts_of(rng: random.Random, count: int) -> list[str]:
    return [" ".join(rng.choices(WORDS, k=rng.randint(0, 30))) for _ in range(count)]


def close(found: Any, expected: Any) -> bool:
    """Equal, but for the last digits of numbers, which depend on the batch."""
    if isinstance(expected, float):
        return found == pytest.approx(expected, abs=1e-5)
    if isinstance(expected, dict):
        return set(found) == set(expected) and all(close(found[k], expected[k]) for k in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    return bool(found == expected)


@pytest.mark.parametrize("name", RECORDS)
async def test_predictions_are_the_predictors(
    name: str, serve: Serve, folders: dict[str, Path]
) -> None:
    expected = list(Predictor.load(folders[name]).predict(RECORDS[name]))
    async with serve(name) as client:
        answer = await client.post("/v1/predict", json={"records": RECORDS[name]})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["model"], body["task"]) == (name, TASKS[name][0][0])
    assert close(body["answers"], expected)


async def test_vectors_are_the_embedders(serve: Serve, folders: dict[str, Path]) -> None:
    texts = ["a good film", "", "paris " * 60, "東"]
    expected = Embedder.load(folders["base"]).embed(texts)
    async with serve("base") as client:
        many = await client.post("/v1/embeddings", json={"input": texts})
        single = await client.post("/v1/embeddings", json={"input": texts[0], "dimensions": 32})
        packed = await client.post(
            "/v1/embeddings", json={"input": texts, "encoding_format": "base64"}
        )
    vectors = [each["embedding"] for each in many.json()["data"]]
    assert [each["index"] for each in many.json()["data"]] == [0, 1, 2, 3]
    assert np.allclose(vectors, expected, atol=1e-5)
    assert np.allclose(single.json()["data"][0]["embedding"], expected[0], atol=1e-5)
    read = [base64.b64decode(each["embedding"]) for each in packed.json()["data"]]
    assert np.allclose([np.frombuffer(each, "<f4") for each in read], expected, atol=1e-5)
    # [CLS] a good film [SEP], [CLS] [SEP], what fits of the third, and the last.
    assert many.json()["usage"] == {"prompt_tokens": 5 + 2 + 24 + 3, "total_tokens": 34}


@pytest.mark.parametrize("words", [None, ["films", "paris", "good"]])
async def test_masks_are_filled_as_by_the_library(
    words: list[str] | None, serve: Serve, folders: dict[str, Path]
) -> None:
    texts = ["paris is the [MASK] of france .", "a [MASK] [MASK] ."]
    loaded = load_model(folders["base"])
    expected = [
        [
            [{"word": each.word, "probability": each.probability} for each in mask]
            for mask in fill_mask(loaded.model, loaded.tokenizer, text, 3, words=words)
        ]
        for text in texts
    ]
    async with serve("base") as client:
        body = {"input": texts, "top_k": 3, "words": words}
        answer = await client.post("/v1/fill-mask", json=body)
    assert close(answer.json(), {"model": "base", "answers": expected})


async def test_texts_are_cut_as_by_the_tokenizer(serve: Serve, folders: dict[str, Path]) -> None:
    encoding = load_model(folders["base"]).tokenizer.encode("good films", "東 zzz")
    async with serve("base") as client:
        answer = await client.post("/v1/tokenize", json={"input": [["good films", "東 zzz"]]})
    assert answer.json()["answers"] == [
        {
            "tokens": encoding.tokens,
            "ids": encoding.ids,
            "segment_ids": encoding.segment_ids,
            "offsets": [list(each) for each in encoding.offsets],
        }
    ]


async def test_clients_get_the_answers_to_their_own_texts(
    serve: Serve, folders: dict[str, Path]
) -> None:
    """Forty clients, each with texts, and kinds of question, of its own, all at once."""
    embedder, predictor = Embedder.load(folders["base"]), Predictor.load(folders["classes"])
    loaded = load_model(folders["base"])

    async def ask(number: int) -> None:
        rng = random.Random(number)
        texts = texts_of(rng, rng.randint(1, 9))
        if number % 3 == 0:
            body: dict[str, Any] = {"model": "base", "input": texts}
            answer = await client.post("/v1/embeddings", json=body)
            found = [each["embedding"] for each in answer.json()["data"]]
            assert np.allclose(found, embedder.embed(texts), atol=1e-4)
        elif number % 3 == 1:
            body = {"model": "classes", "records": texts}
            answer = await client.post("/v1/predict", json=body)
            assert close(answer.json()["answers"], list(predictor.predict(texts)))
        else:
            masked = [f"{text[:30]} [MASK]" for text in texts]
            body = {"model": "base", "input": masked, "top_k": number % 7 + 1}
            answer = await client.post("/v1/fill-mask", json=body)
            for text, (found_words,) in zip(masked, answer.json()["answers"], strict=True):
                (expected,) = fill_mask(loaded.model, loaded.tokenizer, text, number % 7 + 1)
                assert [each["word"] for each in found_words] == [each.word for each in expected]

    async with serve("base", "classes", batch_tokens=128) as client:
        await asyncio.gather(*map(ask, range(40)))


async def test_the_models_are_listed_with_what_they_answer(serve: Serve) -> None:
    async with serve("base", "classes") as client:
        listed = (await client.get("/v1/models")).json()
        shown = (await client.get("/v1/models/classes")).json()
        unknown = await client.get("/v1/models/other")
    assert [each["id"] for each in listed["data"]] == ["base", "classes"]
    assert listed["data"][0]["tasks"] == ["masked_lm", "next_sentence"]
    assert "/v1/fill-mask" in listed["data"][0]["endpoints"]
    assert "/v1/predict" not in listed["data"][0]["endpoints"]
    assert shown == listed["data"][1]
    assert shown["labels"] == ["neg", "pos"]
    assert unknown.status_code == 404
    assert error_of(unknown) == "the model 'other' is not served here; /v1/models lists those " + (
        "that are"
    )


BAD: list[tuple[str, dict[str, Any], int, str]] = [
    ("/v1/embeddings", {"model": "base"}, 422, "input is missing; it must be a text or a list of"),
    ("/v1/embeddings", {"input": "a"}, 422, "model is missing; it must be one that /v1/models"),
    ("/v1/embeddings", {"model": "base", "input": [[1, 2]]}, 422, "input is not right; it must be"),
    ("/v1/embeddings", {"model": "base", "input": []}, 422, "there is no text in the request"),
    (
        "/v1/embeddings",
        {"model": "base", "input": "a", "dimensions": 8},
        422,
        "dimensions (8) must be 32, the length of the model's vectors",
    ),
    ("/v1/embeddings", {"model": "base", "input": "a", "imput": 1}, 422, "'imput' is no field of"),
    ("/v1/embeddings", {"model": "no", "input": "a"}, 404, "the model 'no' is not served here"),
    ("/v1/predict", {"model": "base", "records": ["a"]}, 422, "base cannot answer predict, since"),
    ("/v1/predict", {"model": "classes", "records": [5]}, 422, "records is not right; it must be"),
    (
        "/v1/predict",
        {"model": "classes", "records": ["a", {"body": "b"}]},
        422,
        "record 2: none of the columns (body: 'b') is known to hold the text; /v1/models",
    ),
    ("/v1/predict", {"model": "classes", "records": ["\ud800"]}, 422, "record 1 holds half of a"),
    ("/v1/fill-mask", {"model": "classes", "input": "a"}, 422, "classes cannot answer fill-mask"),
    ("/v1/fill-mask", {"model": "base", "input": "a"}, 422, "'a' holds no [MASK]; write [MASK]"),
    (
        "/v1/fill-mask",
        {"model": "base", "input": "[MASK]" + " a" * 40},
        422,
        "a text of 43 wordpieces is longer than the 24 that the model reads",
    ),
    (
        "/v1/fill-mask",
        {"model": "base", "input": "[MASK]", "words": ["zzz"]},
        422,
        "the vocabulary has no wordpieces for the word 'zzz'",
    ),
    ("/v1/fill-mask", {"model": "base", "input": "[MASK]", "top_k": 0}, 422, "top_k is not right"),
    ("/v1/fill-mask", {"model": "base", "input": "[MASK]", "top_k": 99}, 422, "top_k (99) must be"),
    (
        "/v1/fill-mask",
        {"model": "base", "input": "[MASK] " * 20, "words": ["good"] * 60},
        422,
        "20 masks times 60 words are more than the 1,000 that are compared at once",
    ),
    ("/v1/tokenize", {"model": "base", "input": [["a"]]}, 422, "input is not right; it must be a"),
]


@pytest.mark.parametrize(("path", "body", "status", "message"), BAD)
async def test_what_cannot_be_answered_gets_one_sentence(
    path: str, body: dict[str, Any], status: int, message: str, serve: Serve
) -> None:
    async with serve("base", "classes") as client:
        headers = {"Content-Type": "application/json"}
        answer = await client.post(path, content=json.dumps(body), headers=headers)
        after = await client.post("/v1/embeddings", json={"model": "base", "input": "a"})
    assert answer.status_code == status
    assert error_of(answer).startswith(message)
    assert after.status_code == 200


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"", 422),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b'{"input": ' + b"9" * 5000 + b"}", 400),
        (b"[]", 422),
        (b"null", 422),
        (b'"text"', 422),
    ],
)
async def test_what_is_no_json_object_gets_one_sentence(
    content: bytes, status: int, serve: Serve
) -> None:
    async with serve("base") as client:
        headers = {"Content-Type": "application/json"}
        answer = await client.post("/v1/embeddings", content=content, headers=headers)
    assert answer.status_code == status
    assert error_of(answer).startswith("the body ")


async def test_addresses_and_methods_that_are_not_there_are_errors_of_the_same_shape(
    serve: Serve,
) -> None:
    async with serve("base") as client:
        for path in ("/", "/v1", "/v1/predict/", "/docs", "/redoc"):
            answer = await client.get(path)
            assert answer.status_code == 404
            assert "there is nothing at this address" in error_of(answer)
        wrong = await client.get("/v1/predict")
        assert wrong.status_code == 405
        assert "does not take this method" in error_of(wrong)
        assert wrong.headers["Allow"] == "POST"


async def test_metrics_count_requests_batches_and_tokens(serve: Serve) -> None:
    async with serve("base") as client:
        await client.post("/v1/embeddings", json={"input": ["a good film", "a"]})
        await client.post("/v1/embeddings", json={"input": 5})
        await client.get("/made/up/by/a/client")
        lines = (await client.get("/metrics")).text.splitlines()
    for line in (
        'bertsmith_requests_total{endpoint="/v1/embeddings",status="200"} 1.0',
        'bertsmith_requests_total{endpoint="/v1/embeddings",status="422"} 1.0',
        'bertsmith_requests_total{endpoint="other",status="404"} 1.0',
        'bertsmith_request_seconds_count{endpoint="/v1/embeddings"} 2.0',
        'bertsmith_batch_texts_sum{model="base"} 2.0',
        'bertsmith_batch_tokens_sum{model="base"} 8.0',
        'bertsmith_tokens_total{model="base"} 8.0',
        'bertsmith_queue_texts{model="base"} 0.0',
    ):
        assert line in lines
