"""The endpoints: a request's body in, the models' answers out."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from bertsmith.inference.embedder import Vector
from bertsmith.inference.fill_mask import Candidate
from bertsmith.inference.word_in_context import Word, WordInContext
from bertsmith.serving.errors import RequestError, about
from bertsmith.serving.guards import DEADLINE
from bertsmith.serving.metrics import CONTENT_TYPE, Metrics
from bertsmith.serving.playground import build_playground
from bertsmith.serving.schema import (
    AttentionAnswer,
    AttentionRequest,
    Embedding,
    EmbeddingsAnswer,
    EmbeddingsRequest,
    EncodingAnswer,
    ErrorAnswer,
    FillMaskAnswer,
    FillMaskRequest,
    Health,
    ModelCard,
    ModelList,
    NeighbourAnswer,
    Occurrence,
    PredictAnswer,
    PredictRequest,
    TokenizeAnswer,
    TokenizeRequest,
    Usage,
    WordAnswer,
    WordInContextAnswer,
    WordInContextRequest,
    WordPlace,
)
from bertsmith.serving.served_model import ServedModel
from bertsmith.text.notation import in_gnmt_notation

Found = TypeVar("Found")

_MEANINGS = {
    400: "the body is not JSON",
    401: "no API key, or an unknown one, where the server has keys",
    404: "no such model",
    408: "the body did not arrive in time",
    413: "the body is too large",
    422: "the request is not what it must be",
    429: "the queue is full; Retry-After says when to come again",
    500: "the model failed",
    503: "a model cannot be asked any more",
    504: "no answer in time",
}


def build_router(models: Sequence[ServedModel], metrics: Metrics, created: int) -> APIRouter:
    """The endpoints of a server.

    Args:
        models: with names of their own.
        metrics: what /metrics shows.
        created: when the models were loaded, in seconds since 1970.
    """
    router = APIRouter()
    playground = build_playground()
    by_name = {model.name: model for model in models}

    def see_all_alive() -> None:
        for model in models:
            model.check_alive()

    def named(name: str | None) -> ServedModel:
        if name is None and len(models) == 1:
            return models[0]
        if name is None:
            raise RequestError(
                422, "model is missing; it must be one that /v1/models lists", param="model"
            )
        if name not in by_name:
            shown = name if len(name) <= 80 else f"{name[:79]}…"
            raise RequestError(
                404,
                f"the model {shown!r} is not served here; /v1/models lists those that are",
                code="model_not_found",
                param="model",
            )
        return by_name[name]

    @router.get("/", include_in_schema=False)
    async def show_playground() -> Response:
        """The page for people; needs no key, since it holds nothing and asks with one."""
        return HTMLResponse(playground.html, headers=playground.headers)

    @router.get("/v1/models", responses=_errors(401))
    async def list_models() -> ModelList:
        """The models, and what each answers; in OpenAI's form, with more fields."""
        return ModelList(data=[_card(model, created) for model in models])

    @router.get("/v1/models/{name}", responses=_errors(401, 404, 422))
    async def show_model(name: str) -> ModelCard:
        """One of them."""
        return _card(named(name), created)

    @router.post("/v1/predict", response_model=PredictAnswer, responses=_ASKED)
    async def predict(body: PredictRequest, request: Request) -> Response:
        """Answer records with a fine-tuned model."""
        model = named(body.model)
        with about("records"):
            found = await _in_time(request, model.predict(body.records))
        return await _json(
            lambda: PredictAnswer(model=model.name, task=model.task_names[0], answers=found.answers)
        )

    @router.post("/v1/fill-mask", response_model=FillMaskAnswer, responses=_ASKED)
    async def fill_mask(body: FillMaskRequest, request: Request) -> Response:
        """Find words for each [MASK] of a text."""
        model = named(body.model)
        work = model.fill_mask(_listed(body.input), top_k=body.top_k, words=body.words)
        with about("input"):
            found = await _in_time(request, work)

        def write() -> FillMaskAnswer:
            answers = [[_words(mask) for mask in masks] for masks in found.answers]
            return FillMaskAnswer(model=model.name, answers=answers)

        return await _json(write)

    @router.post("/v1/embeddings", response_model=EmbeddingsAnswer, responses=_ASKED)
    async def embeddings(body: EmbeddingsRequest, request: Request) -> Response:
        """Make a vector of each text, in OpenAI's form."""
        model = named(body.model)
        if body.dimensions not in (None, model.embedder.size):
            raise RequestError(
                422,
                f"dimensions ({body.dimensions}) must be {model.embedder.size}, the length of the "
                "model's vectors, or left out",
                param="dimensions",
            )
        with about("input"):
            found = await _in_time(request, model.embed(_listed(body.input)))
        written = _base64 if body.encoding_format == "base64" else _numbers

        def write() -> EmbeddingsAnswer:
            data = [
                Embedding(index=index, embedding=written(vector))
                for index, vector in enumerate(found.answers)
            ]
            usage = Usage(prompt_tokens=found.tokens, total_tokens=found.tokens)
            return EmbeddingsAnswer(data=data, model=model.name, usage=usage)

        return await _json(write)

    @router.post("/v1/tokenize", response_model=TokenizeAnswer, responses=_ASKED)
    async def tokenize(body: TokenizeRequest, request: Request) -> Response:
        """Cut texts to wordpieces."""
        model = named(body.model)
        with about("input"):
            found = await _in_time(request, model.tokenize(_listed(body.input)))
        written = in_gnmt_notation if body.notation == "gnmt" else list

        def write() -> TokenizeAnswer:
            answers = [
                EncodingAnswer(
                    tokens=written(each.tokens),
                    ids=each.ids,
                    segment_ids=each.segment_ids,
                    offsets=each.offsets,
                )
                for each in found.answers
            ]
            return TokenizeAnswer(model=model.name, answers=answers)

        return await _json(write)

    @router.post("/v1/attention", response_model=AttentionAnswer, responses=_ASKED)
    async def attention(body: AttentionRequest, request: Request) -> Response:
        """Show what each wordpiece of a text takes from each other, by one head."""
        model = named(body.model)
        texts = [body.text] if body.pair is None else [body.text, body.pair]
        work = model.attention(texts, layer=body.layer, head=body.head)
        with about("text"):
            found = await _in_time(request, work)
        return await _json(
            lambda: AttentionAnswer(
                model=model.name,
                layer=found.layer,
                head=body.head,
                tokens=found.tokens,
                is_cut=found.is_cut,
                # More digits than anybody can see make the answer thrice as long.
                weights=[[round(weight, 4) for weight in row] for row in found.weights],
            )
        )

    @router.post("/v1/word-in-context", response_model=WordInContextAnswer, responses=_ASKED)
    async def word_in_context(body: WordInContextRequest, request: Request) -> Response:
        """Compare the vectors that a word has in several sentences."""
        model = named(body.model)
        work = model.word_in_context(body.word, body.sentences, layer=body.layer)
        with about("sentences"):
            layer, found = await _in_time(request, work)
        return await _json(lambda: _compared(model.name, layer, found))

    @router.get("/health/live", responses=_errors(503))
    async def live() -> Health:
        """Whether the process is to go on: no thread of it has ended; needs no key."""
        see_all_alive()
        return Health(status="live")

    @router.get("/health/ready", responses=_errors(503))
    async def ready() -> Health:
        """Whether every model can be asked; needs no key."""
        see_all_alive()
        return Health(status="ready")

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **_errors(401)},
    )
    async def show_metrics() -> Response:
        """Figures in Prometheus' text format."""
        return Response(metrics.page(), media_type=CONTENT_TYPE)

    return router


