"""The page: well-formed, self-contained, and no element in it that a text has put there."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path

import pytest
from tests.comparison.systems import save
from tests.comparison.test_result_table import row
from tests.training.report.answers import HOSTILE
from tests.training.report.test_page import Page

from bertsmith.comparison.corpus_sentences import CorpusSentences
from bertsmith.comparison.labelled_sentences import LabelledSentence
from bertsmith.comparison.page import Marked, comparison_page, marked, write_page
from bertsmith.comparison.word_study import WordStudy, study_word
from bertsmith.errors import DataError
from bertsmith.export.model_folder import load_model

ROWS = [
    row("GloVe", "SST-2", "features", 80.1),
    row("BERT", "SST-2", "features", 90.0, spread=None, n=1),
]


@pytest.fixture(scope="module")
def source(study: WordStudy) -> str:
    return comparison_page(
        title="BERT beside others",
        study=study,
        rows=ROWS,
        facts=[("shards", "held-out <shards>")],
    )


def words_of(source: str) -> str:
    return " ".join(Page(source).text.split())


def test_it_shows_tables_pictures_sentences_and_how_it_was_made(
    source: str, study: WordStudy
) -> None:
    words = words_of(source)
    for part in (
        "BERT beside others",
        "GloVe 80.1 ± 1.0 1,000 50,000 2.0",
        "BERT 90.0 1,000 50,000 2.0",
        "The paper's table 5",
        "left to right, no NSP 82.1 84.3 77.5 92.1 77.8",
        "“right” in 20 sentences",
        "GloVe 1.000 1.000 0.000 21 %",
        "has the same sense 21 % of the time",
        "The right bank of the river is steeper than the left. (direction)",
        "16 more sentences",
        "the words of 6 held-out sentences, 2 of which have the word",
        "shards held-out <shards>",
    ):
        assert part in words, part
    page = Page(source)
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    names = [each.name for each in study.systems]
    assert [str(each["alt"]) for each in pictures] == [
        *(f"Similarities of the word's vectors in {name}" for name in names),
        "How far senses are apart in each layer",
        *(f"Map of the word's vectors in {name}" for name in names),
        "Mean attention of the layers of each Transformer",
    ]
    for picture in pictures:
        kind, _, data = str(picture["src"]).partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")


def test_runs_that_came_to_nothing_are_seen_and_not_crowned() -> None:
    rows = [
        row("GloVe", "SST-2", "features", 80.1, majority=50.9),
        row("ELMo", "SST-2", "features", 90.0, spread=None, num_failed=2),
        row("GPT", "SST-2", "features", None, spread=None, num_failed=3),
    ]
    page = comparison_page(title="t", rows=rows)
    words = words_of(page)
    assert "SST-2 accuracy majority 50.9" in words
    assert "ELMo 90.0 2 of 3 came to nothing 1,000" in words
    assert "GPT diverged 1,000" in words
    assert '<span class="best">80.1</span>' in page
    assert page.count('class="best"') == 1


def test_attention_of_what_looks_back_has_no_later_tokens(source: str) -> None:
    words = words_of(source)
    back = words[words.index("later tokens") :]
    assert " 0.0 % 3 BERT" in back


def test_it_needs_no_other_file_and_runs_nothing(source: str) -> None:
    page = Page(source)
    assert not {tag for tag, _ in page.elements} & {"script", "link", "iframe", "object", "form"}
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") or name == "href" for name in attributes), tag
        assert str(attributes.get("src", "data:")).startswith("data:")
    for outside in ("url(", "@import", "http:", "https:"):
        assert outside not in source
    policies = [str(each.get("content")) for _, each in page.elements if "http-equiv" in each]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_texts_stay_texts(tmp_path: Path) -> None:
    """In every place that somebody else's text comes to: names, senses, sentences, the corpus."""
    loaded = load_model(save(tmp_path / "m", positions=200))
    texts = [f"right {HOSTILE}", f"{HOSTILE} right", "all right"]
    given = [LabelledSentence(text, HOSTILE) for text in texts[:2]]
    given.append(LabelledSentence(texts[2], "plain"))
    corpus = CorpusSentences([f"the right {HOSTILE}"], [HOSTILE])
    found = study_word({HOSTILE: loaded}, corpus, "right", given)
    hostile_rows = [dataclasses.replace(each, system=HOSTILE, task=HOSTILE) for each in ROWS]
    page = comparison_page(
        title=HOSTILE,
        study=dataclasses.replace(found, word=HOSTILE),
        rows=hostile_rows,
        facts=[(HOSTILE, HOSTILE)],
    )
    assert "<script" not in page
    assert "\x00" not in page
    tags = {tag for tag, _ in Page(page).elements}
    assert "script" not in tags
    sources = [each["src"] for tag, each in Page(page).elements if tag == "img"]
    assert all(str(each).startswith("data:image/png;base64,") for each in sources)
    assert "alert('x')" in Page(page).text


def test_what_it_is_not_given_it_has_no_section_for(study: WordStudy) -> None:
    tags = {tag for tag, _ in Page(comparison_page(title="Nothing")).elements}
    assert not tags & {"section", "table", "img", "p"}
    table = words_of(comparison_page(title="t", rows=ROWS))
    assert "Nearest words" not in table
    word = words_of(comparison_page(title="t", study=study))
    assert "table 5" not in word
    static = dataclasses.replace(study, systems=study.systems[:1])
    assert "attends to" not in words_of(comparison_page(title="t", study=static))


def test_text_fits_what_there_is(study: WordStudy) -> None:
    with_all = words_of(comparison_page(title="t", study=study))
    said = ["held-out", "grey dots", "last column", "sense make a square", "Nearest words"]
    for part in said:
        assert part in with_all, part
    system = dataclasses.replace(
        study.systems[3],
        separation=None,
        between=None,
        layers=[None] * 3,
        corpus_points=[],
        neighbours=[[]] * 20,
    )
    plain = dataclasses.replace(
        study,
        sentences=[LabelledSentence(each.text) for each in study.sentences],
        systems=[system],
        num_corpus_sentences=0,
        num_with_word=0,
    )
    bare = words_of(comparison_page(title="t", study=plain))
    for part in said:
        assert part not in bare, part
    for number, each in enumerate(plain.sentences, 1):
        assert f"{number}. {each.text}" in bare


def test_names_that_pictures_cannot_show_are_written_beside_them(study: WordStudy) -> None:
    given = [dataclasses.replace(each, sense="東京") for each in study.sentences]
    found = dataclasses.replace(study, sentences=given, systems=study.systems[3:])
    assert "no letters for: sense 1 東京" in words_of(comparison_page(title="t", study=found))


def test_a_word_keeps_a_little_of_its_sentence() -> None:
    assert marked("Turn right here.", 5, 10) == Marked("Turn ", "right", " here.")
    long = "one two three " * 9
    found = marked(f"{long}right {long}", len(long), len(long) + 5)
    assert found.word == "right"
    assert found.before.startswith("…")
    assert found.before.endswith("three ")
    assert found.after.startswith(" one two")
    assert found.after.endswith("…")
    for part in (found.before.strip("…"), found.after.strip("…")):
        assert set(part.split()) == {"one", "two", "three"}
        assert len(part) <= 42
    unbroken = marked("x" * 99 + "right" + "y" * 99, 99, 104)
    assert (len(unbroken.before), unbroken.word, len(unbroken.after)) == (43, "right", 43)


def test_it_replaces_a_page_whole(tmp_path: Path, study: WordStudy) -> None:
    path = tmp_path / "report.html"
    write_page(path, title="one")
    write_page(path, title="two", study=study)
    assert "<title>two</title>" in path.read_text(encoding="utf-8")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(DataError, match="cannot be written"):
        write_page(tmp_path / "nowhere" / "report.html", title="three")


def test_the_template_is_beside_the_code() -> None:
    import bertsmith.comparison.page as module

    assert (Path(module.__file__).parent / "comparison.html").is_file()
