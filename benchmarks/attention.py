"""How long each attention takes, by length, precision and dropout.

    python benchmarks/attention.py [--device cpu] [--threads 2] [--repeats 7] [--hidden-size 768]
        [--tokens 2048]

Sequences are of mixed lengths, between half of the longest and the longest. Times are medians in
milliseconds, of the forward pass alone and of both passes. An attention that refuses what is asked
has no figure. The figures behind `auto` (bertsmith/ops/attention.py).
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from bertsmith.errors import ConfigError
from bertsmith.ops.attention import eager, sdpa, triton, varlen
from bertsmith.ops.ragged import RaggedLayout

ATTENTIONS = {"sdpa": sdpa, "eager": eager, "varlen": varlen, "triton": triton}
HEADS = {"384": (12, 32), "768": (12, 64)}  # hidden size: heads and the size of one
LENGTHS = (16, 32, 64, 128, 256, 384, 512)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--hidden-size", choices=tuple(HEADS), default="768")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)

    on_cuda = ("varlen", "triton")
    names = [name for name in ATTENTIONS if name not in on_cuda or args.device != "cpu"]
    print(f"| length | precision | dropout | {' | '.join(names)} |")
    print("|---" * (3 + len(names)) + "|")
    choices = itertools.product(LENGTHS, (torch.float32, torch.bfloat16), (0.0, 0.1))
    for length, dtype, dropout_prob in choices:
        cells = [str(length), str(dtype).removeprefix("torch."), str(dropout_prob)]
        for name in names:
            qkv, layout = sequences(length, dtype, args)
            try:
                times = passes(ATTENTIONS[name], qkv, layout, dropout_prob, args)
            except ConfigError:
                cells.append("")
            else:
                cells.append(" / ".join(f"{1000 * seconds:.2f}" for seconds in times))
        print(f"| {' | '.join(cells)} |", flush=True)


def sequences(
    longest: int, dtype: torch.dtype, args: argparse.Namespace
) -> tuple[Tensor, RaggedLayout]:
    """Queries, keys and values (T, 3, N, D), and where each sequence lies in them."""
    generator = torch.Generator().manual_seed(0)
    count = max(1, args.tokens * 4 // (3 * longest))
    lengths = torch.randint(longest // 2, longest + 1, (count,), generator=generator)
    lengths[0] = longest
    bounds = torch.zeros(count + 1, dtype=torch.int32)
    bounds[1:] = lengths.cumsum(0)
    layout = RaggedLayout(bounds.to(args.device), longest)
    heads, size = HEADS[args.hidden_size]
    qkv = torch.randn(int(bounds[-1]), 3, heads, size, generator=generator)
    return qkv.to(args.device, dtype).requires_grad_(), layout


def passes(
    attention: Callable[..., Tensor],
    qkv: Tensor,
    layout: RaggedLayout,
    dropout_prob: float,
    args: argparse.Namespace,
) -> tuple[float, float]:
    """Seconds of the forward pass, and of forward and backward."""

    def forward() -> None:
        with torch.no_grad():
            attention(qkv, layout, dropout_prob)

    def both() -> None:
        output = attention(qkv, layout, dropout_prob)
        torch.autograd.grad(output.sum(), qkv)  # .backward() would also add to old gradients

    return median(forward, args), median(both, args)


def median(work: Callable[[], None], args: argparse.Namespace) -> float:
    """Of as many times as asked for, after two that do not count."""
    seconds = []
    for index in range(args.repeats + 2):
        start = time.perf_counter()
        work()
        if args.device != "cpu":
            torch.cuda.synchronize()
        if index >= 2:
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
