"""The losses of the fast path beside those of the plain one, step by step on real text.

    python benchmarks/loss_parity.py SHARDS --output losses.json [--preset medium] [--steps 200]
        [--max-seqlen 128] [--batch-tokens 2048] [--paths reference,fast,fp8]
    python benchmarks/loss_parity.py --draw losses.json --picture docs/loss-parity.png

The same weights, batches and rates. `reference` computes in float32, one sequence after the other
by the definition of attention, not compiled; `fast` in bfloat16, compiled, with our own kernels;
`fp8` has the widest products in 8 bits besides. These two need a GPU; what is in the output already
stays there, so that the reference may come from another machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

PATHS: dict[str, dict[str, Any]] = {
    "reference": {"precision": "fp32", "compile": False, "attention": "reference"},
    "fast": {"precision": "bf16", "compile": True, "attention": "auto"},
    "fp8": {"precision": "fp8", "compile": True, "attention": "auto"},
}
DROPOUTS = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", nargs="?")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--preset", default="medium")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--max-seqlen", type=int, default=128)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--paths", default=",".join(PATHS))
    parser.add_argument("--draw", type=Path)
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    if args.draw:
        losses = json.loads(args.draw.read_text())
        draw(losses, args.picture)
        summarize(losses)
        return
    losses = json.loads(args.output.read_text()) if args.output.exists() else {}
    for name in args.paths.split(","):
        losses[name] = run(args, **PATHS[name])
        args.output.write_text(json.dumps(losses))
    summarize(losses)


def summarize(losses: dict[str, list[float]]) -> None:
    for name, figures in losses.items():
        text = f"{name:10} last ten {statistics.mean(figures[-10:]):.4f}"
        if "reference" in losses:
            pairs = zip(figures, losses["reference"], strict=True)
            differences = [abs(a / b - 1) for a, b in pairs]
            text += (
                f"  relative difference: median {statistics.median(differences):.1e}, "
                f"largest {max(differences):.1e}"
            )
        print(text)


def run(args: argparse.Namespace, *, precision: str, compile: bool, attention: str) -> list[float]:  # noqa: A002
    """The loss of every step."""
    from bertsmith.training.metrics_file import read_metrics
    from bertsmith.training.pretrain_recipe import PretrainRecipe
    from bertsmith.training.pretraining import pretrain

    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        recipe = PretrainRecipe.from_dict(
            {
                "model": {"preset": args.preset, "attention": attention} | DROPOUTS,
                "data": {"train": args.shards, "max_seqlen": args.max_seqlen},
                "optimizer": {"name": "adamw", "learning_rate": 1e-4},
                "train": {
                    "output": str(output),
                    "steps": args.steps,
                    "batch_tokens": args.batch_tokens,
                    "precision": precision,
                    "compile": compile,
                    "keep_checkpoints": 0,
                },
                "log": {"every_steps": 1},
            }
        )
        pretrain(recipe)
        return [line["loss"] for line in read_metrics(output / "metrics.jsonl")]


def draw(losses: dict[str, list[float]], picture: Path) -> None:
    import matplotlib.pyplot as plt

    if len(set(map(len, losses.values()))) > 1:
        raise SystemExit("the runs have different numbers of steps; measure them with the same")

    figure, (above, below) = plt.subplots(
        2, 1, figsize=(7, 5.5), sharex=True, height_ratios=(2, 1), layout="constrained"
    )
    styles = {"reference": ("black", 2.4), "fast": ("tab:orange", 1.2), "fp8": ("tab:blue", 0.9)}
    for name, figures in losses.items():
        color, width = styles[name]
        steps = range(1, len(figures) + 1)
        above.plot(steps, figures, color=color, linewidth=width, label=name)
        if name != "reference":
            differences = [a - b for a, b in zip(figures, losses["reference"], strict=True)]
            below.plot(steps, differences, color=color, linewidth=width, label=name)
    above.set_ylabel("loss (nats)")
    above.legend(frameon=False)
    below.set_ylabel("difference (nats)")
    below.set_xlabel("step")
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main()
