"""README.md: a model card as Hugging Face's hub reads it, so that a shared folder explains itself.

Its front matter has the figures too. Licence and language are for whoever shares the model to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertsmith.metrics.confusion import Confusion
from bertsmith.training.report.page import (
    cell_text,
    chosen_besides,
    facts_of,
    figure_name,
    figure_text,
    in_words,
)

CARD = "README.md"
MOST_LABELS = 12
MOST_NAMED = 60
MARK = "<!-- Written by bertsmith. Without this line a later run leaves the card as it is. -->"
FOLDER = "path/to/this/folder"


@dataclass(frozen=True)
class Use:
    """What a model of a task is for."""

    pipeline_tag: str
    purpose: str
    item: str
    """A record for `Predictor`, as Python."""
    code: str
    """How `transformers` is asked the same, as Python; FOLDER and ITEM stand for what they say."""


_PIPELINE = """from transformers import pipeline

model = pipeline("text-classification", "FOLDER", top_k=None)
print(model([ITEM], truncation=True))
"""
_TEXT = '"A text to be read."'
_PAIR = '{"text": "A first text.", "text_pair": "A second text."}'
_USES: Mapping[str, Use] = {
    "sequence_classification": Use(
        "text-classification", "gives a text, or a pair of texts, its label", _TEXT, _PIPELINE
    ),
    "sequence_regression": Use(
        "text-classification", "gives a text, or a pair of texts, a score", _TEXT, _PIPELINE
    ),
    "token_classification": Use(
        "token-classification",
        "gives each word of a text a label",
        _TEXT,
        """from transformers import pipeline

model = pipeline("token-classification", "FOLDER", aggregation_strategy="simple")
print(model([ITEM]))
""",
    ),
    "question_answering": Use(
        "question-answering",
        "finds the answer to a question in a text",
        '{"question": "What is to be read?", "context": "A text is to be read."}',
        """from transformers import AutoModelForQuestionAnswering, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AutoModelForQuestionAnswering.from_pretrained("FOLDER")
inputs = tokenizer("What is to be read?", "A text is to be read.", return_tensors="pt")
output = model(**inputs)
start, end = int(output.start_logits.argmax()), int(output.end_logits.argmax())
print(tokenizer.decode(inputs["input_ids"][0, start : end + 1]))
""",
    ),
    "multiple_choice": Use(
        "multiple-choice",
        "says which of several endings fits a text",
        '{"text": "A text to be", "choices": ["read.", "eaten."]}',
        """from transformers import AutoModelForMultipleChoice, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AutoModelForMultipleChoice.from_pretrained("FOLDER")
inputs = tokenizer(["A text to be"] * 2, ["read.", "eaten."], return_tensors="pt", padding=True)
logits = model(**{name: tensor[None] for name, tensor in inputs.items()}).logits
print(logits.softmax(-1))
""",
    ),
}
_OTHER = Use("feature-extraction", "answers records", _TEXT, "")
# What the hub calls figures, where it is not as here.
_METRICS = {"pearson": "pearsonr", "spearman": "spearmanr", "mean_squared_error": "mse"}


def model_card(results: Mapping[str, Any]) -> str:
    """The card of a model whose results.json holds these results; no path of this machine."""
    use = _USES.get(results["task"], _OTHER)
    parts = [
        f"---\n{_front_matter(results, use)}\n---\n",
        f"# {_plain(results['name'])}\n",
        _opening(results, use),
        *_uses(results, use),
        *_labels(results),
        *_figures(results),
        *_confusion(results),
        "## How it was made\n",
        _table(("", ""), facts_of(results)),
        *_limits(results),
        f"{MARK}\n",
    ]
    return "\n".join(parts)


def _front_matter(results: Mapping[str, Any], use: Use) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    findings, evaluation = results["findings"], results["evaluation"]
    measured = {}
    if findings is not None:
        measured = {
            "model_name": results["name"],
            "eval_results": [
                EvalResult(
                    task_type=use.pipeline_tag,
                    # The hub takes no other characters.
                    dataset_type=re.sub(r"[^\w.-]+", "_", evaluation["file"]) or "file",
                    dataset_name=evaluation["file"],
                    metric_type=_METRICS.get(name, name),
                    metric_name=figure_name(name, results),
                    metric_value=value,
                )
                for name, value in findings["figures"].items()
                if value is not None
            ],
        }
    training = results["training"] or {}
    base = training["start"].partition("@")[0] if training.get("is_start_of_hub") else None
    card = ModelCardData(
        library_name="transformers" if _is_theirs(results) else "bertsmith",
        pipeline_tag=use.pipeline_tag,
        tags=["bert", "bertsmith"],
        base_model=base,
        **measured,
    )
    return str(card.to_yaml()).strip()


def _is_theirs(results: Mapping[str, Any]) -> bool:
    """Whether `transformers` opens the model with its head."""
    model = results["model"]
    return model.get("features") is None and model.get("encoder", "bert") == "bert"


def _opening(results: Mapping[str, Any], use: Use) -> str:
    training = results["training"]
    start = f", fine-tuned from {_plain(training['start'])}" if training else ""
    model = results["model"]
    encoder = model.get("encoder", "bert")
    kind = "A BERT" if encoder == "bert" else f"An encoder (`{encoder}`)"
    if model.get("features") is not None:
        kind += ", itself as it was pre-trained, under a head that reads its layers and"
    return f"{kind} that {use.purpose} (task `{results['task']}`){start} with bertsmith.\n"


def _uses(results: Mapping[str, Any], use: Use) -> list[str]:
    is_pair = bool(results["task_settings"].get("pairs"))
    ours = '("A first text.", "A second text.")' if is_pair else use.item
    parts = [
        "## Use\n",
        f"""With `bertsmith`:

