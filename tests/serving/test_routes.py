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
from pydantic import ValidationError
from tests.inference import conftest as inference
from tests.serving.conftest import PIECES, TASKS, Serve, error_of

from bertsmith.batch import Batch
from bertsmith.export.model_folder import load_model
from bertsmith.inference.embedder import Embedder
from bertsmith.inference.features import attention_maps
from bertsmith.inference.fill_mask import fill_mask
from bertsmith.inference.predictor import Predictor
from bertsmith.inference.word_in_context import word_in_context
from bertsmith.serving.schema import REQUESTS
from bertsmith.tasks.registry import build_task

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


async def test_wordpieces_are_written_in_the_notation_that_is_asked_for(serve: Serve) -> None:
    async with serve("base") as client:
        bert = await client.post("/v1/tokenize", json={"input": "good films"})
        gnmt = await client.post("/v1/tokenize", json={"input": "good films", "notation": "gnmt"})
    assert bert.json()["answers"][0]["tokens"] == ["[CLS]", "good", "film", "##s", "[SEP]"]
    assert gnmt.json()["answers"][0]["tokens"] == ["[CLS]", "_good", "_film", "s", "[SEP]"]
    assert gnmt.json()["answers"][0]["ids"] == bert.json()["answers"][0]["ids"]


async def test_attention_is_that_of_the_maps(serve: Serve, folders: dict[str, Path]) -> None:
    """Several at once, of different layers and lengths, so that they come in one batch."""
    loaded = load_model(folders["base"])
    asked = [
        {"text": "a good film", "layer": layer, "head": head}
        for layer in (0, 1, -1)
        for head in (0, 1)
    ]
    asked += [{"text": "paris", "pair": "is the capital of france ."}, {"text": ""}]
    async with serve("base", max_wait_seconds=0.2) as client:
        found = await asyncio.gather(*(client.post("/v1/attention", json=each) for each in asked))
        cut = await client.post("/v1/attention", json={"text": "a " * 50})
    for body, answer in zip(asked, found, strict=True):
        encoding = loaded.tokenizer.encode(str(body["text"]), body.get("pair"))
        maps = attention_maps(
            loaded.model, Batch.from_sequences([encoding.ids], [encoding.segment_ids])
        )
        layer, head = int(body.get("layer", -1)), int(body.get("head", 0))
        said = answer.json()
        assert said["tokens"] == encoding.tokens
        assert (said["layer"], said["head"]) == (layer % 2, head)
        assert np.allclose(said["weights"], maps[layer][0, head], atol=1e-4)
    assert len(cut.json()["tokens"]) == 24
    assert cut.json()["is_cut"]
    assert not any(each.json()["is_cut"] for each in found)


async def test_attention_of_long_texts_is_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertsmith.serving.served_model.MAX_ATTENTION_TOKENS", 4)
    async with serve("base") as client:
        fitting = await client.post("/v1/attention", json={"text": "a film"})
        refused = await client.post("/v1/attention", json={"text": "a good film"})
    assert fitting.status_code == 200
    assert refused.status_code == 422
    assert error_of(refused) == (
        "the text has 5 wordpieces, and attention is shown for at most 4; shorten it"
    )


async def test_a_word_is_compared_as_by_the_library(serve: Serve, folders: dict[str, Path]) -> None:
    sentences = ["a good film .", "the films of france", "Films, a good book", "東 is 東"]
    for word, layer in (("films", -1), ("good", 0), ("東", 1)):
        expected = word_in_context(load_model(folders["base"]), word, sentences, layer=layer)
        async with serve("base") as client:
            body = {"word": word, "sentences": sentences, "layer": layer}
            answer = await client.post("/v1/word-in-context", json=body)
        said = answer.json()
        assert said["layer"] == layer % 2
        places = [*said["occurrences"], *said["neighbours"]]
        words = [*expected.occurrences, *expected.neighbours]
        for place, found in zip(places, words, strict=True):
            assert [place[key] for key in ("text", "sentence", "start", "end")] == [
                found.text,
                found.sentence,
                found.start,
                found.end,
            ]
        assert np.allclose([each["point"] for each in places], expected.points, atol=1e-4)
        rows = [each["similarities"] for each in said["occurrences"]]
        assert np.allclose(rows, expected.similarities, atol=1e-4)
        for occurrence, nearest in zip(said["occurrences"], expected.nearest, strict=True):
            assert [each["place"] for each in occurrence["nearest"]] == [x.place for x in nearest]
        assert said["shown_variance"] == pytest.approx(expected.shown_variance, abs=1e-4)


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


