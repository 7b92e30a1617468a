"""`bertsmith convert`: any BERT to a model folder."""

from __future__ import annotations

import argparse
import json
import sys

HELP = "turn Google's TensorFlow checkpoint or any BERT of the hub into a model folder"
EXAMPLES = """examples:
  bertsmith convert uncased_L-12_H-768_A-12.zip bert-base
      also the prefix FOLDER/bert_model.ckpt, or the folder that holds it
  bertsmith convert google-bert/bert-base-uncased@main bert-base
      a name of Hugging Face's hub, at a branch, tag or commit where one is given
  bertsmith convert runs/mini mini --dtype bf16
      half as large, and a little less exact
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "source", metavar="SOURCE", help="TensorFlow checkpoint or zip, model folder, or hub name"
    )
    parser.add_argument("output", metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--dtype",
        choices=("fp32", "bf16"),
        default="fp32",
        help="of the weights in the file; bf16 takes half the room and keeps two to three digits",
    )
    parser.add_argument(
        "--normalization",
        choices=("huggingface", "google"),
        help="whose rules cut texts (default: as stored, else huggingface); docs/tokenizers.md",
    )


def run(args: argparse.Namespace) -> None:
    """Write the folder and say what was read."""
    import shutil
    from pathlib import Path

    import torch

    from bertsmith.export.model_folder import load_model, save_model
    from bertsmith.export.shipped_models import is_shipped_name, shipped_folder

    loaded = load_model(args.source)
    tokenizer = loaded.tokenizer
    if args.normalization is not None:
        tokenizer = tokenizer.with_normalization(args.normalization)
    dtype = torch.bfloat16 if args.dtype == "bf16" else None
    save_model(args.output, loaded.model, tokenizer, pooling=loaded.pooling, dtype=dtype)
    if is_shipped_name(args.source):  # who passes the model on passes on what may be done with it
        card = "README.md"
        shutil.copyfile(shipped_folder(args.source) / card, Path(args.output) / card)
    tasks = [task.name for task in loaded.model.tasks]
    count = sum(parameter.numel() for parameter in loaded.model.parameters())
    facts = {"path": args.output, "tasks": tasks, "num_parameters": count}
    print(json.dumps(facts | {"left_over": loaded.report.left_over}))
    for line in loaded.report.lines():
        print(line, file=sys.stderr)
    print(f"next: bertsmith info {args.output}", file=sys.stderr)
