"""Make the folder that the package ships from a run: bfloat16, checked, with a card.

    python recipes/own/ship.py mini --runs runs/own [--output src/bertsmith/shipped_models]

The card, from card.md, shows the figures of the run's file of results (make.py), and what bfloat16
changes of those on held-out text, which is measured here. Nothing is written where that is more
than TOLERANCE, or the folder would be larger than MOST_BYTES.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import torch

import bertsmith
from bertsmith.inference.shard_evaluation import HeldOutText, evaluate_shards
from figures import FOLDER, RESULTS, TASKS, chosen, pretraining, score, table

MOST_BYTES = 25_000_000
TOLERANCE = 0.005  # nats of masked-LM loss; seeds differ by more


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="mini, or another run that is small enough")
    parser.add_argument("--runs", type=Path, required=True, help="make.py's --output")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of RUN.json")
    default = Path(bertsmith.__file__).parent / "shipped_models"
    parser.add_argument("--output", type=Path, default=default)
    args = parser.parse_args()
    results = json.loads((args.results / f"{args.model}.json").read_text(encoding="utf-8"))
    name = f"bertsmith-{args.model}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / name
        change = convert(args.runs / args.model, folder, args.runs / "shards" / "dev")
        print(json.dumps(change))
        card = model_card(name, results, change)
        (folder / "README.md").write_text(card, encoding="utf-8")
        size = sum(path.stat().st_size for path in folder.iterdir())
        if size > MOST_BYTES:
            sys.exit(f"{name} would take {size:,} bytes and may take {MOST_BYTES:,}")
        shutil.copytree(folder, args.output / name, dirs_exist_ok=True)
    print(f"{args.output / name}: {size:,} bytes")


def convert(run: Path, folder: Path, shards: Path) -> dict[str, Any]:
    """Write a run's model in bfloat16; give its figures before and after."""
    loaded = bertsmith.load_model(run)
    bertsmith.save_model(folder, loaded.model, loaded.tokenizer, dtype=torch.bfloat16)
    length = HeldOutText(max_seqlen=min(128, loaded.model.config.max_position_embeddings))
    before, after = (evaluate_shards(model, shards, length) for model in (run, folder))
    difference = abs(after["masked_lm_loss"] - before["masked_lm_loss"])
    if not difference <= TOLERANCE:
        sys.exit(
            f"in bfloat16 the held-out masked-LM loss is {after['masked_lm_loss']:.4f} and was "
            f"{before['masked_lm_loss']:.4f}, which is more than {TOLERANCE} apart"
        )
    texts = ["The river rises in the mountains and flows into the sea.", "He opened the door."]
    vectors = [
        torch.from_numpy(bertsmith.embed(texts, model=model, device="cpu"))
        for model in (str(run), str(folder))
    ]
    cosine = torch.nn.functional.cosine_similarity(*vectors).min()
    return {"float32": before, "bfloat16": after, "least_cosine": float(cosine)}


def model_card(name: str, results: Mapping[str, Any], change: Mapping[str, Any]) -> str:
    """README.md, as Hugging Face's hub reads it."""
    before, after = change["float32"], change["bfloat16"]
    figures = [
        [figure.replace("_", " "), f"{before[figure]:.4f}", f"{after[figure]:.4f}"]
        for figure in before
    ]
    tasks = [[TASKS[task], score(results, task)] for task in results["tasks"]]
    config = results["config"]
    template = Template((FOLDER / "card.md").read_text(encoding="utf-8"))
    return template.substitute(
        name=name,
        layers=config["num_hidden_layers"],
        hidden_size=config["hidden_size"],
        num_parameters=f"{results['num_parameters']:,}",
        recipe=results["recipe"],
        pretraining=pretraining(results),
        cosine=f"{change['least_cosine']:.6f}",
        held_out=table(["", "float32", "bfloat16, as shipped"], figures),
        tasks=table(["", "dev"], tasks),
        chosen=chosen(results),
        device=results["device"],
        date=results["date"],
    )


if __name__ == "__main__":
    main()
