"""`bertsmith embed`: one vector for each text, to a .npy file."""

from __future__ import annotations

import argparse
import functools
import json
import sys
from typing import TYPE_CHECKING

from bertsmith.cli.job_options import add_job_options, model_path, run_job, workers_for_models
from bertsmith.cli.layout_settings import add_input, read_source
from bertsmith.cli.precision_option import add_precision, precision_of_job
from bertsmith.cli.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from bertsmith.inference.job import Answer

HELP = "make one vector of each text"
EXAMPLES = """examples:
  bertsmith embed --model all-MiniLM-L6-v2 --input sentences.txt --output sentences.npy
      pools and scales as the model's folder says; numpy.load opens the file
  bertsmith embed --model runs/base --input reviews.csv --output reviews.npy --pooling cls \\
      --layer -2 --normalize
      after an interruption the same command goes on
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", required=True, metavar="DIR", help="a model of any kind")
    parser.add_argument("--output", required=True, metavar="X.npy", help="(texts, H) of float32")
    parser.add_argument("--pooling", help="mean, cls or max (the model's own, else mean)")
    parser.add_argument("--layer", type=int, default=-1, help="whose vectors: -1 is the last")
    parser.add_argument(
        "--normalize",
        action=argparse.BooleanOptionalAction,
        help="scale vectors to length 1, or leave them as they are (the model's own, else not)",
    )
    parser.add_argument("--device", help="cpu or cuda; a GPU where there is one")
    add_precision(parser)
    add_job_options(parser)
    add_input(parser)


def run(args: argparse.Namespace) -> None:
    """Write the vectors; an interrupted job goes on where it stopped."""
    source = read_source(args.input, args.overrides)
    import torch

    from bertsmith.export.model_fingerprint import model_fingerprint
    from bertsmith.inference.embedder import Embedder
    from bertsmith.inference.job import Job, refuse_input
    from bertsmith.inference.part_answers import EmbedPart, open_embed_part
    from bertsmith.inference.vector_file import header
    from bertsmith.training.record_evaluation import batch_tokens_on

    refuse_input(args.output, source.file("test"))
    settings = {"pooling": args.pooling, "layer": args.layer, "normalize": args.normalize}
    with workers_for_models(args.engine, args.workers, args.device) as workers:
        precision, reason = precision_of_job(args, workers.device)
        settings["precision"] = precision
        device = "cpu" if workers.is_remote else args.device
        embedder = Embedder.load(args.model, device=device, **settings)
        pooling, fingerprint = embedder.pooling, model_fingerprint(args.model)
        job = Job(
            args.output,
            {"verb": "embed", "model": fingerprint, "device": workers.device}
            | {"--precision": precision}
            | {"--layer": embedder.layer, "--pooling": pooling.mode}
            | {"--normalize": pooling.normalize},
            header=lambda rows: header(rows, embedder.size),
            can_continue=args.input != "-",
            restart=args.restart,
        )
        make: Callable[[], Answer] = functools.partial(EmbedPart, embedder)
        if workers.is_remote:
            path = model_path(args.model)
            make = functools.partial(open_embed_part, path, fingerprint, workers.device, settings)
        batch_tokens = batch_tokens_on(torch.device(workers.device))
        count = run_job(job, source, make, workers, batch_tokens)
    facts = {"path": args.output, "texts": count, "size": embedder.size}
    print(json.dumps(facts | {"pooling": pooling.mode, "normalize": pooling.normalize}))
    if reason:
        print(f"precision: {precision}, since {reason}", file=sys.stderr)
    print(f"{counted(count, 'vector')} of {embedder.size} in {args.output}", file=sys.stderr)
    print(f"next: python -c \"import numpy; print(numpy.load('{args.output}'))\"", file=sys.stderr)
