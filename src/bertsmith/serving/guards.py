"""What stands before every endpoint: keys, the size of bodies, and the counting of requests."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any

from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bertsmith.serving.errors import FAILED, RequestError
from bertsmith.serving.metrics import Metrics

OPEN = ("/", "/health/live", "/health/ready")
"""Addresses that need no key: the page holds nothing of the models, and asks for them with one."""
DEADLINE = "bertsmith.deadline"
"""The key of a request's scope that holds when it must be answered, in seconds of the loop."""
# A client that is still sending does not read; what is this much too long is cut off instead.
_DRAINED_BODIES = 4

_log = logging.getLogger(__name__)


class Caught:
    """Answers 500 where nobody has caught an error, and logs it.

    The framework's own handler of all errors is outside of every guard: its answers would not have
    the headers without which a browser keeps them from scripts of other origins.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_begun = False

        async def noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except Exception:
            if has_begun:  # there is no second answer
                raise
            _log.exception("a request could not be answered")
            await RequestError(500, FAILED).response()(scope, receive, send)


class Headed:
    """Answers HEAD as GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if "body" in message else message)

        await self.app({**scope, "method": "GET"}, receive, without_body)


class Measured:
    """Counts requests and how long they take, by the route that they ask or would have asked."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Sequence[BaseRoute]) -> None:
        self.app = app
        self.routes = routes
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        status: int | None = None
        has_failed = True

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, counted)
            has_failed = False
        finally:
            # What sends nothing and does not fail has lost its client.
            status = status or (500 if has_failed else 499)
            route = scope.get("route") or self._route(scope)
            endpoint: str = getattr(route, "path", "other")
            self.metrics.answered(endpoint, status, time.perf_counter() - start)

    def _route(self, scope: Scope) -> BaseRoute | None:
        """Where a request would have gone that a guard has answered."""
        return next((x for x in self.routes if x.matches(scope)[0] is not Match.NONE), None)


class ApiKeys:
    """Lets requests with one of the keys pass, and those for health or the page without any."""

    def __init__(self, app: ASGIApp, keys: Iterable[str]) -> None:
        self.app = app
        # Hashes are equally long, so that comparing takes as long for every key.
        self.digests = [_digest(key.encode()) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401."""
        if scope["type"] == "http" and scope["path"] not in OPEN and not self._is_known(scope):
            error = RequestError(
                401,
                "this server needs an API key; send one of its keys as `Authorization: Bearer KEY`",
                headers={"WWW-Authenticate": "Bearer"},
            )
            await error.response()(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        given = _digest(key.strip().encode("latin-1"))  # the bytes as they were sent
        # All are compared, so that the time does not tell which one was near.
        matches = [hmac.compare_digest(given, digest) for digest in self.digests]
        return scheme.lower() == "bearer" and any(matches)


class BoundedBody:
    """Reads a request's whole body, up to a size and within its time, before anything is done."""

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_seconds: float) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.timeout_seconds = timeout_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 400, 408 or 413."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope[DEADLINE] = asyncio.get_running_loop().time() + self.timeout_seconds
        error: RequestError | None = None
        body = None
        try:
            async with asyncio.timeout_at(scope[DEADLINE]):
                body = await self._read(Headers(scope=scope), receive)
        except TimeoutError:
            seconds = f"{self.timeout_seconds:g}"
            error = RequestError(
                408,
                f"the body did not arrive within {seconds} s; send it again, whole",
                headers={"Connection": "close"},
            )
        except RequestError as found:
            error = found
        if error is not None:
            await error.response()(scope, receive, send)
        elif body is not None:
            await self.app(scope, _Replayed(body, receive), send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes | None:
        """The body; None where the client has gone."""
        if {"content-length", "transfer-encoding"} <= set(headers.keys()):
            # Proxies differ in which they go by, so that one request can be hidden in another.
            raise RequestError(
                400,
                "the request has both Content-Length and Transfer-Encoding; send one of them",
                headers={"Connection": "close"},
            )
        parts: list[bytes] = []
        size, has_more = 0, True
        while has_more and size <= _DRAINED_BODIES * self.max_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part: bytes = message.get("body", b"")
            size += len(part)
            if size <= self.max_bytes:
                parts.append(part)
            has_more = message.get("more_body", False)
        if size > self.max_bytes:
            raise RequestError(
                413,
                f"the body is larger than the {self.max_bytes:,} bytes that are read; send the "
                "texts in several requests",
                headers={"Connection": "close"},
            )
        return b"".join(parts)


class _Replayed:
    """The body that has been read, as one message, and then what the client does."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._first: Message | None = {"type": "http.request", "body": body, "more_body": False}
        self._receive = receive

    async def __call__(self) -> Any:
        """Give the next message."""
        message, self._first = self._first, None
        return message or await self._receive()


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
