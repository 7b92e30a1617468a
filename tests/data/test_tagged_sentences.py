"""Words and tags of a record in any of its forms, and what is said about those that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.data.layout import Layout
from bertsmith.data.record import Record
from bertsmith.data.records import read_records
from bertsmith.data.tagged_sentences import tagged, tagged_sentence, without_tags
from bertsmith.errors import DataError

TEXT = "Peter Blackburn's EU-wide call, in Brussels."


def record(**fields: Any) -> Record:
    return Record(fields, "a.jsonl:3")


@pytest.mark.parametrize(
    "fields",
    [
        {"tokens": ["EU", "so"], "tags": ["B-ORG", "O"]},
        {"tokens": ["EU", "so"], "ner_tags": ["B-ORG", "O"], "pos_tags": ["X", "X"], "id": "0"},
        {"words": ["EU", "so"], "labels": ["B-ORG", "O"]},
        {"text": ["EU", "so"], "label": ["B-ORG", "O"], "tags": ["X", "X"]},
        {"tokens": ["EU", "so"], "label": "a document's", "tags": ["B-ORG", "O"]},
        {"text": "EU so", "entities": [{"start": 0, "end": 2, "label": "ORG"}]},
        {"text": "EU so", "spans": [{"start": 0, "end": 2, "type": "ORG"}], "tokens": [{"id": 0}]},
        {"text": "EU so", "label": [[0, 2, "ORG"]]},
    ],
)
def test_the_usual_forms_say_the_same(fields: dict[str, Any]) -> None:
    sentence = tagged_sentence(record(**fields))
    assert sentence.words == ["EU", "so"]
    assert sentence.tags == ["B-ORG", "O"]
    assert sentence.joined() == ("EU so", [(0, 2), (3, 5)])
    bare = tagged_sentence(without_tags(record(**fields)))
    assert (bare.words, bare.tags) == (["EU", "so"], None)


def test_entities_become_tags_of_the_words_that_they_are() -> None:
    spans = [(35, 43, "LOC"), (0, 15, "PER")]
    entities = [{"start": a, "end": b, "label": kind} for a, b, kind in spans]
    sentence = tagged_sentence(record(text=TEXT, entities=entities))
    assert sentence.words[:4] == ["Peter", "Blackburn", "'s", "EU-wide"]
    assert sentence.tags == ["B-PER", "I-PER", "O", "O", "O", "O", "O", "B-LOC", "O"]
    _, places = sentence.joined()
    assert [TEXT[start:end] for start, end in places] == sentence.words
    assert tagged_sentence(record(text=TEXT, entities=[])).tags == ["O"] * 9


def test_words_and_texts_without_tags() -> None:
    assert tagged_sentence(record(tokens=["EU"], tags=None)).tags is None
    assert tagged_sentence(record(text="")).words == tagged_sentence(record(tokens=[])).words == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tokens": ["a", ""], "tags": ["O", "O"]}, ", word 2: the word is ''; it must be a text"),
        ({"tokens": ["a", 5]}, ", word 2: the word is 5; it must be a text that is not empty"),
        ({"tokens": ["New York"]}, ", word 1: the word 'New York' holds white space; make several"),
        ({"tokens": ["a\tb"]}, "holds white space"),
        ({"tokens": ["a\ud800"]}, r"word 1: the word .* holds half of a surrogate pair"),
        (
            {"tokens": ["a", "b"], "tags": ["O"]},
            r"of words \(2\) is not that of tags \(1\); each word",
        ),
        ({"tokens": ["a"], "tags": "O"}, ": tags is 'O'; it must be a list with a tag for each"),
        ({"tokens": ["a"], "tags": [None]}, ", word 1: the tag is None; it must be a text, or the"),
        ({"tokens": ["a"], "tags": [True]}, ", word 1: the tag is True"),
        ({"tokens": ["a"], "tags": [""]}, ", word 1: the tag is ''"),
        ({"text": "a b", "tags": ["O", "O"]}, ": tags is for words and the record has a text; g"),
        ({"text": "a", "pair": "b"}, " is a pair of texts, and words are tagged in one text"),
        ({"other": "a"}, ": none of the columns .* is known to hold the text"),
        ({"text": TEXT, "entities": [[18, 20, "ORG"]]}, r": the entity 'EU' \(ORG, 18 to 20\) doe"),
        ({"text": TEXT, "entities": [[0, 6, "PER"]]}, r"not begin and end where words do \('Peter"),
        ({"text": TEXT, "entities": [[0, 5, "A"], [0, 15, "B"]]}, r": two entities \(A and B\) sh"),
        ({"text": "ab", "entities": [[0, 3, "A"]]}, r": an entity \('A'\) is from 0 to 3; it must"),
        ({"text": "ab", "entities": [[1, 1, "A"]]}, "must have a label and lie within the text of"),
        ({"text": "ab", "entities": [[0, 2, ""]]}, r"an entity \(''\) is from 0 to 2; it must hav"),
        ({"text": "ab", "entities": [{"start": 0}]}, r"an entity is {'start': 0}; it must be an o"),
        ({"text": "ab", "labels": ["positive"]}, "an entity is 'positive'; it must be an object"),
    ],
)
def test_what_does_not_fit_together_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"a.jsonl:3{message}" if message[0] in ":, " else message):
        tagged_sentence(record(**fields))


def test_records_to_learn_from_must_have_tags() -> None:
    with pytest.raises(DataError, match=r"a.jsonl:3: the words have no tags \(tokens: a list\); "):
        list(tagged([record(tokens=["a"], tags=["O"]), record(tokens=["b"])]))


def test_words_of_a_file_may_be_any_that_it_separates(tmp_path: Path) -> None:
    path = tmp_path / "a.conllu"
    path.write_text("1\t10 000" + "\t_" * 8 + "\n")
    (sentence,) = map(tagged_sentence, read_records(path))
    assert sentence.words == ["10 000"]
    assert tagged_sentence(without_tags(next(read_records(path)))).words == ["10 000"]


def test_columns_that_the_user_names_hold_words_and_tags(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"sentence": ["EU"], "ner": ["B-ORG"], "tokens": ["x"], "tags": ["O"]}\n')
    (sentence,) = map(
        tagged_sentence, read_records(path, layout=Layout(text="sentence", label="ner"))
    )
    assert (sentence.words, sentence.tags) == (["EU"], ["B-ORG"])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from(["", "a", "a b", "B-X", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["start", "end", "label", "type"]), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = ["text", "tokens", "words", "label", "labels", "tags", "entities", "spans", "document"]


@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4))
def test_whatever_a_record_holds_it_is_words_or_a_sentence_about_it(fields: dict[str, Any]) -> None:
    try:
        sentence = tagged_sentence(record(**fields))
    except DataError as error:
        assert str(error).startswith("a.jsonl:3")
        return
    text, places = sentence.joined()
    assert [text[start:end] for start, end in places] == sentence.words
    assert sentence.tags is None or len(sentence.tags) == len(sentence.words)
