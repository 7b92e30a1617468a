"""report.html: one page that shows how good a model is; it needs no other file and no script."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsmith.training.report.findings import Findings
from bertsmith.training.report.pictures import CONFUSION, MOST_LABELS, Picture

if TYPE_CHECKING:
    import jinja2

WORST = 30
LONGEST_TEXT = 700
_CONTROLS = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127], "�")


def report_page(
    results: Mapping[str, Any], findings: Findings | None, pictures: Sequence[Picture]
) -> str:
    """Make the page.

    Args:
        results: what results.json holds.
        findings: what they were made from, with the texts that they lack.
        pictures: to be shown, in this order.
    """
    environment = page_environment(Path(__file__).parent)
    environment.filters |= {
        "figure_name": lambda name: figure_name(name, results),
        "count": lambda count: f"{count:,} record{'' if count == 1 else 's'}",
    }
    confusion = findings.confusion if findings else None
    return environment.get_template("page.html").render(
        r=results,
        found=results["findings"],
        confusion=confusion and confusion.capped(MOST_LABELS).to_dict(),
        is_capped=confusion is not None and len(confusion.labels) > MOST_LABELS,
        worst=findings.worst(WORST) if findings else [],
        # The confusion is on the page as a table, which can be read aloud and searched.
        pictures=[_embedded(picture) for picture in pictures if picture.path.name != CONFUSION],
        chosen_besides=chosen_besides(results),
        facts=facts_of(results),
    )


def page_environment(folder: Path) -> jinja2.Environment:
    """What makes pages of templates: every text is escaped, and `style.css` is at hand.

    Args:
        folder: where the templates are.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent], encoding="utf-8"),
    )
    environment.filters |= {
        "words": in_words,
        "figure": figure_text,
        "cell": cell_text,
        "shown": shown_text,
    }
    return environment


def facts_of(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How a model was made, as pairs of words: data, settings, versions."""
    model, training = results["model"], results["training"]
    casing = "uncased" if model["lowercase"] else "cased"
    facts = [
        (
            "model",
            f"{model['layers']} layers of {model['hidden_size']}, {model['parameters']:,} "
            f"parameters, {casing}, reads {model['max_length']} wordpieces",
        )
    ]
    labels = results["labels"]
    facts += [
        (in_words(name), _setting(value, labels))
        for name, value in results["task_settings"].items()
    ]
    if training is not None:
        facts.append(("started from", training["start"]))
        facts.append(("training records", _file(training)))
    if results["evaluation"] is not None:
        facts.append(("evaluation records", _file(results["evaluation"])))
    if training is not None:
        facts.append(
            (
                "training",
                f"{training['steps']:,} steps in {training['seconds']:,} seconds, "
                f"that of step {training['kept_step']:,} is kept",
            )
        )
        for section, settings in training["settings"].items():
            said = ", ".join(f"{in_words(name)} {_setting(x)}" for name, x in settings.items())
            if said:
                facts.append((f"{section} settings", said))
    versions = results["versions"]
    facts.append(("versions", ", ".join(f"{name} {number}" for name, number in versions.items())))
    return facts


def chosen_besides(results: Mapping[str, Any]) -> str:
    """What the evaluation file has decided beside the step that is kept, as words to go on with."""
    return " and the thresholds" if any("threshold" in x for x in results["task_settings"]) else ""


def _file(entry: Mapping[str, Any]) -> str:
    digest = f", SHA-256 {entry['sha256']}" if entry["sha256"] else ""
    return f"{entry['file']}, {entry['records']:,} records{digest}"


def _embedded(picture: Picture) -> dict[str, Any]:
    return {
        "title": picture.title,
        "explanation": picture.explanation,
        "is_wide": picture.is_wide,
        "base64": base64.b64encode(picture.path.read_bytes()).decode(),
    }


def figure_name(name: str, results: Mapping[str, Any]) -> str:
    """A figure's name, with what is particular about it for this model."""
    settings = results["task_settings"]
    said = in_words(name)
    if name == "accuracy" and settings.get("multi_label"):
        return f"{said} (all labels of a record right)"
    changed = [in_words(key) for key in ("class_weights", "label_smoothing") if settings.get(key)]
    return f"{said} (with {' and '.join(changed)})" if name == "loss" and changed else said


def in_words(name: str) -> str:
    """A name as prose has it."""
    return name.replace("_", " ").replace("f1", "F1")


def figure_text(value: float | None) -> str:
    """A figure to four digits; null stands for one that is no number."""
    return "not a number" if value is None else f"{value:.4f}"


def _setting(value: Any, labels: Sequence[str] | None = None) -> str:
    """A setting as a recipe has it: a seed is no amount. One for each label has their names."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and labels is not None and len(value) == len(labels):
        return ", ".join(f"{k} {_setting(v)}" for k, v in zip(labels, value, strict=True))
    if isinstance(value, list):
        return ", ".join(map(_setting, value))
    return f"{value:.4g}" if isinstance(value, float) else shown_text(str(value))


def cell_text(value: Any) -> str:
    """Any value as a table shows it."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4f}" if 0.001 <= abs(value) < 1000 or value == 0 else f"{value:g}"
    if isinstance(value, int):
        return f"{value:,}"
    return shown_text(str(value))


def shown_text(text: str, most: int = LONGEST_TEXT) -> str:
    """A text without what a page cannot show, its end cut off where it is long."""
    text = text.translate(_CONTROLS)
    return text if len(text) <= most else text[: most - 1] + "…"
