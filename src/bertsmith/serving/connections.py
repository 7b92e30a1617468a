"""Connections of clients: how many there may be, and how long one may be silent.

uvicorn has a time limit between requests and none before the first one or within its first lines.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

from bertsmith.serving.errors import RequestError

HEADER_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 75
"""Longer than nginx keeps a connection (60 s), so that it never sends into one that is closing."""
BACKLOG = 100
"""Connections that are taken at once, before any can be refused."""
_MOST_CONNECTIONS = 4096
# Of the files that a process may have open; the models' files and the loop's own are some dozens.
_OTHER_FILES = 64


class BoundedConnection(H11Protocol):
    """A connection that ends when its client does not say what it wants.

    Where there are too many, the one that has been silent for longest makes room for a new one.
    """

    header_seconds: ClassVar[float] = HEADER_SECONDS
    """From the beginning of a request, or of the connection, to the end of its headers."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._timer: asyncio.TimerHandle | None = None
        self._idle_since = self.loop.time()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time for the first request."""
        super().connection_made(transport)
        self._make_room()
        self._limit_headers()

    def data_received(self, data: bytes) -> None:
        """Read on; what has begun must come to the end of its headers."""
        super().data_received(data)
        if self.is_idle:
            self._limit_headers()
        else:
            self._unlimit_headers()

    def on_response_complete(self) -> None:
        """Be idle again."""
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time limit."""
        self._unlimit_headers()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - it is not of one form
        """Answer what is no HTTP in the form of all errors."""
        if self.is_idle:
            sentence = "the request cannot be read; send HTTP/1.1, with a Host header"
            body = bytes(RequestError(400, sentence).response().body)
            head = (
                "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()

    def _limit_headers(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.header_seconds, self.transport.close)

    def _unlimit_headers(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _make_room(self) -> None:
        if len(self.connections) <= most_connections():
            return
        others = [cast("BoundedConnection", each) for each in self.connections]
        idle = [each for each in others if each.is_idle and not each.transport.is_closing()]
        min(idle, key=lambda each: each._idle_since).transport.abort()  # itself is one of them


def most_connections() -> int:
    """How many there may be, so that the process can open files and take connections after that."""
    if sys.platform == "win32":  # has no such limit
        return _MOST_CONNECTIONS
    import resource

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(1, min(_MOST_CONNECTIONS, files - BACKLOG - _OTHER_FILES))
