"""One page about systems side by side; it needs no other file, no script and no network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bertsmith.atomic import write_atomically
from bertsmith.comparison.attention_picture import attention_figure
from bertsmith.comparison.picture_labels import TITLE_WIDTH, numbered_names
from bertsmith.comparison.published import PUBLISHED_ROWS, PUBLISHED_TASKS
from bertsmith.comparison.result_table import ResultRow, mode_tables
from bertsmith.comparison.word_pictures import (
    layer_figure,
    map_figure,
    png,
    similarity_figure,
)
from bertsmith.comparison.word_study import WordStudy
from bertsmith.training.report.page import page_environment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONTEXT_CHARACTERS = 42


@dataclass(frozen=True)
class Marked:
    """A text in three parts, of which the middle one is meant."""

    before: str
    word: str
    after: str


def write_page(
    path: str | Path,
    *,
    title: str,
    study: WordStudy | None = None,
    rows: Sequence[ResultRow] = (),
    facts: Sequence[tuple[str, str]] = (),
) -> None:
    """Write the page; what it is not given it has no section for.

    Args:
        path: of the HTML file, which is replaced.
        title: of the page.
        study: a word in its sentences.
        rows: figures on tasks, shown beside those of the paper's table 5.
        facts: how all of it was made: a name and what is to be said.

    Raises:
        DataError: the file cannot be written.
    """
    page = comparison_page(title=title, study=study, rows=rows, facts=facts)
    write_atomically(Path(path), [page.encode()])


def comparison_page(
    *,
    title: str,
    study: WordStudy | None = None,
    rows: Sequence[ResultRow] = (),
    facts: Sequence[tuple[str, str]] = (),
) -> str:
    """Make the page; arguments as for `write_page`."""
    environment = page_environment(Path(__file__).parent)
    return environment.get_template("comparison.html").render(
        title=title,
        facts=facts,
        rows=rows,
        tables=mode_tables(rows),
        published_tasks=PUBLISHED_TASKS,
        published_rows=PUBLISHED_ROWS,
        study=study,
        **({} if study is None else _of_study(study)),
    )


def _of_study(study: WordStudy) -> dict[str, object]:
    """The study's pictures and texts."""
    sentences = _sentences(study)
    return {
        "cut_names": [
            *numbered_names([each.name for each in study.systems], "model", width=TITLE_WIDTH),
            *numbered_names(study.senses, "sense"),
        ],
        "has_dots": any(each.corpus_points for each in study.systems),
        "has_near": any(each["near"] for each in sentences),
        "similarities": [
            (each.name, _embedded(similarity_figure(study, [each]))) for each in study.systems
        ],
        "maps": [(each.name, _embedded(map_figure(study, [each]))) for each in study.systems],
        "layers": _embedded(layer_figure(study)),
        "attention": _embedded(attention_figure(study.systems)),
        "sentences": sentences,
    }


def _embedded(figure: Figure | None) -> str | None:
    return None if figure is None else base64.b64encode(png(figure)).decode()


def _sentences(study: WordStudy) -> list[dict[str, object]]:
    """Each sentence with its near words in every system; the first of each sense is to be seen."""
    seen: set[str | None] = set()
    found: list[dict[str, object]] = []
    for number, (sentence, (start, end)) in enumerate(
        zip(study.sentences, study.places, strict=True)
    ):
        near = [
            (
                system.name,
                [
                    (marked(each.sentence, each.word.start, each.word.end), each.similarity)
                    for each in system.neighbours[number]
                ],
            )
            for system in study.systems
            if system.neighbours[number]
        ]
        text = sentence.text
        found.append(
            {
                "number": number + 1,
                "sense": sentence.sense,
                "text": Marked(text[:start], text[start:end], text[end:]),
                "near": near,
                "is_first": sentence.sense not in seen and (sentence.sense is not None or not seen),
            }
        )
        seen.add(sentence.sense)
    return found


def marked(text: str, start: int, end: int) -> Marked:
    """A word with a little of what stands on both sides, cut between words where it is long.

    Args:
        text: any.
        start: where the word starts, in characters;
        end: and where it ends.
    """
    before, after = text[:start], text[end:]
    if len(before) > CONTEXT_CHARACTERS:
        before = before[-CONTEXT_CHARACTERS:]
        before = "…" + before[before.find(" ") + 1 :]
    if len(after) > CONTEXT_CHARACTERS:
        after = after[:CONTEXT_CHARACTERS]
        space = after.rfind(" ")
        after = (after if space < 1 else after[:space]) + "…"
    return Marked(before, text[start:end], after)
