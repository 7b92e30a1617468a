"""Questions, their choices and the right one are found under the names that data sets give them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith.data.choices import (
    ChoiceQuestion,
    answer_of,
    answered,
    choice_question_of,
    without_answer,
)
from bertsmith.data.layout import Layout
from bertsmith.data.record import Record
from bertsmith.data.records import read_records
from bertsmith.errors import DataError

XY = ["x", "y"]


def record(**fields: Any) -> Record:
    return Record(fields, "q.jsonl:3")


SWAG = """,video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,label
0,a1,3,"A man, tall, sits. He","A man, tall, sits.",He,gold,stands up.,sings.,flies off.,2
"""


def test_swags_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(SWAG)
    (read,) = read_records(tmp_path / "train.csv")
    question = choice_question_of(read)
    assert question == ChoiceQuestion(
        "A man, tall, sits.", ("stands up.", "sings.", "flies off."), "He"
    )
    assert question.continuations[2] == "He flies off."
    assert answer_of(read, question.choices) == 2


def test_swags_test_file_has_a_header_and_no_answers(tmp_path: Path) -> None:
    lines = [line.rsplit(",", 1)[0] for line in SWAG.splitlines()]
    (tmp_path / "test.csv").write_text("\n".join(lines))
    (read,) = read_records(tmp_path / "test.csv")
    assert answer_of(read, choice_question_of(read).choices) is None


def test_columns_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "codah.tsv").write_text('o\tI am\tup.\tdown.\t"in".\tout.\t1\n')
    layout = Layout(text="2", choices="3, 4,5,6", label="7")
    (read,) = read_records(tmp_path / "codah.tsv", layout=layout)
    assert choice_question_of(read) == ChoiceQuestion("I am", ("up.", "down.", '"in".', "out."))
    assert answer_of(read, choice_question_of(read).choices) == 1


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"context": "c", "choices": ["x", "y"]}, ChoiceQuestion("c", ("x", "y"))),
        ({"prompt": "c", "endings": ["x", "y", "z"]}, ChoiceQuestion("c", ("x", "y", "z"))),
        ({"question": "q", "choices": ["x", "y"]}, ChoiceQuestion("q", ("x", "y"))),
        ({"context": "c", "question": "q", "choices": XY}, ChoiceQuestion("c", ("x", "y"), "q")),
        ({"article": "c", "question": "q", "options": XY}, ChoiceQuestion("c", ("x", "y"), "q")),
        ({"context": "c", "answer1": "y", "answer0": "x"}, ChoiceQuestion("c", ("x", "y"))),
        ({"context": "c", "option10": "y", "option9": "x"}, ChoiceQuestion("c", ("x", "y"))),
        ({"context": "c", "answerA": "x", "answerB": "y"}, ChoiceQuestion("c", ("x", "y"))),
        ({"premise": "c", "choice1": "x", "choice2": "y"}, ChoiceQuestion("c", ("x", "y"))),
        ({"ctx": "c", "ctx_a": "", "endings": ["x", "y"]}, ChoiceQuestion("c", ("x", "y"))),
        ({"text": "c", "pair": "q", "choices": ["x", "y"]}, ChoiceQuestion("c", ("x", "y"), "q")),
        (dict(zip("1234567", ("o", "c", "w", "x", "y", "z", "2"), strict=True)),
         ChoiceQuestion("c", ("w", "x", "y", "z"))),
    ],
)  # fmt: skip
def test_well_known_names_are_understood(fields: dict[str, Any], expected: ChoiceQuestion) -> None:
    assert choice_question_of(record(**fields)) == expected


def test_codahs_table_has_no_header(shared_data: Path) -> None:
    path = shared_data / "tasks" / "codah" / "full_data.tsv"
    records = list(answered(read_records(path)))
    assert len(records) == 2776
    question = choice_question_of(records[0])
    assert question.context == records[0].fields["2"]
    assert answer_of(records[0], question.choices) == int(records[0].fields["7"])


@pytest.mark.parametrize(
    ("name", "answer", "expected"),
    [
        ("label", 1, 1),
        ("label", 1.0, 1),
        ("label", "2", 2),
        ("label", " B ", 1),
        ("answer", "c", 2),
        ("label", "a red one", 0),
        ("answer", "7", 1),
        ("answer", 1, 1),
        ("label", None, None),
        ("label", " ", None),
        ("other", 1, None),
    ],
)
def test_the_answer_is_a_place_or_else_the_choice_or_a_letter(
    name: str, answer: Any, expected: int | None
) -> None:
    assert answer_of(record(**{name: answer}), ("a red one", "7", "1")) == expected


@pytest.mark.parametrize(
    ("answer", "choices", "message"),
    [
        (2, ("x", "y"), "label is 2, which is none of them; it must say one of the 2 choices"),
        (-1, ("x", "y"), "label is -1, which is none of them"),
        ("2", ("x", "y"), "label is '2', which is none of them"),
        ("C", ("x", "y"), "by a number from 0 to 1, a letter from A to B or its text"),
        ("green", ("x", "y"), "label is 'green', which is none"),
        (True, ("x", "y"), "label is True, which is none"),
        (1.5, ("x", "y"), "label is 1.5, which is none"),
        ([1], ("x", "y"), r"label is \[1\], which is none"),
        ("x", ("x", "x"), "label is 'x', which may be two of them"),
        # The third choice, or the second.
        ("2", ("1", "2", "3", "4"), "label is '2', which may be two of them"),
    ],
)
def test_an_answer_that_is_no_choice_or_two_is_refused(
    answer: Any, choices: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=f"^q.jsonl:3: .*{message}"):
        answer_of(record(label=answer), choices)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"body": "c", "choices": ["x", "y"]}, "none of .* before the choices; name it"),
        ({"text": "c", "label": 1}, "none of .* to hold the choices; name it, .* data.choices"),
        ({"text": "c", "choices": "x"}, "choices is not a list; it must hold the choices"),
        ({"text": "c", "choices": ["x"]}, r"there are fewer than two choices \(1\)"),
        ({"text": "c", "choices": []}, r"there are fewer than two choices \(0\)"),
        ({"text": "c", "ending0": "x"}, "ending0 is not a list"),
        ({"text": "c", "choices": ["x", 3]}, r"choices\[1\] is 3; it must be a text"),
        ({"text": "c", "choices": ["x", None]}, r"choices\[1\] is missing; it must be a text"),
        ({"text": "c", "choices": ["x", " "]}, r"choices\[1\] is empty; a choice must be a text"),
        ({"text": "c", "ending0": "x", "ending1": ""}, "ending1 is empty"),
        ({"text": None, "choices": ["x", "y"]}, "text is missing"),
        ({"context": "c", "question": 4, "choices": ["x", "y"]}, "question is 4; it must be"),
    ],
)  # fmt: skip
def test_what_is_no_question_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"^q.jsonl:3: {message}"):
        choice_question_of(record(**fields))


def test_a_question_to_learn_from_must_be_answered() -> None:
    good = {"text": "c", "choices": ["x", "y"], "label": 0}
    assert [each.fields for each in answered([record(**good)])] == [good]
    with pytest.raises(DataError, match="label is empty; say which choice is right or drop"):
        list(answered([record(**good | {"label": ""})]))
    with pytest.raises(DataError, match="is known to hold the place of the right choice; name it"):
        list(answered([record(text="c", choices=["x", "y"])]))


def test_a_question_to_be_answered_is_not_looked_at_for_its_answer() -> None:
    question = record(text="c", choices=["x", "y"], answer=7)
    assert set(without_answer(question).fields) == {"text", "choices"}
    assert answer_of(without_answer(question), ("x", "y")) is None


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 4)
    | st.floats()
    | st.sampled_from(["", " ", "a", "B", "1", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("a"), inner),
    max_leaves=4,
)
_NAMES = st.sampled_from(["text", "context", "question", "choices", "ending0", "ending1", "label"])


@settings(deadline=None)
@given(st.dictionaries(_NAMES, _VALUES))
def test_any_record_is_a_question_or_refused(fields: dict[str, Any]) -> None:
    try:
        question = choice_question_of(record(**fields))
        answer = answer_of(record(**fields), question.choices)
    except DataError as error:
        assert str(error).startswith("q.jsonl:3: ")
        return
    assert len(question.choices) >= 2
    assert all(choice.strip() for choice in question.choices)
    assert answer is None or answer in range(len(question.choices))


def test_real_questions_are_read(shared_data: Path) -> None:
    records = read_records(shared_data / "tasks" / "codah" / "full_data.tsv")
    questions = [(choice_question_of(each), each) for each in records]
    assert len(questions) == 2776
    assert {len(question.choices) for question, _ in questions} == {4}
    answers = [answer_of(each, question.choices) for question, each in questions]
    assert [answers.count(place) for place in range(4)] == [689, 684, 697, 706]


def test_a_place_that_another_choice_says_is_refused_where_places_are_not_known(
    shared_data: Path,
) -> None:
    path = shared_data / "tasks" / "codah" / "full_data.tsv"
    layout = Layout(text="2", choices="3,4,5,6", label="7")
    refused = []
    for known, each in zip(read_records(path), read_records(path, layout=layout), strict=True):
        choices = choice_question_of(each).choices
        place = answer_of(known, choices)
        assert place == int(known.fields["7"])
        try:
            assert answer_of(each, choices) == place
        except DataError:
            refused.append(choices)
    assert len(refused) == 5  # "2 + 2 = ?" and its like
    assert ("2", "1", "4", "3") in refused