```python
from bertsmith import Predictor

predictor = Predictor.load("{FOLDER}")
print(list(predictor.predict([{ours}])))
```
""",
        f"""A file of records is answered by

```
bertsmith predict --model {FOLDER} --input FILE
```
""",
    ]
    if use.code and _is_theirs(results):
        item = _PAIR if is_pair else use.item
        code = use.code.replace("FOLDER", FOLDER).replace("ITEM", item)
        parts.append(f"With `transformers`:\n\n```python\n{code}```\n")
    return parts


def _labels(results: Mapping[str, Any]) -> list[str]:
    labels = results["labels"]
    if not labels:
        return []
    named = ", ".join(_plain(label) for label in labels[:MOST_NAMED])
    more = f" and {len(labels) - MOST_NAMED} more" if len(labels) > MOST_NAMED else ""
    return ["## Labels\n", f"{named}{more}\n"]


def _figures(results: Mapping[str, Any]) -> list[str]:
    findings, evaluation = results["findings"], results["evaluation"]
    if findings is None:
        return ["## Results\n", "The model was not measured: there was no evaluation file.\n"]
    main, interval = findings["figure"], findings["interval"]
    rows = [
        (figure_name(name, results), figure_text(value))
        for name, value in findings["figures"].items()
    ]
    parts = [
        "## Results\n",
        f"On {_plain(evaluation['file'])}, {evaluation['records']:,} records:\n",
        _table(("figure", "value"), rows),
    ]
    if interval is not None:
        parts.append(
            f"The 95 % interval of {in_words(main)} is {figure_text(interval['low'])} to "
            f"{figure_text(interval['high'])} ({interval['method']}).\n"
        )
    for table in findings["tables"]:
        parts += [f"### {_plain(table['title'])}\n"]
        parts += [f"{_plain(table['note'])}\n"] if table["note"] else []
        parts.append(_table(table["columns"], table["rows"][:MOST_NAMED]))
    if results["training"] is not None:
        parts.append(
            f"The same file chose the step that was kept{chosen_besides(results)}, so expect a "
            "little less of new records. `report.html` shows more, among it the texts of the "
            "worst errors.\n"
        )
    return parts


def _confusion(results: Mapping[str, Any]) -> list[str]:
    stored = (results["findings"] or {}).get("confusion")
    if stored is None:
        return []
    counts = np.array(stored["counts"], dtype=np.int64)
    shown = Confusion(tuple(stored["labels"]), counts).capped(MOST_LABELS)
    rows = [(label, *row) for label, row in zip(shown.labels, shown.counts.tolist(), strict=True)]
    return [
        "### Confusion\n",
        "Rows are true labels, columns answers.\n",
        _table(("", *shown.labels), rows),
    ]


def _limits(results: Mapping[str, Any]) -> list[str]:
    length = results["model"]["max_length"]
    settings = results["task_settings"]
    rule = settings.get("long_text", "head")
    if rule == "windows":
        cut = (
            f"Texts of more than {length} wordpieces are read in windows by `bertsmith` and not "
            "by `transformers`, which cuts them there."
        )
    else:
        cut = f"Of a text at most {length} wordpieces are read; longer ones are cut"
        cut += "." if rule == "head" else f" by `bertsmith` so as to keep `{rule}`."
    lines = [cut]
    if results["training"] is not None:
        lines.append(
            "It has learned from the records named above alone: texts of another kind, language "
            "or time may get answers that are wrong and sure."
        )
    if chosen_besides(results):
        lines.append("Thresholds are named above; `transformers` does not know of them.")
    return ["## Limits\n", "\n".join(f"- {line}" for line in lines) + "\n"]


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [_row(head), "|" + "---|" * len(head), *map(_row, rows)]
    return "\n".join(lines) + "\n"


def _row(values: Sequence[Any]) -> str:
    shown = (_plain(value) if isinstance(value, str) else cell_text(value) for value in values)
    return f"| {' | '.join(shown)} |"


def _plain(text: str) -> str:
    """Text that is nothing but itself in Markdown and HTML, on one line."""
    text = " ".join("".join(x if x.isprintable() else " " for x in text).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|~!])", r"\\\1", text)
