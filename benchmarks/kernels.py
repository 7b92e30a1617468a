"""Our GPU kernels one by one, on the lengths of real text, with block sizes to try.

    python benchmarks/kernels.py SHARDS [--tokens 131072] [--max-seqlen 512] [--heads 12]
        [KERNEL.NAME=NUMBER[,NUMBER...] ...]

SHARDS is a folder that `bertsmith prepare` has written. KERNEL is a table of block sizes in
`ops/triton_attention.py` or `ops/triton_gelu.py`, and NAME one of its keys or another that Triton
takes for a launch: `BACKWARD_KEY.maxnreg=112,128`. All combinations are timed. Medians, in ms;
without settings beside PyTorch's own of those that a model needs to answer.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from typing import Any

import torch
from triton.testing import do_bench

from bertsmith.data.loader import PretrainingBatches
from bertsmith.data.shards import TokenizedCorpus
from bertsmith.data.wordpiece_ids import WordpieceIds
from bertsmith.ops import triton_attention as attention
from bertsmith.ops import triton_gelu as gelu
from bertsmith.ops.attention import varlen
from bertsmith.ops.ragged import RaggedLayout
from bertsmith.ops.triton_layer_norm import added_norm
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.muon import Muon

HEAD_SIZE = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards")
    parser.add_argument("settings", nargs="*", metavar="KERNEL.NAME=NUMBER")
    parser.add_argument("--tokens", type=int, default=131072)
    parser.add_argument("--max-seqlen", type=int, default=512)
    parser.add_argument("--heads", type=int, default=12)
    args = parser.parse_intermixed_args()
    benches = attention_benches(args) | gelu_benches(args)
    if not args.settings:
        benches |= norm_benches(args) | muon_benches(args.heads * HEAD_SIZE)
        for name, bench in benches.items():
            print(f"{name:24} {median(bench):8.3f}", flush=True)
        return
    tried = [setting.partition("=")[::2] for setting in args.settings]
    places = [place for place, _ in tried]
    kinds = {place.split(".")[0] for place in places}
    for numbers in itertools.product(*(values.split(",") for _, values in tried)):
        for place, number in zip(places, numbers, strict=True):
            table, key = place.split(".")
            blocks = getattr(attention, table, None) or getattr(gelu, table)
            blocks[key] = int(number)
        label = " ".join(f"{place}={n}" for place, n in zip(places, numbers, strict=True))
        for name, bench in benches.items():
            if kinds & set(name.split()):
                try:
                    print(f"{label}: {name} {median(bench):.3f}", flush=True)
                except Exception as error:
                    print(f"{label}: {name} {str(error).splitlines()[0][:80]}", flush=True)


def median(bench: Callable[[], object]) -> float:
    milliseconds: float = do_bench(bench, warmup=10, rep=60, return_mode="median")
    return milliseconds


def attention_benches(args: argparse.Namespace) -> dict[str, Callable[[], object]]:
    source = PretrainingBatches(
        TokenizedCorpus.open(args.shards),
        WordpieceIds.of(Tokenizer.load(args.shards)),
        max_seqlen=args.max_seqlen,
        budget_tokens=args.tokens,
        seed=1,
    )
    batch = next(source.batches()).batch
    bounds = batch.cu_seqlens.cuda()
    qkv = torch.randn(args.tokens, 3, args.heads, HEAD_SIZE, device="cuda", dtype=torch.bfloat16)
    grad = torch.randn_like(qkv[:, 0])
    seed, factor = torch.ones(1, device="cuda").long(), torch.ones((), device="cuda")
    benches: dict[str, Callable[[], object]] = {}
    for label, one, prob in (("", None, 0.0), (" dropout", seed, 0.1)):
        sizes = (args.max_seqlen, prob)
        out, lse = attention.packed_attention(qkv, bounds, one, *sizes)
        saved = (grad, qkv, out, lse, bounds, one, *sizes)
        benches[f"FORWARD{label}"] = lambda one=one, sizes=sizes: attention.packed_attention(
            qkv, bounds, one, *sizes
        )
        both = "BACKWARD_QUERY BACKWARD_KEY"
        benches[f"{both}{label}"] = lambda saved=saved: attention.packed_attention_backward(
            *saved, None
        )
        benches[f"{both} 8-bit{label}"] = lambda saved=saved: attention.packed_attention_backward(
            *saved, factor
        )
    layout = RaggedLayout(bounds, batch.max_seqlen)
    benches["PyTorch's FlashAttention"] = lambda: varlen(qkv, layout, 0.0)
    return benches


def gelu_benches(args: argparse.Namespace) -> dict[str, Callable[[], object]]:
    width = 4 * args.heads * HEAD_SIZE
    x = torch.randn(args.tokens, width, device="cuda", dtype=torch.bfloat16)
    grad, bias = torch.randn_like(x), torch.randn(width, device="cuda")
    factor = torch.ones((), device="cuda")
    return {
        "PyTorch's GELU": lambda: torch.nn.functional.gelu(x),
        "FORWARD gelu": lambda: gelu.bias_gelu(x, bias),
        "FORWARD_8_BIT": lambda: gelu.bias_gelu_8_bit(x, bias, 4.0),
        "BACKWARD": lambda: gelu.bias_gelu_backward(grad, x, bias),
        "BACKWARD_8_BIT": lambda: gelu.bias_gelu_8_bit_backward(grad, x, bias, factor),
    }


def norm_benches(args: argparse.Namespace) -> dict[str, Callable[[], object]]:
    size = args.heads * HEAD_SIZE
    x = torch.randn(args.tokens, size, device="cuda", dtype=torch.bfloat16)
    residual, (weight, bias) = torch.randn_like(x), torch.randn(2, size, device="cuda").bfloat16()
    return {
        "sum and layer norm": lambda: added_norm(x, residual, weight, bias, 1e-12, x.dtype),
        "PyTorch's sum and norm": lambda: torch.nn.functional.layer_norm(
            x + residual, (size,), weight, bias, 1e-12
        ),
    }


def muon_benches(hidden: int) -> dict[str, Callable[[], object]]:
    """The matrices of twelve layers."""
    shapes = [(3 * hidden, hidden), (hidden, hidden), (4 * hidden, hidden), (hidden, 4 * hidden)]
    groups: list[dict[str, Any]] = [
        {"params": parameters(shapes[:1] * 12), "parts": 3},
        {"params": parameters(shapes[1:] * 12), "parts": 1},
    ]
    return {"Muon": Muon(groups, 1e-3).step}


def parameters(shapes: list[tuple[int, int]]) -> list[torch.nn.Parameter]:
    made = [torch.nn.Parameter(torch.randn(shape, device="cuda")) for shape in shapes]
    for parameter in made:
        parameter.grad = torch.randn_like(parameter)
    return made


if __name__ == "__main__":
    main()
