"""`bertsmith features`: the vectors of wordpieces, as Google's extract_features.py writes them."""

from __future__ import annotations

import argparse
import json
import sys

from bertsmith.cli.layout_settings import add_input, read_layout_settings

HELP = "write the vectors of every wordpiece, in the form of Google's extract_features"
EXAMPLES = """examples:
  bertsmith features --model runs/base --input sentences.txt --layers -1,-2 > features.jsonl
      one JSON object a text: {"linex_index": 0, "features": [{"token": "[CLS]", "layers": ...
  bertsmith features --model runs/base --input - --layers -1
      reads a text a line; a tab or ||| in a line makes it a pair
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", required=True, metavar="DIR", help="a model of any kind")
    parser.add_argument(
        "--layers",
        metavar="A,B",
        help="which layers, -1 being the last (default: the last four, or as many as there are)",
    )
    parser.add_argument("--device", help="cpu or cuda; a GPU where there is one")
    add_input(parser)


def run(args: argparse.Namespace) -> None:
    """Print the features of each text as soon as they are known."""
    layout = read_layout_settings(args.overrides)
    from bertsmith.data.records import read_records
    from bertsmith.errors import ConfigError
    from bertsmith.export.model_folder import load_model
    from bertsmith.inference.features import features
    from bertsmith.inference.text_examples import split_pairs
    from bertsmith.training.parallelize import choose_device

    try:
        layers = None if args.layers is None else [int(each) for each in args.layers.split(",")]
    except ValueError:
        raise ConfigError(f"--layers ({args.layers}) must be numbers, such as -1,-2") from None
    records = split_pairs(read_records(args.input, layout=layout))
    device = choose_device(args.device)
    loaded = load_model(args.model)
    loaded.model.to(device)
    for found in features(loaded, records, layers=layers):
        print(json.dumps(found, ensure_ascii=False), flush=True)
    print(
        f"next: bertsmith embed --model {args.model} --input {args.input} --output X.npy",
        file=sys.stderr,
    )
