"""`bertsmith embed`: one vector for each text, to a .npy file."""

from __future__ import annotations

import argparse
import json
import sys

from bertsmith.cli.layout_settings import add_input, read_layout_settings
from bertsmith.cli.wording import counted

HELP = "make one vector of each text"
EXAMPLES = """examples:
  bertsmith embed --model all-MiniLM-L6-v2 --input sentences.txt --output sentences.npy
      pools and scales as the model's folder says; numpy.load opens the file
  bertsmith embed --model runs/base --input reviews.csv --output reviews.npy --pooling cls \\
      --layer -2 --normalize
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", required=True, metavar="DIR", help="a model of any kind")
    parser.add_argument("--output", required=True, metavar="X.npy", help="(texts, H) of float32")
    parser.add_argument("--pooling", help="mean, cls or max (the model's own, else mean)")
    parser.add_argument("--layer", type=int, default=-1, help="whose vectors: -1 is the last")
    parser.add_argument(
        "--normalize", action="store_true", default=None, help="scale vectors to length 1"
    )
    parser.add_argument("--device", help="cpu or cuda; a GPU where there is one")
    add_input(parser)


def run(args: argparse.Namespace) -> None:
    """Write the vectors, whole or not at all."""
    layout = read_layout_settings(args.overrides)
    from tqdm import tqdm

    from bertsmith.data.records import read_records
    from bertsmith.inference.embedder import Embedder
    from bertsmith.inference.vector_file import write_vectors

    settings = {"pooling": args.pooling, "layer": args.layer, "normalize": args.normalize}
    embedder = Embedder.load(args.model, device=args.device, **settings)
    records = read_records(args.input, layout=layout)
    bar = tqdm(embedder.vectors(records), unit="text", disable=not sys.stderr.isatty())
    count = write_vectors(args.output, bar, embedder.size)
    pooling = embedder.pooling
    facts = {"path": args.output, "texts": count, "size": embedder.size}
    print(json.dumps(facts | {"pooling": pooling.mode, "normalize": pooling.normalize}))
    print(f"{counted(count, 'vector')} of {embedder.size} in {args.output}", file=sys.stderr)
    print(f"next: python -c \"import numpy; print(numpy.load('{args.output}'))\"", file=sys.stderr)
