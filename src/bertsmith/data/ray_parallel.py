"""A function over a stream on Ray: what `data/parallel.py` does, by the processes of a cluster.

The cluster is the one that `RAY_ADDRESS` names, or else one on this machine alone that lives as
long as the work. Nothing is reported to Ray's makers.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import secrets
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from bertsmith.cores import available_cores
from bertsmith.data.chunked import until_error
from bertsmith.errors import BertsmithError, ConfigError, DataError

# A process may be killed for want of memory by chance; what kills as many as these always does.
MAX_LOSSES = 4
# Parts on their way to a worker and results on their way back, two of each; more goes to the disk.
_STORE_BYTES = 2**28
_STORE_BYTES_PER_WORKER = 2**26
_CONNECT_SECONDS = 10.0
# Whoever may connect to a cluster can run code there. One of our own listens at 127.0.0.1 alone, in
# place of all addresses of the machine, and asks for a token that only this process knows.
_PRIVATE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}

X = TypeVar("X")
Y = TypeVar("Y")


@contextlib.contextmanager
def ray_cluster(workers: int | None = None) -> Iterator[RayCluster]:
    """Connect to the cluster of `RAY_ADDRESS`, or run one here until the block ends.

    Args:
        workers: processes that a cluster of this machine is to have; every core when None.

    Raises:
        ConfigError: Ray is not installed, or the address leads to no cluster.
    """
    address = os.environ.get("RAY_ADDRESS") or "local"
    _check_installed()
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    # Ray reads these when it is imported.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address == "local":
        os.environ |= _PRIVATE
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        count = available_cores() if workers is None else workers
        settings |= {
            "num_cpus": count,
            "include_dashboard": False,
            "object_store_memory": max(_STORE_BYTES, count * _STORE_BYTES_PER_WORKER),
        }
    else:
        _check_address(address)
    import ray

    with _own_sigterm():
        try:
            ray.init(address=address, **settings)
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise ConfigError(f"Ray cannot be used at {address}: {_first_line(error)}") from None
    try:
        yield RayCluster(ray)
    finally:
        ray.shutdown()


class RayCluster:
    """A cluster that this process is connected to; made by `ray_cluster`."""

    def __init__(self, ray: Any):
        self._ray = ray
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self._nodes = [(int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in nodes]

    @property
    def has_gpus(self) -> bool:
        """Whether any of the machines has one."""
        return any(gpus for _, gpus in self._nodes)

    def cpus_of_each(self, wanted: int, workers: int | None = None) -> int:
        """As many CPUs for a worker as are wanted, or as there are for so many workers."""
        fitting = (cpus for cpus in range(wanted, 0, -1) if self._room(cpus, 0) >= (workers or 1))
        return next(fitting, 1)

    def num_workers(self, asked: int | None, *, cpus: int = 1, gpus: int = 0) -> int:
        """How many processes to use that have so many CPUs and GPUs each.

        Args:
            asked: by the user; None: as many as there is room for.
            cpus: of each.
            gpus: of each.

        Raises:
            ConfigError: there is room for none, or not for those that are asked for.
        """
        if asked is not None and asked < 1:
            raise ConfigError(f"the number of workers ({asked}) must be at least 1")
        room, wanted = self._room(cpus, gpus), asked or 1
        if wanted > room:
            device = "GPUs" if gpus else "CPUs"
            raise ConfigError(
                f"the cluster's {device} are enough for {room} workers and {wanted} are wanted; "
                "ask for fewer with --workers, or use a larger cluster"
            )
        return asked or room

    def _room(self, cpus: int, gpus: int) -> int:
        return sum(
            min(have_cpus // cpus, have_gpus // gpus if gpus else have_cpus)
            for have_cpus, have_gpus in self._nodes
        )

    def ordered_map(
        self,
        make: Callable[[], Callable[[X], Y]],
        items: Iterable[X],
        workers: int,
        *,
        cpus: int = 1,
        gpus: int = 0,
    ) -> Generator[tuple[X, Y], None, None]:
        """As `bertsmith.data.parallel.ordered_map`; the item of a killed process is done again.

        Args:
            make: makes the function, once in every worker; must be picklable.
            items: read as far ahead as keeps the workers busy.
            workers: processes, wherever in the cluster.
            cpus: of each.
            gpus: of each.

        Raises:
            DataError: an item has killed one worker after the other, or the cluster has failed.
        """
        ray = self._ray
        # No retries of Ray's own: they are used up before a lost machine is known to be lost.
        kind = ray.remote(_Worker).options(num_cpus=cpus, num_gpus=gpus)
        crew = _Crew(ray, kind.remote, make, workers)
        errors: list[BertsmithError] = []
        unread = until_error(items, errors)
        pending: deque[_Entry] = deque()
        try:
            while True:
                pending.extend(map(_Entry, islice(unread, 2 * workers + 1 - len(pending))))
                if not pending:
                    break
                crew.give(pending)
                while not pending[0].is_done:
                    crew.listen()
                    crew.give(pending)
                first = pending.popleft()
                if first.error is not None:
                    raise first.error
                yield first.item, first.result
        finally:
            crew.dismiss()
        if errors:
            raise errors[0]


@dataclass
class _Entry:
    """An item, and what has become of it."""

    item: Any
    is_given: bool = False
    is_done: bool = False
    result: Any = None
    error: BaseException | None = None
    num_losses: int = 0
    """Workers that were lost while they had it."""


class _Crew:
    """Workers, each of which is replaced when it is lost, and what each has been given.

    Who replaces one of a lost machine may never come; what nobody has goes to those who are there.
    """

    def __init__(
        self, ray: Any, start: Callable[[], Any], make: Callable[[], Any], size: int
    ) -> None:
        self._ray = ray
        self._start = start
        # In a list, since what is given by itself would be unpacked again for every item.
        self._made = [ray.put(make)]
        self._actors: dict[int, Any] = {}
        self._greetings: dict[Any, int] = {}  # the calls of those who are not yet there
        self._given: dict[int, dict[Any, _Entry]] = {}  # those who are, and their calls
        self._num_hired = self._num_failed_starts = 0
        self._size = size
        for _ in range(size):
            self._hire()

    def give(self, entries: Iterable[_Entry]) -> None:
        """Hand out what nobody has, two at a time to each, so that nobody waits for the next."""
        for entry in entries:
            if entry.is_given or not self._given:
                continue
            least = min(self._given, key=lambda number: len(self._given[number]))
            if len(self._given[least]) >= 2:
                return
            call = self._actors[least].work.remote(self._made, entry.item)
            self._given[least][call] = entry
            entry.is_given = True

    def listen(self) -> None:
        """Wait until something is heard of one of them."""
        calls = {call: number for number, given in self._given.items() for call in given}
        (call, *_), _ = self._ray.wait([*self._greetings, *calls], num_returns=1)
        if call in self._greetings:
            self._welcome(self._greetings.pop(call), call)
        else:
            self._answered(calls[call], call)

    def dismiss(self) -> None:
        """End them all."""
        for number in list(self._actors):
            self._end(number)

    def _hire(self) -> None:
        number = self._num_hired
        self._num_hired += 1
        self._actors[number] = self._start()
        self._greetings[self._actors[number].greet.remote()] = number

    def _welcome(self, number: int, call: Any) -> None:
        try:
            self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            self._num_failed_starts += 1
            if self._num_failed_starts >= MAX_LOSSES * self._size:
                raise DataError(
                    f"no worker can be started in the cluster ({_first_line(error)}); bertsmith "
                    "must be installed on each of its machines, in the same version"
                ) from None
            self._replace(number)
        else:
            self._given[number] = {}

    def _answered(self, number: int, call: Any) -> None:
        errors = self._ray.exceptions
        entry = self._given[number].pop(call)
        try:
            entry.result = self._ray.get(call)
            entry.is_done = True
        except errors.RayTaskError as error:  # what the function itself has raised
            entry.error, entry.is_done = error.cause, True
        except errors.RayError:
            for each in [entry, *self._given.pop(number).values()]:
                each.is_given = False
                each.num_losses += 1
            if entry.num_losses >= MAX_LOSSES:
                raise DataError(
                    f"{MAX_LOSSES} workers were killed at the same part, which is mostly for want "
                    "of memory; run the same again with fewer workers"
                ) from None
            self._replace(number)

    def _replace(self, number: int) -> None:
        self._hire()
        self._end(number)

    def _end(self, number: int) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(self._actors.pop(number))


class _Worker:
    """A process of the cluster."""

    def __init__(self) -> None:
        self._function: Callable[[Any], Any] | None = None

    def greet(self) -> None:
        """Let it be known that the process is there."""

    def work(self, made: list[Any], item: Any) -> Any:
        """The function of an item; made at the first one, so that its errors are seen as any."""
        if self._function is None:
            import ray

            self._function = ray.get(made[0])()
        return self._function(item)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def _check_installed() -> None:
    if importlib.util.find_spec("ray") is None:
        raise ConfigError("--engine ray needs the package ray; `pip install 'bertsmith[ray]'`")


def _check_address(address: str) -> None:
    """Say within seconds that nobody is there; Ray itself tries for a minute and longer."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdecimal():
        return  # such as `auto`, which Ray looks up
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"RAY_ADDRESS ({address}) cannot be reached: {reason}; start the cluster with `ray "
            "start --head`, or unset RAY_ADDRESS to use this machine alone"
        ) from None


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep the program's own handler of SIGTERM, which Ray replaces when it starts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
