"""The endpoints: a request's body in, the models' answers out."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from bertsmith.inference.embedder import Vector
from bertsmith.inference.fill_mask import Candidate
from bertsmith.serving.errors import RequestError
from bertsmith.serving.guards import DEADLINE
from bertsmith.serving.metrics import CONTENT_TYPE, Metrics
from bertsmith.serving.schema import (
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
    PredictAnswer,
    PredictRequest,
    TokenizeAnswer,
    TokenizeRequest,
    Usage,
    WordAnswer,
)
from bertsmith.serving.served_model import ServedModel

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
    503: "the server is stopping",
    504: "no answer in time",
}


def build_router(
    models: Sequence[ServedModel], metrics: Metrics, is_ready: Callable[[], bool], created: int
) -> APIRouter:
    """The endpoints of a server.

    Args:
        models: with names of their own.
        metrics: what /metrics shows.
        is_ready: whether requests are wanted.
        created: when the models were loaded, in seconds since 1970.
    """
    router = APIRouter()
    by_name = {model.name: model for model in models}

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
        found = await _in_time(request, model.predict(body.records))
        return _json(
            PredictAnswer(model=model.name, task=model.task_names[0], answers=found.answers)
        )

    @router.post("/v1/fill-mask", response_model=FillMaskAnswer, responses=_ASKED)
    async def fill_mask(body: FillMaskRequest, request: Request) -> Response:
        """Find words for each [MASK] of a text."""
        model = named(body.model)
        work = model.fill_mask(_listed(body.input), top_k=body.top_k, words=body.words)
        found = await _in_time(request, work)
        answers = [[_words(mask) for mask in masks] for masks in found.answers]
        return _json(FillMaskAnswer(model=model.name, answers=answers))

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
        found = await _in_time(request, model.embed(_listed(body.input)))
        written = _base64 if body.encoding_format == "base64" else _numbers
        data = [
            Embedding(index=index, embedding=written(vector))
            for index, vector in enumerate(found.answers)
        ]
        usage = Usage(prompt_tokens=found.tokens, total_tokens=found.tokens)
        return _json(EmbeddingsAnswer(data=data, model=model.name, usage=usage))

    @router.post("/v1/tokenize", response_model=TokenizeAnswer, responses=_ASKED)
    async def tokenize(body: TokenizeRequest, request: Request) -> Response:
        """Cut texts to wordpieces."""
        model = named(body.model)
        found = await _in_time(request, model.tokenize(_listed(body.input)))
        answers = [
            EncodingAnswer(
                tokens=each.tokens,
                ids=each.ids,
                segment_ids=each.segment_ids,
                offsets=each.offsets,
            )
            for each in found.answers
        ]
        return _json(TokenizeAnswer(model=model.name, answers=answers))

    @router.get("/health/live")
    async def live() -> Health:
        """Whether the process answers at all; needs no key."""
        return Health(status="live")

    @router.get("/health/ready", responses=_errors(503))
    async def ready() -> Health:
        """Whether every model can be asked; needs no key."""
        if not is_ready():
            raise RequestError(503, "the server is stopping; ask another one")
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


def _json(answer: BaseModel) -> Response:
    # Checking an answer against its own schema once more would take longer than writing it.
    return Response(answer.model_dump_json(), media_type="application/json")


def _listed(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


def _words(candidates: Sequence[Candidate]) -> list[WordAnswer]:
    return [WordAnswer(word=each.word, probability=each.probability) for each in candidates]


def _base64(vector: Vector) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _numbers(vector: Vector) -> list[float]:
    found: list[float] = vector.tolist()
    return found


def _card(model: ServedModel, created: int) -> ModelCard:
    predictor = model.predictor
    return ModelCard(
        id=model.name,
        created=created,
        tasks=model.task_names,
        endpoints=model.endpoints,
        record=None if predictor is None else predictor.task.item_kinds,
        labels=None if predictor is None else getattr(predictor.task, "labels", None),
        max_length=model.embedder.max_length,
        dimensions=model.embedder.size,
    )
