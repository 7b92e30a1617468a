"""The page as a person sees it, in Chromium: at both sizes, in light and dark."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.comparison.test_page import ROWS
from tests.serving.browser import chromium, visiting

from bertsmith.comparison.page import write_page
from bertsmith.comparison.word_study import WordStudy

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.mark.parametrize(
    ("size", "scheme"), list(itertools.product(("desktop", "phone"), ("light", "dark")))
)
def test_all_of_it_is_to_be_read_and_nothing_is_asked_for(
    browser: Any, study: WordStudy, tmp_path: Path, size: str, scheme: str
) -> None:
    path = tmp_path / "report.html"
    facts = [("shards", "made of held-out text")]
    write_page(path, title="Side by side", study=study, rows=ROWS, facts=facts)
    with visiting(browser, f"file://{tmp_path}", size, scheme) as visit:
        visit.page.goto(path.as_uri())
        for summary in visit.page.locator("summary").all():
            summary.click()
        visit.check_look("comparison")
        assert visit.page.locator("img").count() == 10
        shown = (
            "() => [...document.images].every((each) => each.complete && each.naturalWidth > 99)"
        )
        assert visit.page.evaluate(shown)
