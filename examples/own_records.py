"""Fine-tune on records of your own, from Python, and classify new texts.

make demo && .venv/bin/python examples/own_records.py runs/demo/pretrained /tmp/moods
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bertsmith

RECORDS = [
    ("what a wonderful morning", "glad"),
    ("I love this song", "glad"),
    ("the best day of the year", "glad"),
    ("this is terrible news", "sad"),
    ("I hate waiting in the rain", "sad"),
    ("the worst trip of my life", "sad"),
]


def main(model: str, output: str) -> None:
    """Fine-tune the model in one folder into another."""
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    train = folder / "train.jsonl"
    lines = [json.dumps({"text": text, "label": label}) for text, label in RECORDS]
    train.write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe = bertsmith.FinetuneRecipe.from_dict(
        {
            "task": {"name": "sequence_classification"},
            "model": {"init": model},
            "data": {"train": str(train), "max_seqlen": 32},
            "optimizer": {"learning_rate": 1e-3},
            "train": {"output": str(folder / "model"), "epochs": 40},
        }
    )
    if not (folder / "model" / "config.json").exists():
        bertsmith.finetune(recipe)
    predictor = bertsmith.Predictor.load(folder / "model")
    for answer in predictor.predict(["I love this morning", "terrible rain"]):
        print(answer["label"], f"{answer['probability']:.1%}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: own_records.py MODEL_FOLDER OUTPUT_FOLDER")
    main(sys.argv[1], sys.argv[2])
