"""Figures of this folder's models beside published ones, as tables in Markdown.

A file of results is what make.py writes: `run`, `pretraining`, `held_out`, `tasks` and what they
were measured with. What has not been run is said in the tables' cells, never left out.
"""

from __future__ import annotations

import json
import statistics
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
NOT_RUN = "not run"

# The name of a task in tasks.toml → its name, its figure, and of how many records.
TASKS = {
    "sst2": "SST-2, accuracy",
    "cola": "CoLA, Matthews correlation",
    "mrpc": "MRPC, F1",
    "stsb": "STS-B, Spearman",
    "rte": "RTE, accuracy",
    "snli": "SNLI (9,842 pairs), accuracy",
    "squad": "SQuAD 1.1 (a seventh), F1",
    "codah": "CODAH, accuracy",
    "wnut17": "WNUT-17, F1",
}
HELD_OUT = {
    "single-128": "single texts of 128 wordpieces",
    "pairs-128": "pairs of 128",
    "pairs-512": "pairs of 512",
}
# Where the paper's ablations have another figure than the tables above: the figure, and its name.
ABLATION_FIGURES = {"mrpc": ("accuracy", "MRPC, accuracy")}
# Of mini and small GLUE's test sets (Turc et al. 2019 and the models' cards); of base those too
# (Devlin et al. 2019, table 1), and what is marked from tables 2 and 5.
PUBLISHED: Mapping[str, Mapping[str, str]] = {
    "mini": {"sst2": "85.9", "cola": "0.0", "mrpc": "81.1", "stsb": "73.3", "rte": "57.9"},
    "small": {"sst2": "89.7", "cola": "27.8", "mrpc": "83.4", "stsb": "77.0", "rte": "61.8"},
    "base": {
        "sst2": "92.7 (dev)",
        "cola": "52.1",
        "mrpc": "88.9",
        "stsb": "85.8",
        "rte": "66.4",
        "squad": "88.5 (dev; all of the training file)",
    },
}
# What the paper's ablations gave, BERT-base on dev sets, accuracy and of SQuAD and NER F1, by the
# ablation's name in ablations.toml.
PAPER: Mapping[str, str] = {
    "full": "SST-2 92.7, MRPC 86.7, MNLI 84.4, SQuAD 88.5",
    "no-nsp": "SST-2 92.6, MRPC 86.5, MNLI 83.9, SQuAD 87.9",
    "left-to-right": "SST-2 92.1, MRPC 77.5, MNLI 82.1, SQuAD 77.8",
    "mask-100-0-0": "MNLI 84.3 (80/10/10: 84.2), NER 94.9 (95.4)",
    "mask-80-0-20": "MNLI 84.1 (84.2), NER 95.2 (95.4)",
    "mask-80-20-0": "MNLI 84.4 (84.2), NER 95.2 (95.4)",
    "mask-0-20-80": "MNLI 83.7 (84.2), NER 94.8 (95.4)",
    "mask-0-0-100": "MNLI 83.6 (84.2), NER 94.9 (95.4)",
    "whole-word": "of BERT-large: SQuAD 92.8 in place of 91.0, MNLI 87.1 in place of 86.1",
    "layers-2": "of 3 layers in place of 12: perplexity 5.84 (3.99), SST-2 88.4 (92.9)",
    "layers-8": "of 6 layers in place of 12: perplexity 4.68 (3.99), SST-2 91.3 (92.9)",
    "heads-2": "of 3 heads in place of 12, 6 layers: perplexity 5.24 (4.68), SST-2 90.7 (91.3)",
}


def read_results(folder: Path = RESULTS) -> dict[str, Any]:
    """All files of results there are, by the run's name."""
    files = sorted(folder.glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}


def ablations() -> dict[str, Any]:
    with (FOLDER / "ablations.toml").open("rb") as file:
        return tomllib.load(file)


