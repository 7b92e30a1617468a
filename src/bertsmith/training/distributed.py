"""Several processes that train one model: who is who, and what they tell each other.

`torchrun` starts them, on one machine or on many, and says in the environment which each is. All
have the whole model, or parts of one (`sharding`), and do the same steps: each works through its
share of a step's microbatches, gradients are added up over all, and from there on every process
computes the same. So nothing else has to be exchanged but what only one of them knows: the clock of
the first, and whether any was asked to stop.

This file and sharding.py are the only ones that read torch.distributed.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, nn

from bertsmith.errors import ConfigError

# Gradients are added up in pieces of about this many numbers: 64 MiB, enough for the full speed of
# the links, and little memory beside them.
BUCKET_NUMBERS = 16 * 2**20
AnyTensor = TypeVar("AnyTensor", bound=Tensor)
# The first process may write a checkpoint or evaluate for so long before the others give up.
TIMEOUT = timedelta(minutes=30)


class Group:
    """The processes of a run; this one is the only one.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
    """

    rank = 0
    size = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run's files and speaks to the user."""
        return self.rank == 0

    def share_of(self, microbatches: int, setting: str = "accumulation_steps") -> int:
        """How many of a step's microbatches each process works through.

        Args:
            microbatches: of a step, over all processes.
            setting: which one of `[train]` says so.

        Raises:
            ConfigError: they cannot be dealt out evenly.
        """
        if microbatches % self.size:
            raise ConfigError(
                f"train.{setting} ({microbatches}), the microbatches of a step over all "
                f"processes, must be a multiple of the {self.size} processes; set it to "
                f"{-(-microbatches // self.size) * self.size}, or start fewer"
            )
        return microbatches // self.size

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes."""

    def begin_to_add_up(self, tensors: Sequence[Tensor]) -> Callable[[], None]:  # noqa: ARG002
        """Start to; the sums are there when what is returned has been called.

        Args:
            tensors: of one type; all processes have to begin with the same.
        """
        return lambda: None

    def seconds_of_first(self, seconds: float) -> float:
        """The first process's clock, which schedules go by."""
        return seconds

    def signal_of_any(self, received: signal.Signals | None) -> signal.Signals | None:
        """A signal that any process got, to which all are to answer; None when none did."""
        return received

    def is_any(self, holds: bool) -> bool:
        """Whether something holds in any process."""
        return holds

    def figures_of_first(self, figures: Mapping[str, float]) -> dict[str, float]:
        """The first process's figures, which all are to act on."""
        return dict(figures)

    def wait_for_all(self) -> None:
        """Return when every process has come here."""


class LaunchedGroup(Group):
    """The processes that `torchrun` has started; made by `joined`."""

    def __init__(self) -> None:
        self.rank = torch.distributed.get_rank()
        self.size = torch.distributed.get_world_size()
        # For what is on the CPU, whatever the gradients are on.
        self._on_cpu = torch.distributed.new_group(backend="gloo", timeout=TIMEOUT)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes."""
        for bucket in buckets_of(tensors):
            self.begin_to_add_up(bucket)()

    def begin_to_add_up(self, tensors: Sequence[Tensor]) -> Callable[[], None]:
        """Start to; the sums are there when what is returned has been called."""
        if not tensors:
            return lambda: None
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        work = torch.distributed.all_reduce(flat, async_op=True)

        def finish() -> None:
            work.wait()
            parts = torch.split(flat, [tensor.numel() for tensor in tensors])
            torch._foreach_copy_(
                list(tensors), [p.view(t.shape) for p, t in zip(parts, tensors, strict=True)]
            )

        return finish

    def seconds_of_first(self, seconds: float) -> float:
        """The first process's clock, which schedules go by."""
        return self._largest(seconds if self.is_first else 0.0)

    def signal_of_any(self, received: signal.Signals | None) -> signal.Signals | None:
        """A signal that any process got, to which all are to answer; None when none did."""
        number = int(self._largest(float(received or 0)))
        return signal.Signals(number) if number else None

    def is_any(self, holds: bool) -> bool:
        """Whether something holds in any process."""
        return self._largest(float(holds)) > 0

    def _largest(self, number: float) -> float:
        shared = torch.tensor(number, dtype=torch.float64)
        torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MAX, group=self._on_cpu)
        return float(shared)

    def figures_of_first(self, figures: Mapping[str, float]) -> dict[str, float]:
        """The first process's figures, which all are to act on."""
        values = torch.tensor(list(figures.values()), dtype=torch.float64)
        torch.distributed.broadcast(values, 0, group=self._on_cpu)
        return dict(zip(figures, values.tolist(), strict=True))

    def wait_for_all(self) -> None:
        """Return when every process has come here."""
        torch.distributed.barrier(group=self._on_cpu)


def is_distributed() -> bool:
    """Whether this is one of several processes that `torchrun` has started."""
    is_launched = torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()
    return is_launched and int(os.environ["WORLD_SIZE"]) > 1


def is_first_process() -> bool:
    """Whether this process is the only one of its run or the first, that speaks to the user."""
    return not is_distributed() or os.environ["RANK"] == "0"


def local_device(name: str | None) -> str | None:
    """The device of this process: of several, each has the GPU of its own number on its machine.

    Raises:
        ConfigError: there are more processes on this machine than GPUs.
    """
    if not is_distributed() or name not in (None, "cuda") or not torch.cuda.is_available():
        return name
    count = torch.cuda.device_count()
    if int(os.environ["LOCAL_WORLD_SIZE"]) > count:
        raise ConfigError(
            f"there are more processes on this machine than its {count} GPUs; start torchrun with "
            f"--nproc-per-node {count}"
        )
    return f"cuda:{os.environ['LOCAL_RANK']}"


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Group]:
    """The run's processes, while it lasts.

    Args:
        device: of this process's model.
    """
    if not is_distributed():
        yield Group()
        return
    is_cuda = device.type == "cuda"
    if is_cuda:
        torch.cuda.set_device(device)
    # After a restart torchrun (PyTorch 2.13) hands out the same store, in which stand the addresses
    # of processes that are no more: so each start has keys of its own.
    store, rank, size = next(
        torch.distributed.rendezvous("env://", timeout=TIMEOUT)  # type: ignore[attr-defined]
    )
    start = f"bertsmith-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    torch.distributed.init_process_group(
        "nccl" if is_cuda else "gloo",
        store=torch.distributed.PrefixStore(start, store),  # type: ignore[attr-defined]
        rank=rank,
        world_size=size,
        timeout=TIMEOUT,
    )
    yield LaunchedGroup()
    # Not after an error: the others may still wait in it, and this process is about to end.
    torch.distributed.destroy_process_group()


def gradients_of(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Those that there are, in the parameters' order."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def buckets_of(tensors: Sequence[AnyTensor]) -> Iterator[list[AnyTensor]]:
    """Neighbours of one type that have about `BUCKET_NUMBERS` numbers together."""
    bucket: list[AnyTensor] = []
    for tensor in tensors:
        numbers = sum(each.numel() for each in bucket)
        if bucket and (
            numbers + tensor.numel() > BUCKET_NUMBERS or tensor.dtype != bucket[0].dtype
        ):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket
