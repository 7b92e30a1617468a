"""Each view is used as a person would, in Chromium, and looks as it must at both sizes."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from tests.inference.conftest import save
from tests.serving.browser import Visit, chromium, visiting
from tests.serving.conftest import PIECES, Running, running
from tests.serving.taught_models import PASSAGE, minilm, write_taught_models

from bertsmith.serving.schema import MAX_SENTENCES
from bertsmith.tasks.sequence_classification import SequenceClassification
from bertsmith.tasks.token_classification import TokenClassification

pytestmark = pytest.mark.slow

LOOKS = list(itertools.product(("desktop", "phone"), ("light", "dark")))
MARKUP = "<img src=x onerror=\"document.title='broken'\">"
FULL = {"error": {"message": "the queue is full"}}
# The next thing that the page's policy refuses.
LISTEN = """() => {
  window.violated = new Promise((done) => addEventListener(
    "securitypolicyviolation", (event) => done(event.effectiveDirective), { once: true },
  ));
}"""


def is_over(one: Any, other: Any) -> bool:
    """Whether two boxes of the page share more than an edge."""
    return all(
        one[at] + one[size] > other[at] + 0.1 and other[at] + other[size] > one[at] + 0.1
        for at, size in (("x", "width"), ("y", "height"))
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A model of each kind; it is not worth making them where there is no browser."""
    folders = write_taught_models(tmp_path_factory.mktemp("taught"))
    named = [f"minilm={minilm()}", *(f"{name}={folder}" for name, folder in folders.items())]
    with running(*(option for each in named for option in ("--model", each))) as found:
        yield found


@pytest.fixture(params=LOOKS, ids="-".join)
def visit(request: pytest.FixtureRequest, browser: Any, server: Running) -> Iterator[Visit]:
    """A window of each size in each colour scheme, at the page's beginning."""
    with visiting(browser, server.url, *request.param) as found:
        found.open()
        yield found


@pytest.fixture
def window(browser: Any, server: Running) -> Iterator[Visit]:
    """One window, where the look does not matter."""
    with visiting(browser, server.url) as found:
        found.open()
        yield found


def test_masked_words(visit: Visit) -> None:
    visit.choose("Masked words")
    visit.press("Fill in")
    assert visit.said().startswith("Likeliest: capital ")
    visit.field("Text").fill("[MASK] is the capital of [MASK].")
    visit.press("Fill in")
    visit.page.get_by_role("heading", name="[MASK] 2").wait_for()
    bars = visit.bars()
    assert len(bars) == 20
    assert {"paris", "london", "rome"} < {name for name, _ in bars[:10]}
    assert visit.page.locator(".passage mark").all_inner_texts() == [bars[0][0], bars[10][0]]
    visit.check_look("masked-words")


def test_entities(visit: Visit) -> None:
    visit.choose("Entities")
    # An emoji is one character to the server and two units to the page's language.
    visit.field("Text").fill("😀 Ada Lovelace met Charles Babbage in London in June 1833.")
    visit.press("Mark")
    assert visit.said() == "4 entities found."
    marks = visit.page.locator("mark").all_inner_texts()
    assert [text.rsplit(" ", 2)[0] for text in marks] == [
        "Ada Lovelace",
        "Charles Babbage",
        "London",
        "June 1833",
    ]
    assert [text.rsplit(" ", 2)[1] for text in marks] == ["PER", "PER", "LOC", "DATE"]
    visit.check_look("entities")


def test_answers(visit: Visit) -> None:
    visit.choose("Answers")
    visit.press("Answer")
    assert visit.said().startswith("Answer: 1 Dorset Street, Marylebone (9")
    assert visit.page.locator(".passage mark").inner_text() == "1 Dorset Street, Marylebone"
    assert visit.page.locator(".passage").inner_text() == PASSAGE
    visit.check_look("answers")
    visit.field("Question").fill("Who was his teacher?")
    visit.page.keyboard.press("Enter")
    visit.page.get_by_text("The passage has no answer, the model says.").wait_for()
    assert visit.page.locator(".passage mark").count() == 0
    assert visit.bars()[0][0] == "no answer in the passage"


def test_classes(visit: Visit) -> None:
    visit.choose("Classes")
    visit.field("Text").fill("Two dull hours; I left.")
    visit.press("Classify")
    assert visit.said().startswith("neg (")
    assert [name for name, _ in visit.bars()] == ["neg", "pos"]
    visit.check_look("classes")


def test_score_and_choices(visit: Visit) -> None:
    visit.choose("Score")
    visit.press("Score")
    assert 3 < float(visit.said().removeprefix("Score ").removesuffix(".")) < 5
    visit.check_look("score")
    visit.choose("Choices")
    visit.press("Choose")
    assert visit.said().startswith("walked into the room. (")
    assert visit.page.locator(".bars .chosen .name").all_inner_texts() == ["walked into the room."]
    visit.check_look("choices")


def test_similarity(visit: Visit) -> None:
    visit.choose("Similarity")
    visit.field("Model").select_option("minilm")
    visit.press("Compare")
    assert visit.said() == "Most alike: 1 and 2 (0.74)."
    cells = visit.cells()
    assert [row[place] for place, row in enumerate(cells)] == [1] * 5
    assert cells[2][3] > 3 * max(cells[0][2], cells[0][3], 0.1)
    visit.check_look("similarity")


def test_wordpieces(visit: Visit) -> None:
    visit.choose("Wordpieces")
    visit.press("Cut")
    assert "wordpieces, [CLS] and [SEP] among them." in visit.said()
    bert, gnmt = (
        row.locator(".piece").all_inner_texts() for row in visit.page.locator(".pieces").all()
    )
    assert bert[:5] == ["[CLS]", "snow", "##board", "##ers", "in"]
    assert gnmt[:5] == ["[CLS]", "_snow", "board", "ers", "_in"]
    visit.check_look("wordpieces")


def test_attention(visit: Visit) -> None:
    """In this head of the model most is taken from the cat, by "it" too."""
    visit.choose("Attention")
    visit.field("Model").select_option("minilm")
    visit.press("Show")
    assert visit.said() == "Layer 3 of 0 to 5, head 0 of 0 to 11."
    visit.field("Layer").select_option("5")
    visit.page.get_by_text("Layer 5 of 0 to 5, head 0 of 0 to 11.").wait_for()
    visit.field("Head").select_option("11")
    visit.page.get_by_text("Layer 5 of 0 to 5, head 11 of 0 to 11.").wait_for()
    every = visit.page.locator(".lines line:visible").count()
    visit.check_look("attention")
    it = visit.page.get_by_role("button", name="it takes 71 % from cat")
    if visit.look.startswith("phone"):
        it.tap()
    else:
        it.hover()
    assert 0 < visit.page.locator(".lines line:visible").count() < every / 4
    assert visit.page.locator(".to button", has_text="cat").inner_text().split() == [
        "cat",
        "71",
        "%",
    ]
    it.focus()
    visit.check_look("attention-of-one-piece")


def test_word_in_context(visit: Visit) -> None:
    """The direction and the judgement are two words to the model, and the page shows it."""
    visit.choose("Word in context")
    visit.field("Model").select_option("minilm")
    visit.press("Compare")
    assert visit.said() == "4 occurrences; their cosines are from 0.58 to 0.71."
    cells = visit.cells()
    across = [cells[one][other] for one, other in itertools.product((0, 1), (2, 3))]
    assert min(cells[0][1], cells[2][3]) > max(across)
    near = visit.page.locator(".near").all_inner_texts()
    assert [words.split()[0] for words in near] == ["left", "left", "wrong", "wrong"]
    assert visit.page.locator(".map .spot-name").all_text_contents() == ["A", "B", "C", "D"]
    drawn = visit.page.locator(".map .dot-name").all_text_contents()
    assert {"left", "wrong", "correct"} <= set(drawn)
    visit.check_look("word-in-context")
    visit.field("Layer").select_option("0")
    visit.page.locator("#status", has_text="from 0.85 to 0.96").wait_for()


# Not pressed, since Alt with an arrow would leave the page.
IS_LEFT_TO_THE_BROWSER = """
([key, modifier]) => document.activeElement.dispatchEvent(
  new KeyboardEvent("keydown", { key, [modifier]: true, bubbles: true, cancelable: true }))
"""


def test_by_the_keyboard_alone(window: Visit) -> None:
    page, keys = window.page, window.page.keyboard
    page.get_by_role("heading", name="Masked words").wait_for()

    def tab_to(name: str) -> None:
        for _ in range(40):
            keys.press("Tab")
            if page.evaluate("() => document.activeElement.innerText") == name:
                return
        raise AssertionError(f"Tab does not lead to {name}")

    tab_to("Skip to the form")
    keys.press("Enter")
    keys.press("Control+A")
    keys.type("The cat sat on the [MASK].")
    keys.press("Control+Enter")
    assert window.said().startswith("Likeliest: mat ")
    page.evaluate("() => document.activeElement.blur()")
    tab_to("Attention")
    keys.press("Enter")
    page.get_by_role("heading", name="Attention").wait_for()
    assert page.evaluate("() => document.activeElement.id") == "title"
    tab_to("Show")
    keys.press("Enter")
    assert window.said() == "Layer 3 of 0 to 5, head 0 of 0 to 11."
    every = page.locator(".lines line:visible").count()
    tab_to("[CLS]")
    keys.press("ArrowDown")
    keys.press("ArrowDown")
    focused = "() => document.activeElement.dataset.key"
    assert page.evaluate(focused) == "from-2"
    assert page.locator(".lines line:visible").count() < every / 4
    for key in ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"):
        for modifier in ("altKey", "ctrlKey", "metaKey"):
            assert page.evaluate(IS_LEFT_TO_THE_BROWSER, [key, modifier]), (key, modifier)
    assert page.evaluate(focused) == "from-2"
    keys.press("ArrowRight")
    page.get_by_text("Layer 3 of 0 to 5, head 1 of 0 to 11.").wait_for()
    assert page.evaluate(focused) == "from-2"
    keys.press("Shift+ArrowRight")
    page.get_by_text("Layer 4 of 0 to 5, head 1 of 0 to 11.").wait_for()
    keys.press("ArrowLeft")
    keys.press("ArrowLeft")
    page.get_by_text("Layer 4 of 0 to 5, head 11 of 0 to 11.").wait_for()
    keys.press("Tab")
    assert page.evaluate(focused) == "to-0"
    keys.press("Escape")
    assert page.locator(".lines line:visible").count() > every / 4


def test_an_address_leads_back_to_what_was_asked(window: Visit, browser: Any) -> None:
    window.choose("Classes")
    window.field("Text").fill("A joy & 100 % fun; #1 = 東京 😀")
    window.press("Classify")
    said = window.said()
    address = window.page.url
    window.choose("Entities")
    window.page.go_back()
    assert window.said() == said
    assert window.field("Text").input_value() == "A joy & 100 % fun; #1 = 東京 😀"
    with visiting(browser, window.url) as other:
        other.open(address.removeprefix(f"{window.url}/"))
        assert other.said() == said


def test_what_an_address_asks_in_vain_is_said(window: Visit) -> None:
    many = "m" * 100
    for fragment, sentence in {
        "view=nothing": 'No model that is served here has the view "nothing".',
        "view=wordpieces&model=gone&text=abc": 'The model "gone" is not served here.',
        f"view=wordpieces&model={many}": f'The model "{many[:79]}…" is not served here.',
        "view=masked-words&model=tags&text=a": 'The model "tags" does not have this view.',
        "view=attention&model=minilm&text=a+cat&pair=&layer=99&head=x": (
            'Layer "99" is none of 0 to 5.'
        ),
        "view=attention&model=minilm&text=a+cat&pair=&layer=1&head=x": (
            'Head "x" is none of 0 to 11.'
        ),
    }.items():
        window.open(f"#{fragment}")
        assert window.refusal() == sentence
        assert window.page.locator("#status").inner_text() == ""
    assert window.field("Text").input_value() == "a cat"
    window.press("Show")
    assert window.said() == "Layer 1 of 0 to 5, head 0 of 0 to 11."
    assert window.page.locator("#error").is_hidden()


