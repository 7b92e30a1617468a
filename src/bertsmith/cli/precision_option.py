"""The option `--precision`, and why what it leaves open was decided so."""

from __future__ import annotations

import argparse
import sys


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Declare `--precision`."""
    parser.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16", "fp16"),
        default="auto",
        help="of the layers' products: fp32, bf16, fp16 (on a GPU), or the fastest here (auto); an "
        "exported model computes as it was exported",
    )


def precision_of_job(args: argparse.Namespace, device: str) -> tuple[str, str | None]:
    """The precision of a job, which is one for all its parts, and why where `auto` has chosen it.

    Args:
        args: with `precision`, `model`, `output` and `restart`.
        device: the kind that computes, here or elsewhere.
    """
    import torch

    from bertsmith.export.model_source import is_exported
    from bertsmith.inference.job import key_of_unfinished
    from bertsmith.inference.precision import faster_precision

    if is_exported(args.model) and args.precision == "auto":
        return "fp32", None  # as it was exported
    if args.precision != "auto":
        return args.precision, None
    begun_with = None if args.restart else key_of_unfinished(args.output).get("--precision")
    if begun_with is not None:
        return begun_with, "the job was begun with it"
    if device == "cuda" and not torch.cuda.is_available():
        return "fp32", "there is no GPU here to ask whether it has bfloat16"
    return faster_precision(torch.device(device))


def say_precision(args: argparse.Namespace, *models: str) -> None:
    """Say what `auto` has chosen, and why, when the work is done: bad input has one sentence alone.

    Args:
        args: with `precision` and `device`.
        models: what was opened; exported ones had nothing to choose.
    """
    from bertsmith.export.model_source import is_exported
    from bertsmith.inference.precision import faster_precision
    from bertsmith.training.parallelize import choose_device

    if args.precision == "auto" and not all(is_exported(model) for model in models):
        chosen, reason = faster_precision(choose_device(args.device))
        print(f"precision: {chosen}, since {reason}", file=sys.stderr)
