"""report.html: well-formed, self-contained, and no element in it that a record has put there."""

from __future__ import annotations

import base64
import dataclasses
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.training.report.answers import HOSTILE, results_of

from bertsmith.metrics.confusion import Confusion
from bertsmith.tasks.sequence_classification import SequenceClassification
from bertsmith.training.report.findings import Findings
from bertsmith.training.report.page import report_page
from bertsmith.training.report.pictures import draw_pictures

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Checks that elements are closed in order, and collects what there is."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text += " " * (tag in ("td", "th"))

    def handle_data(self, data: str) -> None:
        self.text += data


TASK = SequenceClassification(labels=["fair", "foul", "none of <these>"])


@pytest.fixture(scope="session")
def source(classified: Findings, tmp_path_factory: pytest.TempPathFactory) -> str:
    pictures = draw_pictures(classified, tmp_path_factory.mktemp("pictures"))
    return report_page(results_of(TASK, classified), classified, pictures)


def test_it_shows_figures_tables_pictures_and_errors(source: str) -> None:
    page = Page(source)
    words = " ".join(page.text.split())
    for part in (
        "mine sequence classification, measured on dev.tsv (200 records)",
        "accuracy 0.7000 0.6332 to 0.7593",
        "95 % interval (Wilson)",
        "macro F1",
        "Rows are true labels, columns answers",
        "label precision recall F1 records",
        "Worst errors The surest wrong answers first.",
        "true fair, answer foul (98.7 %)",
        "SHA-256 abab",
    ):
        assert part in words, part
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert [image["alt"] for image in images] == [
        "Calibration",
        "Confidence",
        "Right answers by length",
    ]
    for image in images:
        kind, _, data = str(image["src"]).partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")


def test_it_needs_no_other_file_and_runs_nothing(source: str) -> None:
    page = Page(source)
    assert not {tag for tag, _ in page.elements} & {"script", "link", "iframe", "object", "form"}
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") or name == "href" for name in attributes), tag
        assert str(attributes.get("src", "data:")).startswith("data:")
    assert "url(" not in source
    assert "@import" not in source
    metas = {attributes.get("name"): attributes.get("content") for _, attributes in page.elements}
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    assert metas["color-scheme"] == "light dark"
    assert "/home/someone" not in source


def test_texts_of_records_stay_texts(source: str) -> None:
    page = Page(source)
    assert "<script>" not in source
    assert "none of <these>" in page.text
    assert HOSTILE.replace("\x00", "\ufffd") in page.text
    assert "\x00" not in source


def test_of_many_labels_it_shows_the_frequent_ones(classified: Findings) -> None:
    labels = [f"label {number}" for number in range(300)]
    confusion = Confusion.of([(label, label) for label in labels], labels)
    found = dataclasses.replace(classified, confusion=confusion)
    page = Page(report_page(results_of(TASK, found), found, []))
    assert "The rarer of 300 labels are put together." in page.text
    assert "all others" in page.text
    assert sum(tag == "td" for tag, _ in page.elements) < 1000


def test_long_texts_are_cut(classified: Findings) -> None:
    verdict = dataclasses.replace(classified.judged[7].verdict, texts={"text": "long " * 10000})
    judged = [dataclasses.replace(classified.judged[7], verdict=verdict)]
    found = dataclasses.replace(classified, judged=judged)
    assert len(report_page(results_of(TASK, found), found, [])) < 20_000


def test_without_an_evaluation_it_says_so() -> None:
    page = Page(report_page(results_of(TASK, None), None, []))
    assert "There was no evaluation file" in page.text
    assert "Worst errors" not in page.text


def test_the_template_is_beside_the_code() -> None:
    import bertsmith.training.report.page as module

    assert (Path(module.__file__).parent / "page.html").is_file()