def test_going_back_loses_nothing_that_was_typed(window: Visit) -> None:
    page, sentences = window.page, "Sentences, one a line"
    window.choose("Similarity")
    for text in ("A cat.\nA dog.", "A cat.\nA car.\nA bus."):
        window.field(sentences).fill(text)
        window.press("Compare")
        page.locator(".heat").wait_for()
        window.said()
    assert len(window.cells()) == 3
    window.field(sentences).fill("Something longer, not asked yet.")
    window.choose("Wordpieces")
    page.go_back()
    page.get_by_role("heading", name="Similarity").wait_for()
    assert window.field(sentences).input_value() == "Something longer, not asked yet."
    assert page.locator("#result").inner_text() == ""
    page.go_back()  # to the first question
    window.said()
    assert window.field(sentences).input_value() == "A cat.\nA dog."
    assert len(window.cells()) == 2
    page.go_forward()
    page.wait_for_function("() => document.querySelector('textarea').value.startsWith('Some')")
    window.choose("Attention")
    window.press("Show")
    window.field("Head").select_option("2")
    page.get_by_text("head 2 of").wait_for()
    page.go_back()
    page.get_by_role("heading", name="Similarity").wait_for()


def test_a_model_stays_chosen_where_it_can_answer(window: Visit) -> None:
    window.choose("Word in context")
    assert window.field("Model").input_value() == "minilm"
    window.choose("Choices")
    assert window.page.locator("#model").inner_text() == "choices"
    window.choose("Word in context")
    assert window.field("Model").input_value() == "minilm"
    window.field("Model").select_option("masks")
    window.choose("Choices")
    window.choose("Attention")
    assert window.field("Model").input_value() == "masks"


def test_another_model_gets_the_question_that_it_can_answer(window: Visit) -> None:
    def with_two_layers(route: Any) -> None:
        cards = route.fetch().json()
        for card in cards["data"]:
            card["layers"] = 2 if card["id"] == "masks" else card["layers"]
        route.fulfill(json=cards)

    window.page.route("**/v1/models", with_two_layers)
    window.open("#view=attention&model=minilm&text=a+good+film&pair=&layer=5&head=3")
    assert window.said() == "Layer 5 of 0 to 5, head 3 of 0 to 11."
    window.field("Model").select_option("masks")
    window.page.get_by_text("Layer 1 of 0 to 1, head 3 of 0 to 11.").wait_for()
    assert window.field("Text").input_value() == "a good film"
    window.field("Text").fill("a bad film")
    window.field("Model").select_option("tags")
    window.page.get_by_text("Layer 1 of 0 to 5, head 3 of 0 to 11.").wait_for()
    assert window.field("Text").input_value() == "a bad film"
    window.page.go_back()  # what was typed was asked, so that the question before is here again
    window.page.get_by_text("Layer 1 of 0 to 1, head 3 of 0 to 11.").wait_for()
    assert window.field("Text").input_value() == "a good film"


def test_a_form_has_the_texts_that_its_model_reads(browser: Any, tmp_path: Path) -> None:
    expected = {"single": (False, False), "pair": (True, True), "either": (True, False)}
    named = []
    for name, pairs in (("single", False), ("pair", True), ("either", None)):
        task = SequenceClassification(labels=["no", "yes"], pairs=pairs)
        named += ["--model", str(save(tmp_path / name, [task], pieces=PIECES, positions=24))]
    with running(*named) as server, visiting(browser, server.url) as visit:
        for name, (is_there, is_needed) in expected.items():
            visit.open(f"#view=classes&model={name}")
            visit.page.get_by_role("heading", name="Classes").wait_for()
            second = visit.page.locator("[name=pair]")
            assert second.count() == is_there
            assert visit.page.locator("[name=pair][required]").count() == is_needed
            visit.press("Classify")
            visit.said()
            if is_needed:
                second.fill("")
                visit.press("Classify")
                assert second.evaluate("(area) => area.validity.valueMissing")
                assert visit.page.locator("#error").is_hidden()


def test_blanks_are_no_text(window: Visit) -> None:
    window.choose("Classes")
    for text in ("", "  \n\t "):
        window.field("Text").fill(text)
        window.press("Classify")
        assert not window.field("Text").evaluate("(area) => area.validity.valid")
    window.open("#view=classes&model=classes&text=++&pair=")
    window.page.get_by_role("heading", name="Classes").wait_for()
    assert window.page.locator("#status").inner_text() == ""
    assert not [each for each in window.requests if each.endswith("/v1/predict")]


def test_what_is_written_from_right_to_left_stays_in_order(window: Visit) -> None:
    page, passage = window.page, "abc של הבית הוא שם"
    candidate = {"answer": "abc של", "probability": 0.055, "start": 6, "end": 12}
    answer = {"answers": [{**candidate, "n_best": [candidate]}]}
    page.route("**/v1/predict", lambda route: route.fulfill(json=answer))
    window.choose("Answers")
    window.field("Question").fill("מה?")
    window.field("Passage").fill(f"הבית, {passage}")
    window.press("Answer")
    assert window.said() == "Answer: abc של (5.5\u00a0%)."
    share = (
        "() => { const found = document.createRange();"
        + """
      const last = document.querySelector("#status").lastChild;
      found.selectNodeContents(last);
      const name = document.querySelector("#status bdi").getBoundingClientRect();
      return found.getBoundingClientRect().left - name.right; }"""
    )
    assert page.evaluate(share) >= -1  # the share is on the right of the whole answer
    direction = "(each) => getComputedStyle(each).direction"
    assert window.field("Question").evaluate(direction) == "rtl"
    assert window.field("Passage").evaluate(direction) == "rtl"
    assert page.locator(".passage").evaluate(direction) == "rtl"
    assert page.locator("#status").evaluate(direction) == "ltr"
    window.check_look("right-to-left")


def test_a_question_is_seen_to_be_asked_and_asked_once(window: Visit) -> None:
    page, status = window.page, window.page.locator("#status")
    gone: list[Any] = []
    page.on("requestfailed", lambda request: gone.append(request.post_data_json["records"]))
    window.choose("Classes")
    page.route("**/v1/predict", lambda route: route.fulfill(status=429, json=FULL), times=1)
    window.press("Classify")
    assert window.refusal() == "The queue is full."
    held: list[Any] = []
    page.route("**/v1/predict", lambda route: held.append(route))
    window.field("Text").fill("Great fun.")
    page.get_by_role("button", name="Classify").dblclick()
    page.locator("#result[aria-busy]").wait_for(state="attached")
    assert status.inner_text() == "Asking…"
    assert page.locator("#error").is_hidden()
    window.field("Text").fill("A waste of time.")
    with page.expect_event("requestfailed"):
        window.press("Classify")
    assert gone == [["Great fun."]]
    assert len(held) == 2
    held[1].continue_()
    assert window.said().startswith("neg (")
    window.field("Text").fill("Two dull hours; I left.")
    window.press("Classify")
    assert status.inner_text() == "Asking…"
    window.check_look("asking")
    with page.expect_event("requestfailed"):
        window.choose("Wordpieces")
    assert gone[1:] == [["Two dull hours; I left."]]
    assert status.inner_text() == ""


def test_the_page_does_not_wait_for_ever_for_the_models(window: Visit) -> None:
    page = window.page
    page.clock.install()
    page.route("**/v1/models", lambda route: None)
    window.open()
    page.get_by_text("Asking…", exact=True).wait_for()
    page.clock.fast_forward(121_000)
    assert window.refusal().startswith("The server has not answered for two minutes")


# In a page of its own: one that is loaded again runs its clock forward again, which may end a
# request that has just begun.
def test_the_page_does_not_wait_for_ever_for_an_answer(window: Visit) -> None:
    page = window.page
    page.clock.install()
    window.open()
    page.route("**/v1/fill-mask", lambda route: None)
    window.press("Fill in")
    page.locator("#result[aria-busy]").wait_for(state="attached")
    page.clock.fast_forward(119_000)
    assert page.locator("#status").inner_text() == "Asking…"
    page.clock.fast_forward(2_000)
    assert window.refusal().startswith("The server has not answered for two minutes")
    assert page.locator("#status").inner_text() == ""


def test_what_is_too_much_for_the_page_is_said(window: Visit) -> None:
    window.choose("Similarity")
    window.field("Sentences, one a line").fill("A sentence.\n" * 51)
    window.press("Compare")
    assert window.refusal() == "These are 51 sentences, and 50 are compared; remove some."
    window.choose("Wordpieces")
    window.field("Text").fill("long " * 2000)
    window.press("Cut")
    said = window.said()
    assert said.startswith("2,002 wordpieces, [CLS] and [SEP] among them. Of these the")
    assert said.endswith(" The first 1,000 are shown.")
    assert window.page.locator(".pieces li").count() == 2 * 1000
    # The address leads to the view, and not to so long a text.
    assert window.page.url.endswith("#view=wordpieces&model=minilm")
    assert "too long to stand in the page's address" in window.page.locator("#result").inner_text()