def comparison(model: str, results: Mapping[str, Any]) -> str:
    """Random weights, masked LM only, the full objective, and the published model, task by task."""
    runs = {
        "random weights": f"{model}-random",
        "masked LM alone": f"{model}-masked-lm",
        "full objective": model,
    }
    rows = [
        [
            name,
            *(score(results.get(run), task) for run in runs.values()),
            PUBLISHED[model].get(task, ""),
        ]
        for task, name in TASKS.items()
    ]
    head = ["", *runs, f"Google's BERT-{model.capitalize()}"]
    for name, text in HELD_OUT.items():
        cells = [held_out(results.get(run), name, "perplexity", run) for run in runs.values()]
        rows.append([f"masked-LM perplexity, {text}", *cells, ""])
    rows.append(
        [
            "next-sentence accuracy",
            *(
                held_out(results.get(run), "pairs-128", "next_sentence", run)
                for run in runs.values()
            ),
            "97 to 98 (the paper, in training)",
        ]
    )
    return table(head, rows)


def score(results: Mapping[str, Any] | None, task: str, figure: str | None = None) -> str:
    """Mean and deviation over the seeds, in percent, of what chose the settings or of a figure."""
    found = (results or {}).get("tasks", {}).get(task)
    if found is None:
        return NOT_RUN
    mean, std = found["mean"], found["std"]
    if figure is not None:
        values = [run["figures"][figure] for run in found["seeds"] if run["figures"]]
        mean = statistics.fmean(values) if values else None
        std = statistics.stdev(values) if len(values) > 1 else None
    if mean is None:
        return "no run has a model"
    return f"{100 * mean:.1f}" + ("" if std is None else f" ± {100 * std:.1f}")


def held_out(results: Mapping[str, Any] | None, text: str, figure: str, run: str) -> str:
    """A figure on held-out text; nothing where a model cannot be asked for it."""
    if run.endswith("-random"):
        return ""
    measured = (results or {}).get("held_out")
    if measured is None:
        return NOT_RUN
    figures = measured.get(text, {})
    if figure == "perplexity":
        return f"{figures['masked_lm_perplexity']:.2f}" if "masked_lm_perplexity" in figures else ""
    accuracy = figures.get("next_sentence_accuracy")
    return "" if accuracy is None else f"{100 * accuracy:.1f}"


def pretraining(results: Mapping[str, Any] | None) -> str:
    """How long and on how much, in a sentence."""
    found = (results or {}).get("pretraining")
    if not results or found is None:
        return "not run"
    return (
        f"{found['seconds'] / 60:.1f} minutes on one {results['device']}, "
        f"{found['steps']:,} steps, {found['tokens'] / 1e9:.2f} billion tokens, "
        f"{found['epochs']} times through {found['wordpieces'] / 1e6:.0f} million wordpieces "
        f"({results['date']})"
    )


def ablation_table(model: str, results: Mapping[str, Any]) -> str:
    """The paper's ablations at this size, beside what the paper found."""
    sections = ablations()
    tasks = sections.pop("all")["tasks"]
    rows = []
    for name, section in sections.items():
        if section.get("is_long", False):
            continue
        found = results.get(f"{model}-{name}")
        cells = [held_out(found, "single-128", "perplexity", name)]
        cells += [score(found, task, ABLATION_FIGURES.get(task, (None,))[0]) for task in tasks]
        rows.append([f"`{name}`", *cells, PAPER[name]])
    names = [
        ABLATION_FIGURES[task][1] if task in ABLATION_FIGURES else TASKS[task] for task in tasks
    ]
    return table(["", "perplexity", *names, "the paper's"], rows)


def chosen(results: Mapping[str, Any]) -> str:
    """What the grid chose, and every seed."""
    rows = []
    for task, found in results["tasks"].items():
        settings = ", ".join(f"{k.split('.')[-1]} {v:g}" for k, v in found["settings"].items())
        values = (run["figures"].get(found["figure"]) for run in found["seeds"])
        seeds = ", ".join("none" if value is None else f"{100 * value:.1f}" for value in values)
        rows.append(
            [TASKS[task], settings, seeds, f"{found['num_train']:,} / {found['num_eval']:,}"]
        )
    return table(["", "chosen", "each seed", "records: train / dev"], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines) + "\n"
