"""A server from start to end: models loaded, requests answered, accepted ones finished."""

from __future__ import annotations

import contextlib
import gc
import re
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from bertsmith.errors import ConfigError
from bertsmith.inference.opened_model import open_model
from bertsmith.serving.app import build_app
from bertsmith.serving.connections import (
    BACKLOG,
    HEADER_SECONDS,
    KEEP_ALIVE_SECONDS,
    BoundedConnection,
)
from bertsmith.serving.defaults import HOST, MAX_WAIT_MS, PORT
from bertsmith.serving.limits import Limits
from bertsmith.serving.metrics import Metrics
from bertsmith.serving.served_model import ServedModel
from bertsmith.training.parallelize import choose_device, limit_host_threads


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """What one server is to do.

    Raises:
        ConfigError: a setting cannot work.
    """

    models: Sequence[tuple[str, str]]
    """Name and folder of each."""
    host: str = HOST
    port: int = PORT
    """0 takes one that is free."""
    device: str | None = None
    batch_tokens: int | None = None
    """The most tokens to compute at once; None: what suits the device."""
    max_wait_ms: float = MAX_WAIT_MS
    """How long the first text of a batch waits for others, in milliseconds."""
    precision: str = "fp32"
    """`fp32`, `bf16`, `fp16` or `auto`, as for `open_model`."""
    limits: Limits = field(default_factory=Limits)
    api_keys: Sequence[str] = ()
    cors_origins: Sequence[str] = ()

    def __post_init__(self) -> None:
        names = [name for name, _ in self.models]
        for name in names:
            if not name or names.count(name) > 1:
                raise ConfigError(
                    f"the models' names ({', '.join(names)}) must differ and not be empty; "
                    "give each a name of its own as NAME=DIR"
                )
        if not 0 <= self.port < 2**16:
            raise ConfigError(f"port ({self.port}) must be from 0 to {2**16 - 1}")
        if self.batch_tokens is not None and self.batch_tokens < 1:
            raise ConfigError(f"batch_tokens ({self.batch_tokens}) must be at least 1")
        for origin in self.cors_origins:
            if origin != "*" and re.fullmatch(r"https?://[^/\s]+", origin) is None:
                raise ConfigError(
                    f"cors_origin ({origin!r}) must be as browsers send it, such as "
                    "https://example.org: a scheme, a host, perhaps a port, and nothing after it"
                )
        if not 0 <= self.max_wait_ms <= 1000:
            raise ConfigError(f"max_wait_ms ({self.max_wait_ms}) must be from 0 to 1000")


def serve(settings: ServerSettings, *, on_start: Callable[[str], None] = print) -> None:
    """Answer requests until SIGTERM or SIGINT; what was accepted by then is finished.

    Args:
        settings: of the server.
        on_start: is told the address when requests are taken.

    Raises:
        CheckpointError: a model cannot be opened.
        ConfigError: a setting cannot work, or the port is taken.
    """
    device = choose_device(settings.device)
    limit_host_threads(device)
    listening = _bound(settings.host, settings.port)
    with listening:
        metrics = Metrics()
        models = [
            ServedModel(
                name,
                open_model(folder, device=device, precision=settings.precision),
                limits=settings.limits,
                metrics=metrics,
                device=device,
                batch_tokens=settings.batch_tokens,
                max_wait_seconds=settings.max_wait_ms / 1000,
            )
            for name, folder in settings.models
        ]
        # What has been loaded stays, so that looking for what has not need not go through it.
        gc.freeze()
        app = build_app(
            models,
            settings.limits,
            metrics,
            api_keys=settings.api_keys,
            cors_origins=settings.cors_origins,
        )

        class Connection(BoundedConnection):
            header_seconds = min(HEADER_SECONDS, settings.limits.timeout_seconds)

        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=max(1, round(settings.limits.grace_seconds)),
        )
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        with _refusals(settings.host, settings.port):
            listening.listen(BACKLOG)
        server = _Server(config, lambda: on_start(f"http://{shown}:{port}"))
        server.run(sockets=[listening])


def read_api_keys(path: str | Path) -> list[str]:
    """The keys in a file, one a line; blank lines and those that begin with # are none.

    Raises:
        ConfigError: the file cannot be read or has none, or one that a client cannot send.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"{path} cannot be read ({reason}); give a file of keys") from None
    keys = []
    for number, line in enumerate(lines, 1):
        key = line.strip()
        if not key or key.startswith("#"):
            continue
        if re.fullmatch("[!-~]+", key) is None:
            raise ConfigError(
                f"{path}:{number}: a key must be of printable ASCII characters without blanks; "
                "write another one"
            )
        keys.append(key)
    if not keys:
        raise ConfigError(f"{path} holds no keys; write one a line, or leave --api-keys-file out")
    return keys


class _Server(uvicorn.Server):
    """uvicorn's server, which ends as one that was told to and not as one that was killed."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The base class raises the signal again at the end, which would make the exit status that
        # of a process which did not finish its work.
        previous = {
            each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for each, handler in previous.items():
                signal.signal(each, handler)


def _bound(host: str, port: int) -> socket.socket:
    """A socket, bound before models are loaded, which may take minutes.

    It does not listen yet: who connects meanwhile, such as a proxy, is refused and need not wait.

    Raises:
        ConfigError: there is no such address, or the port is taken.
    """
    with _refusals(host, port):
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except OSError:
            listening.close()
            raise
    return listening


@contextlib.contextmanager
def _refusals(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeError) as error:  # a name such as a..b cannot be encoded
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"cannot listen at {host}, port {port} ({reason}); give another --host or --port"
        ) from None
