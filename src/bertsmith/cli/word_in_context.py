"""`bertsmith word-in-context`: a word's vectors in several sentences, in one model or several."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from bertsmith.cli.model_names import add_models, named_models
from bertsmith.cli.word_options import add_word_options, chosen_word

HELP = "draw how the vector of a word moves with its sentence, in one model or several"
EXAMPLES = """examples:
  bertsmith word-in-context --model runs/base --corpus held-out-shards --output right
      the word "right" in twenty sentences and four senses that come along; open right/report.html
  bertsmith word-in-context --model base=runs/base --model mini=runs/mini --word bank \\
      --sentences banks.tsv --corpus held-out-shards --output bank
      two models side by side; banks.tsv has the columns sentence and label, the sense"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_models(parser)
    add_word_options(parser)
    parser.add_argument(
        "--corpus",
        metavar="SHARDS",
        help="where near words are found: a folder that `bertsmith prepare` has written, best "
        "of text that no model was trained on (the sentences themselves)",
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="for report.html, pictures and word.json"
    )
    parser.add_argument("--device", help="cpu or cuda; a GPU where there is one")


def run(args: argparse.Namespace) -> None:
    """Measure, draw, and print how well each model tells the senses apart."""
    word, chosen = chosen_word(args)

    from bertsmith.comparison.word_files import PAGE, write_word_report
    from bertsmith.export.model_folder import load_model
    from bertsmith.training.parallelize import choose_device

    device = choose_device(args.device)
    folders = named_models(args.model)
    models = {name: load_model(folder) for name, folder in folders.items()}
    for loaded in models.values():
        loaded.model.to(device)
    study = write_word_report(models, args.corpus, args.output, word=word, sentences=chosen)
    for system in study.systems:
        found: dict[str, object] = {"model": system.name}
        if system.separation is not None:
            found |= asdict(system.separation)
        elif system.between is not None:
            found["between"] = system.between
        print(json.dumps(found, ensure_ascii=False))
    print(f"next: {Path(args.output) / PAGE} in a browser", file=sys.stderr)
