"""`bertsmith demo`: the whole flow, from raw text to predictions."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertsmith.demo.run import DemoResult
    from bertsmith.inference.fill_mask import Candidate

HELP = "see BERT's whole life on real text, in minutes, without a download"
EXAMPLES = """examples:
  bertsmith demo
  bertsmith demo --output /tmp/demo --seed 7 --minutes 10
      another draw of everything, and a better model
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--output", default="runs/demo", metavar="DIR", help="where everything goes (runs/demo)"
    )
    parser.add_argument("--minutes", type=float, default=4.0, help="how long to pre-train (4)")
    parser.add_argument("--seed", type=int, default=12345, help="decides all that is random")


def run(args: argparse.Namespace) -> None:
    """Run the demo and print the closing table."""
    from bertsmith.demo.run import run_demo

    output = Path(args.output)
    result = run_demo(
        output,
        minutes=args.minutes,
        seed=args.seed,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(table(result, output))


def table(result: DemoResult, output: Path) -> str:
    """What was learned, beside what knowing nothing would give."""
    figures = result.figures()
    rows = [
        ("held-out masked-LM loss (nats)", f"{figures['masked_lm_loss']:.2f}",
         f"{figures['unigram_entropy']:.2f} by frequency alone, "
         f"{math.log(figures['vocab_size']):.2f} by chance"),
        ("held-out masked-LM accuracy", f"{figures['masked_lm_accuracy']:.1%}", ""),
        ("held-out next-sentence accuracy", f"{figures['next_sentence_accuracy']:.1%}",
         "50 % by chance"),
        ("held-out classification accuracy", f"{figures['classification_accuracy']:.1%}",
         f"{figures['majority_accuracy']:.1%} by the most frequent kind"),
    ]  # fmt: skip
    lines = ["", f"What a small BERT learned in {figures['seconds'] / 60:.1f} minutes", ""]
    lines += [f"  {name:<34}{value:>7}   {beside}".rstrip() for name, value, beside in rows]
    lines += ["", "Filled masks", *_filled(result.filled)]
    lines += ["", "Kinds of source"]
    for text, answer in result.answers.items():
        lines += [f"  {text}", f"      {answer['label']} {answer['probability']:.0%}"]
    lines += _beside(result)
    pretrained, classifier = output / "pretrained", output / "classifier"
    lines += [
        "",
        f"curves  {pretrained / 'curves.png'}  {classifier / 'curves.png'}",
        f"models  {pretrained}  {classifier}",
        f'next    bertsmith fill-mask --model {pretrained} "The capital of [MASK] is a city."',
    ]
    return "\n".join(lines)


def _beside(result: DemoResult) -> list[str]:
    """What the model that comes with the package does, where it is there."""
    from bertsmith.demo.run import SHIPPED

    if result.shipped is None:
        return []
    accuracy = result.shipped.finetuned.outcome.figures["accuracy"]
    return [
        "",
        f"The same of {SHIPPED}, which comes with bertsmith, in {result.shipped.seconds / 60:.1f} "
        "minutes more",
        "",
        f"  {'held-out classification accuracy':<34}{accuracy:>7.1%}",
        "",
        *_filled(result.shipped.filled),
    ]


def _filled(filled: dict[str, list[Candidate]]) -> list[str]:
    lines = []
    for text, candidates in filled.items():
        words = ", ".join(f"{c.word} {c.probability:.0%}" for c in candidates)
        lines += [f"  {text}", f"      {words}"]
    return lines
