"""Recording of what a CUDA device does, to be replayed at once."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import torch

Results = TypeVar("Results")


def record(
    run: Callable[[], Results],
    device: torch.device,
    pool: Any,
    *,
    warm_up: Callable[[], object] | None = None,
) -> tuple[torch.cuda.CUDAGraph, Results]:
    """Record what `run` launches, which does not run it; other threads may go on meanwhile.

    `torch.cuda.graph` would do, but first collects garbage, as long as twenty steps take. It
    does so because a graph that Python frees during a capture would break it; so nothing is
    collected then.

    Args:
        run: must not look at the device's values.
        device: a CUDA device.
        pool: the memory of the recorded tensors, from `torch.cuda.graph_pool_handle`.
        warm_up: lets libraries set themselves up on the capture's stream; None where they have.

    Returns:
        The graph, and what `run` has returned: tensors that every replay writes.
    """
    stream = _capture_stream(device)
    current = torch.cuda.current_stream(device)
    stream.wait_stream(current)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.stream(stream):
        if warm_up is not None:
            warm_up()
        torch.cuda.synchronize(device)
        with _no_garbage_collection():
            graph.capture_begin(pool=pool, capture_error_mode="thread_local")
            try:
                results = run()
            finally:
                graph.capture_end()
    current.wait_stream(stream)
    return graph, results


@cache
def _capture_stream(device: torch.device) -> torch.cuda.Stream:
    """One for the process, since libraries keep 64 MiB of workspace for each stream they see."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