def test_a_text_that_attention_sees_in_part(window: Visit) -> None:
    window.choose("Attention")
    window.field("Text").fill("long " * 400)
    window.press("Show")
    assert window.said().endswith(" Of 402 wordpieces the model reads 256.")
    window.field("Text").fill("a cat")
    window.field("Second text, if you like").fill("a dog")
    window.press("Show")
    assert window.said().endswith("head 0 of 0 to 11.")
    assert window.page.locator(".column.from button").count() == 7


def test_as_many_occurrences_as_there_may_be(visit: Visit) -> None:
    visit.choose("Word in context")
    visit.field("Model").select_option("minilm")
    visit.field("Word").fill("right")
    sentence = "Who is right is right, says number {} of the rather long list of sentences.\n"
    many = "".join(sentence.format(number) for number in range(MAX_SENTENCES))
    visit.field("Sentences, one a line").fill(many + "One more, without it.")
    visit.press("Compare")
    assert visit.refusal() == "These are 33 sentences, and 32 are compared; remove some."
    visit.field("Sentences, one a line").fill(many)
    visit.press("Compare")
    assert visit.said().startswith("64 occurrences; ")
    page = visit.page
    boxes = [each.bounding_box() for each in page.locator(".map .spot").all()]
    for one, other in itertools.combinations(boxes, 2):
        assert not is_over(one, other)
    titles = page.locator(".map g title").all_text_contents()
    assert sum(len(title.split(", ")) for title in titles) == 64
    assert "is" in ", ".join(page.locator(".map .dot-name").all_text_contents()).split(", ")
    assert len(visit.cells()) == 64
    assert page.locator(".nearest li:visible").count() == 12
    visit.check_look("many-occurrences")
    page.get_by_text("52 more", exact=True).click()
    assert page.locator(".nearest li:visible").count() == 64


def test_long_sentences_can_be_told_apart(window: Visit) -> None:
    window.choose("Similarity")
    beginning = "a rather long sentence that begins as all the other ones do, and as they go on, "
    texts = [f"{beginning * 3}{number}" for number in range(3)]
    window.field("Sentences, one a line").fill("\n".join(texts))
    window.press("Compare")
    window.said()
    names = window.page.locator(".heat .long").all()
    assert [each.get_attribute("title") for each in names] == texts


def test_a_long_ending_is_not_said_in_full_twice(window: Visit) -> None:
    window.choose("Choices")
    ending = "walked into the room " * 60
    window.field("Endings, one a line").fill(f"{ending}\n{ending}x")
    window.press("Choose")
    assert len(window.said()) < 100
    (first, _) = window.page.locator(".bars .name").all()
    assert first.get_attribute("title") == ending.strip()
    box = first.bounding_box()
    assert box is not None
    assert box["height"] < 120
    window.check_look("long-endings")


def test_refusals_are_shown_as_the_servers_sentence(window: Visit) -> None:
    window.field("Text").fill("no mask at all")
    window.press("Fill in")
    assert "holds no [MASK]; write [MASK]" in window.refusal()
    window.check_look("refusal")
    window.choose("Word in context")
    window.field("Word").fill("left")
    window.press("Compare")
    assert window.refusal().startswith("The word 'left' stands once in the sentences")
    window.field("Word").fill("the")
    window.press("Compare")
    window.said()
    assert window.page.locator("#error").is_hidden()


def test_views_are_those_that_the_models_have(browser: Any, tmp_path: Path) -> None:
    folder = save(tmp_path / "plain", [], pieces=PIECES, positions=24)
    tags = TokenClassification(labels=["NOUN", "VERB"], scheme="plain")
    save(tmp_path / "parts", [tags], pieces=PIECES, positions=24)
    always = ["Word in context", "Attention", "Similarity", "Wordpieces"]
    with running("--model", str(folder)) as server, visiting(browser, server.url) as visit:
        visit.open()
        visit.page.get_by_role("heading", name="Word in context").wait_for()
        assert visit.page.locator("nav a").all_inner_texts() == always
        assert visit.page.locator("#model").inner_text() == "plain"
    options = ["--model", str(folder), "--model", str(tmp_path / "parts")]
    with running(*options) as server, visiting(browser, server.url) as visit:
        visit.open()
        visit.choose("Entities")
        assert visit.page.locator("nav a").all_inner_texts() == ["Entities", *always]
        visit.field("Text").fill("a good film")
        visit.press("Mark")
        assert visit.said() == "3 words tagged."
        assert visit.page.locator(".tagged .tag").count() == 3


