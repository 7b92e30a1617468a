"""The application: endpoints behind their guards, and one shape for every error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from bertsmith.errors import BertsmithError
from bertsmith.serving.errors import (
    FAILED,
    RequestError,
    of_http,
    of_library,
    of_validation,
)
from bertsmith.serving.guards import ApiKeys, BoundedBody, Caught, Headed, Measured
from bertsmith.serving.limits import Limits
from bertsmith.serving.metrics import Metrics
from bertsmith.serving.routes import build_router
from bertsmith.serving.schema import REQUESTS
from bertsmith.serving.served_model import ServedModel
from bertsmith.version import own_version


def build_app(
    models: Sequence[ServedModel],
    limits: Limits,
    metrics: Metrics,
    *,
    api_keys: Sequence[str] = (),
    cors_origins: Sequence[str] = (),
) -> FastAPI:
    """The server as an ASGI application; when it ends the models have finished their work.

    Args:
        models: with names of their own.
        limits: of each request.
        metrics: what /metrics shows; the models count in it.
        api_keys: one of which a request must have; none: everyone may ask.
        cors_origins: pages of other origins whose scripts may ask; none: no others.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG001
        yield
        for model in models:
            await asyncio.to_thread(model.close)

    # The framework's pages of documentation load scripts from elsewhere, so there are none.
    app = FastAPI(
        title="bertsmith",
        summary="BERT models: predictions, masked words, vectors, wordpieces.",
        version=own_version(),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    router = build_router(models, metrics, int(time.time()))
    app.include_router(router)
    routes = [*router.routes, *app.routes]
    _answer_errors(app)
    # The last one added is the first one asked.
    app.add_middleware(Caught)
    app.add_middleware(
        BoundedBody, max_bytes=limits.max_body_bytes, timeout_seconds=limits.timeout_seconds
    )
    if api_keys:
        app.add_middleware(ApiKeys, keys=api_keys)
    app.add_middleware(Measured, metrics=metrics, routes=routes)
    app.add_middleware(Headed)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After"],
        )
    return app


def _answer_errors(app: FastAPI) -> None:
    async def request_error(request: Request, error: Any) -> Response:  # noqa: ARG001
        return RequestError.response(error)

    async def library_error(request: Request, error: Any) -> Response:  # noqa: ARG001
        return of_library(error).response()

    async def http_error(request: Request, error: Any) -> Response:  # noqa: ARG001
        return of_http(error.status_code, error.detail, error.headers).response()

    async def validation_error(request: Request, error: Any) -> Response:
        fields = REQUESTS[request.url.path].model_fields
        described = {name: field.description or "" for name, field in fields.items()}
        return of_validation(error.errors(), described).response()

    async def guards_error(request: Request, error: Exception) -> Response:  # noqa: ARG001
        return RequestError(500, FAILED).response()

    app.add_exception_handler(RequestError, request_error)
    app.add_exception_handler(BertsmithError, library_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    # Of the guards themselves; what goes wrong behind them is answered there.
    app.add_exception_handler(Exception, guards_error)