async def test_requests_of_all_kinds_are_not_mixed_up_by_threads_that_compute_at_once(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gets the answer that it had when it was alone, from a model with four threads."""
    monkeypatch.setattr("bertsmith.serving.computing.torch.get_num_threads", lambda: 4)
    shares: list[int] = []
    # Not set, since the threads of other tests would begin with it.
    monkeypatch.setattr("bertsmith.serving.computing.torch.set_num_threads", shares.append)
    asked: list[tuple[str, dict[str, Any]]] = []
    for number, text in enumerate(texts_of(random.Random(7), 12)):
        masked = f"{text[:30]} [MASK]"
        asked += [
            ("/v1/embeddings", {"input": [text, "a film"]}),
            ("/v1/fill-mask", {"input": masked}),
            ("/v1/fill-mask", {"input": masked, "words": ["film", "films", "paris"]}),
            ("/v1/attention", {"text": text, "layer": number % 2, "head": number % 2}),
            ("/v1/word-in-context", {"word": "film", "sentences": ["a film", f"film {text[:30]}"]}),
        ]
    async with serve("base", batch_tokens=64) as client:

        async def answer(place: int) -> Any:
            path, body = asked[place]
            found = await client.post(path, json={"model": "base", **body})
            assert found.status_code == 200, found.text
            return {key: value for key, value in found.json().items() if key != "created"}

        expected = [await answer(place) for place in range(len(asked))]
        assert 4 in shares  # a text that is alone has all cores
        shares.clear()
        order = random.Random(1).choices(range(len(asked)), k=400)
        for place, found in zip(order, await asyncio.gather(*map(answer, order)), strict=True):
            assert close(found, expected[place]), asked[place]
    assert 1 in shares


async def test_the_models_are_listed_with_what_they_answer(serve: Serve) -> None:
    async with serve("base", "classes") as client:
        listed = (await client.get("/v1/models")).json()
        shown = (await client.get("/v1/models/classes")).json()
        unknown = await client.get("/v1/models/other")
    assert [each["id"] for each in listed["data"]] == ["base", "classes"]
    assert listed["data"][0]["tasks"] == ["masked_lm", "next_sentence"]
    assert "/v1/fill-mask" in listed["data"][0]["endpoints"]
    assert (listed["data"][0]["layers"], listed["data"][0]["heads"]) == (2, 2)
    assert "/v1/predict" not in listed["data"][0]["endpoints"]
    assert shown == listed["data"][1]
    assert shown["labels"] == ["neg", "pos"]
    assert unknown.status_code == 404
    assert error_of(unknown) == "the model 'other' is not served here; /v1/models lists those " + (
        "that are"
    )


# All but one of five wordpieces: none of them, five that are first, then twenty thrice.
FAMILY = [f"{a} {b} a a a" for a in PIECES[5:10] for b in PIECES[5:9]] + ["good"]
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
        "record 2: 'body' is no field that classes reads; those are text, pair",
    ),
    (
        "/v1/predict",
        {"model": "classes", "records": [{"text": "a", "piar": "x"}]},
        422,
        "record 1: 'piar' is no field that classes reads; those are text, pair",
    ),
    (
        "/v1/predict",
        {"model": "classes", "records": [["a"]]},
        422,
        "record 1 is of type list; it must be a text, a pair of texts or a mapping of fields",
    ),
    (
        "/v1/predict",
        {"model": "classes", "records": [{"label": "pos"}]},
        422,
        "record 1 has none of the fields that classes reads (text, pair); give them",
    ),
    (
        "/v1/predict",
        {"model": "classes", "records": ["a", {"pair": "a"}]},
        422,
        "record 2: none of the columns (pair: 'a') is known to hold the text; /v1/models lists",
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
        {"model": "base", "input": "[MASK] " * 16, "words": FAMILY},
        422,
        "16 masks with 21 words would be read as 1,072 sequences of 23,520 tokens, and at most",
    ),
    (
        "/v1/fill-mask",
        {"model": "base", "input": "[MASK]", "words": ["good", "film " * 4000]},
        422,
        "with the 4000 wordpieces of the word 'film film fi...lm film film ' a text would have",
    ),
    (
        "/v1/fill-mask",
        {"model": "base", "input": "[MASK]", "words": ["good", "film" * 30_000]},
        422,
        "word 2 has 120,000 characters and at most 100,000 are read; shorten it",
    ),
    ("/v1/tokenize", {"model": "base", "input": [["a"]]}, 422, "input is not right; it must be a"),
    (
        "/v1/tokenize",
        {"model": "base", "input": "a", "notation": "morse"},
        422,
        "notation is not right; it must be bert, where ## continues a word, or gnmt",
    ),
    ("/v1/attention", {"model": "base"}, 422, "text is missing; it must be a text"),
    ("/v1/attention", {"model": "base", "text": "a", "layer": 2}, 422, "layer (2) must be from -2"),
    ("/v1/attention", {"model": "base", "text": "a", "head": 2}, 422, "head (2) must be from 0 to"),
    (
        "/v1/attention",
        {"model": "base", "text": "a", "head": -1},
        422,
        "head is not right; it must",
    ),
    ("/v1/attention", {"model": "base", "text": "a", "pair": "\ud800"}, 422, "text 1 holds half"),
    (
        "/v1/word-in-context",
        {"model": "base", "word": "good", "sentences": ["a good film", "dull"]},
        422,
        "the word 'good' stands once in the sentences",
    ),
    (
        "/v1/word-in-context",
        {"model": "base", "word": "zzz", "sentences": ["zzz", "zzz"]},
        422,
        "the vocabulary has no wordpieces for the word 'zzz', so that it cannot be found",
    ),
    (
        "/v1/word-in-context",
        {"model": "base", "word": "a", "sentences": ["a"] * 33},
        422,
        "sentences is not right; it must be a list of 1 to 32 sentences",
    ),
    (
        "/v1/word-in-context",
        {"model": "base", "word": "a", "sentences": ["a a"] * 32, "layer": -3},
        422,
        "layer (-3) must be from -2 to 1",
    ),
    (
        "/v1/word-in-context",
        {"model": "base", "word": "a" * 100_001, "sentences": ["a a"]},
        422,
        "word 1 has 100,001 characters",
    ),
]


# What an error says when its first word is not the field that is wrong.
PARAMS: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/predict", {"model": "classes", "records": []}, "records"),
    ("/v1/predict", {"model": "classes", "records": [{"text": "a", "piar": "x"}]}, "records"),
    ("/v1/predict", {"model": "classes", "records": [{"text": 5}]}, "records"),
    ("/v1/embeddings", {"model": "base", "input": ["a"] * 1025}, "input"),
    ("/v1/fill-mask", {"model": "base", "input": "a"}, "input"),
    ("/v1/fill-mask", {"model": "base", "input": "[MASK]", "words": ["zzz"]}, "words"),
    ("/v1/fill-mask", {"model": "base", "input": "[MASK]", "words": ["a " * 23]}, "words"),
    ("/v1/fill-mask", {"model": "base", "input": "[MASK]", "words": ["\ud800"]}, "words"),
    ("/v1/fill-mask", {"model": "base", "input": "[MASK] " * 16, "words": FAMILY * 2}, "words"),
    ("/v1/tokenize", {"model": "base", "input": []}, "input"),
    ("/v1/embeddings", {"model": "base", "input": "a", "b\ud800": 1}, "b?"),
    ("/v1/attention", {"model": "base", "text": "\ud800"}, "text"),
    ("/v1/attention", {"model": "base", "text": "a", "layer": 2}, "layer"),
    ("/v1/word-in-context", {"model": "base", "word": "a", "sentences": ["a"]}, "word"),
    ("/v1/word-in-context", {"model": "base", "word": "a", "sentences": ["\ud800"]}, "sentences"),
    (
        "/v1/word-in-context",
        {"model": "base", "word": "a", "sentences": ["a a"], "layer": 9},
        "layer",
    ),
]


@pytest.mark.parametrize(("path", "body", "param"), PARAMS)
async def test_an_error_names_its_field(
    path: str, body: dict[str, Any], param: str, serve: Serve
) -> None:
    async with serve("base", "classes") as client:
        headers = {"Content-Type": "application/json"}
        answer = await client.post(path, content=json.dumps(body), headers=headers)
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == param


async def test_errors_do_not_quote_all_that_was_sent(serve: Serve) -> None:
    long = "z" * 5000
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/v1/fill-mask", {"input": long}),
        ("/v1/fill-mask", {"input": "[MASK]", "words": [long]}),
        ("/v1/word-in-context", {"word": long, "sentences": ["a"]}),
        ("/v1/word-in-context", {"word": "a " * 2500, "sentences": ["a"]}),
    ]
    async with serve("base") as client:
        for path, body in asked:
            answer = await client.post(path, json=body)
            assert answer.status_code == 422
            assert len(error_of(answer)) < 200


async def test_remembered_columns_are_fields(serve: Serve, tmp_path: Path) -> None:
    columns = {"text": "body", "label": "kind"}
    task = build_task("sequence_classification", labels=["neg", "pos"], columns=columns)
    inference.save(tmp_path / "mails", [task], pieces=PIECES)
    async with serve("mails", more={"mails": tmp_path / "mails"}) as client:
        card = (await client.get("/v1/models/mails")).json()
        record = {"body": "a film", "kind": "pos", "id": 7}
        answer = await client.post("/v1/predict", json={"records": [record]})
    assert card["fields"] == ["text", "pair", "body"]
    assert answer.status_code == 200


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


MANY: list[tuple[str, dict[str, Any]]] = [
    ("/v1/predict", {"records": [1] * 1000}),
    ("/v1/predict", {"records": [[1] * 1000]}),
    ("/v1/predict", {"records": [[[1] * 1000]]}),
    ("/v1/embeddings", {"input": [[]] * 1000}),
    ("/v1/tokenize", {"input": [[]] * 1000}),
    ("/v1/tokenize", {"input": [[1] * 1000]}),
    ("/v1/fill-mask", {"input": "a", "words": [1] * 1000}),
    ("/v1/word-in-context", {"word": "a", "sentences": [1] * 1000}),
    ("/v1/embeddings", {"input": "a", **{f"{number}": 1 for number in range(1000)}}),
]


@pytest.mark.parametrize(("path", "body"), MANY)
def test_what_is_wrong_is_looked_for_until_it_is_found_once(
    path: str, body: dict[str, Any]
) -> None:
    """All that is wrong with a body of 3 MB would be gigabytes."""
    with pytest.raises(ValidationError) as found:
        REQUESTS[path].model_validate(body)
    assert found.value.error_count() <= 5


async def test_addresses_and_methods_that_are_not_there_are_errors_of_the_same_shape(
    serve: Serve,
) -> None:
    async with serve("base") as client:
        for path in ("/v1", "/v1/predict/", "/docs", "/redoc"):
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


async def test_a_card_says_which_fields_a_record_has(serve: Serve, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs"
    inference.save(pairs, [build_task("sequence_regression", pairs=True)], pieces=PIECES)
    single = tmp_path / "single"
    classes = build_task("sequence_classification", labels=["neg", "pos"], pairs=False)
    inference.save(single, [classes], pieces=PIECES)
    more = {"pairs": pairs, "single": single}
    async with serve("base", "classes", "tags", "answers", "choices", *more, more=more) as asked:
        cards = {each["id"]: each for each in (await asked.get("/v1/models")).json()["data"]}
    assert {name: card["fields"] for name, card in cards.items()} == {
        "base": None,
        "classes": ["text", "pair"],
        "tags": ["text", "tokens"],
        "answers": ["question", "context", "id"],
        "choices": ["context", "question", "choices"],
        "pairs": ["text", "pair"],
        "single": ["text"],
    }
    found = [cards[name]["reads_pairs"] for name in ("base", "classes", "pairs", "single")]
    assert found == [None, None, True, False]
    assert cards["single"]["record"] == "a text or a mapping of fields by name"