def test_texts_and_labels_are_never_markup(browser: Any, tmp_path: Path) -> None:
    labels = [MARKUP, "<b>fine</b>"]
    folder = save(
        tmp_path / "model", [SequenceClassification(labels=labels)], pieces=PIECES, positions=64
    )
    options = ["--model", f"<i>name<i>={folder}", "--model", f"other={folder}"]
    with running(*options) as server, visiting(browser, server.url) as visit:
        visit.open()
        visit.choose("Classes")
        visit.field("Text").fill(MARKUP)
        visit.press("Classify")
        visit.said()
        assert sorted(name for name, _ in visit.bars()) == sorted(labels)
        for view, button in (
            ("Wordpieces", "Cut"),
            ("Attention", "Show"),
            ("Similarity", "Compare"),
        ):
            visit.choose(view)
            visit.page.locator("textarea").first.fill(f"{MARKUP}\n{MARKUP}")
            visit.press(button)
            visit.said()
        visit.open("#" + f"view={MARKUP}&model={MARKUP}&text={MARKUP}")
        visit.page.get_by_role("heading", name="Classes").wait_for()
        assert visit.page.locator("main img, main b, header i, nav img").count() == 0
        assert visit.page.title() == "Classes · bertsmith"


def test_the_policy_holds(window: Visit) -> None:
    """What a page that was tricked might try is refused by the browser."""
    page = window.page
    tries = {
        "connect-src": "() => fetch('http://127.0.0.1:9/').catch(() => {})",
        "img-src": "() => { new Image().src = 'http://127.0.0.1:9/x.png'; }",
        "style-src-attr": "() => document.body.setAttribute('style', 'color: red')",
        "require-trusted-types-for": "() => { document.body.innerHTML = '<p>'; }",
    }
    for directive, attempt in tries.items():
        page.evaluate(LISTEN)
        is_thrown = "innerHTML" in attempt
        with pytest.raises(Exception, match="TrustedHTML") if is_thrown else nullcontext():
            page.evaluate(attempt)
        assert page.evaluate("() => window.violated") == directive
    window.complaints.clear()
    window.requests = [each for each in window.requests if "127.0.0.1:9/" not in each]


def test_a_key_is_asked_for_where_one_is_needed(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text("key-of-mine\n")
    folder = save(tmp_path / "model", [], pieces=PIECES, positions=24)
    options = ["--model", str(folder), "--api-keys-file", str(tmp_path / "keys.txt")]
    with running(*options) as server:
        with visiting(browser, server.url, "phone") as visit:
            visit.open()
            visit.page.get_by_text("This server answers only to those who have").wait_for()
            assert visit.page.locator("nav a").count() == 0
            visit.check_look("key")
            visit.field("API key").fill("another")
            visit.press("Use this key")
            visit.page.get_by_text("The server does not know this key.").wait_for()
            visit.field("API key").fill("key-of-mine")
            visit.page.keyboard.press("Enter")
            visit.page.get_by_role("heading", name="Word in context").wait_for()
            assert visit.field("API key").is_hidden()
            visit.choose("Wordpieces")
            visit.press("Cut")
            visit.said()
            visit.page.reload()
            visit.said()
            stores = "() => [JSON.stringify(localStorage), document.cookie, location.href]"
            assert "key-of-mine" not in "".join(visit.page.evaluate(stores))
        with visiting(browser, server.url) as other:
            other.open()
            other.page.get_by_text("This server answers only to those who have").wait_for()


def test_a_server_that_is_gone_is_one_sentence(browser: Any, tmp_path: Path) -> None:
    folder = save(tmp_path / "model", [], pieces=PIECES, positions=24)
    with running("--model", str(folder)) as server, visiting(browser, server.url) as visit:
        visit.open()
        visit.choose("Wordpieces")
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(30)
        visit.press("Cut")
        assert visit.refusal() == "The server does not answer; see whether it is running."