async def _in_time(request: Request, work: Coroutine[Any, Any, Found]) -> Found:
    """Wait for an answer as long as the client does and the server has time for it."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    rest = request.scope[DEADLINE] - asyncio.get_running_loop().time()
    try:
        await asyncio.wait({task, gone}, timeout=rest, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise RequestError(499, "the client has gone")
        raise RequestError(
            504,
            "there was no answer in the time that a request has; try again later, or send fewer "
            "or shorter texts",
        )
    finally:
        # Work that nobody waits for any more leaves its queue.
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {each: {"model": ErrorAnswer, "description": _MEANINGS[each]} for each in statuses}


_ASKED = _errors(400, 401, 404, 408, 413, 422, 429, 500, 503, 504)


async def _json(write: Callable[[], BaseModel]) -> Response:
    """An answer, made where its size holds up nobody else."""

    def written() -> str:
        return write().model_dump_json()

    # Checking an answer against its own schema once more would take longer than writing it.
    return Response(await asyncio.to_thread(written), media_type="application/json")


def _listed(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


def _words(candidates: Sequence[Candidate]) -> list[WordAnswer]:
    return [WordAnswer(word=each.word, probability=each.probability) for each in candidates]


def _base64(vector: Vector) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _numbers(vector: Vector) -> list[float]:
    found: list[float] = vector.tolist()
    return found


def _compared(model: str, layer: int, found: WordInContext) -> WordInContextAnswer:
    def place(word: Word, point: tuple[float, float]) -> dict[str, Any]:
        return {
            "text": word.text,
            "sentence": word.sentence,
            "start": word.start,
            "end": word.end,
            "point": point,
        }

    count = len(found.occurrences)
    occurrences = [
        Occurrence(
            **place(word, point),
            similarities=similarities,
            nearest=[
                NeighbourAnswer(place=each.place, similarity=each.similarity) for each in nearest
            ],
        )
        for word, point, similarities, nearest in zip(
            found.occurrences, found.points[:count], found.similarities, found.nearest, strict=True
        )
    ]
    neighbours = [
        WordPlace(**place(word, point))
        for word, point in zip(found.neighbours, found.points[count:], strict=True)
    ]
    return WordInContextAnswer(
        model=model,
        layer=layer,
        occurrences=occurrences,
        neighbours=neighbours,
        shown_variance=found.shown_variance,
    )


def _card(model: ServedModel, created: int) -> ModelCard:
    predictor = model.predictor
    return ModelCard(
        id=model.name,
        created=created,
        tasks=model.task_names,
        endpoints=model.endpoints,
        record=None if predictor is None else predictor.task.item_kinds,
        fields=model.record_fields,
        reads_pairs=None if predictor is None else getattr(predictor.task, "pairs", None),
        labels=None if predictor is None else getattr(predictor.task, "labels", None),
        max_length=model.embedder.max_length,
        dimensions=model.embedder.size,
        layers=model.model.config.num_hidden_layers,
        heads=model.model.config.num_attention_heads,
    )
