"""Headers are recognised, and columns go by the names that the user gives."""

from __future__ import annotations

from typing import Any

import pytest

from bertsmith.data.layout import Layout
from bertsmith.data.record import Record
from bertsmith.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("cells", "layout", "expected"),
    [
        (["sentence", "label"], {}, True),
        (["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"], {}, True),
        (["index", "sentence"], {}, True),
        (["", "Text", "Kind"], {}, True),
        (["tweet_text", "kind"], {}, False),
        (["tweet_text", "kind"], {"text": "tweet_text"}, True),
        (["tweet_text", "kind"], {"header": True}, True),
        (["gj04", "1", "", "The sailors rode the breeze clear of the rocks."], {}, False),
        (["text", "1"], {}, False),
        (["a film", "label"], {"header": False}, False),
        (["a fine film", "positive"], {}, False),
    ],
)
def test_a_first_row_is_a_header_when_it_holds_a_known_name_and_no_number(
    cells: list[str], layout: dict[str, Any], expected: bool
) -> None:
    assert Layout(**layout).are_header(cells) is expected


RECORD = Record({"id": "7", "sentence1": "a", "sentence2": "b", "Quality": "1"}, "a.tsv:2")


def rename(**layout: Any) -> dict[str, Any]:
    return dict(Layout(**layout).rename(RECORD, is_table=True).fields)


def test_named_columns_get_their_roles_names() -> None:
    assert rename(text="sentence2", pair="sentence1", label="id") == {
        "id": "7",
        "Quality": "1",
        "text": "b",
        "pair": "a",
        "label": "7",
    }


def test_a_named_text_without_pair_is_a_single_text() -> None:
    assert rename(text="sentence2") == {"id": "7", "Quality": "1", "text": "b"}


def test_numbers_count_the_columns_of_a_table_even_under_a_header() -> None:
    assert rename(text="3")["text"] == "b"


def test_a_column_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(DataError) as raised:
        rename(text="sentense")
    assert str(raised.value) == (
        "a.tsv:2: data.text (sentense) is not one of the columns (id: '7', sentence1: 'a', "
        "sentence2: 'b', Quality: '1'); name one of them"
    )
    with pytest.raises(DataError, match=r"data\.pair \(5\) is not one"):
        rename(text="1", pair="5")


def test_a_json_record_may_lack_its_label() -> None:
    record = Record({"body": "a"}, "a.jsonl:1")
    layout = Layout(text="body", label="kind")
    assert layout.rename(record, is_table=False).fields == {"body": "a", "text": "a"}
    with pytest.raises(DataError, match=r"data\.label \(kind\) is not one of the columns"):
        layout.rename(record, is_table=True)


def test_remembered_columns_are_used_only_where_a_file_has_them() -> None:
    assert rename(text="sentence2", label="missing", is_required=False)["text"] == "b"
    assert rename(text="3", pair="4", label="2", is_required=False) == RECORD.fields
    assert rename(text="sentence2", pair="missing", is_required=False) == RECORD.fields


def test_settings_are_read_as_the_command_line_gives_them() -> None:
    layout = Layout.from_settings({"text": 4, "label": "kind", "header": False, "format": "csv"})
    assert layout == Layout(text="4", label="kind", header=False, format="csv")
    assert layout.named == {"text": "4", "label": "kind"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lable": "2"}, r"^data\.lable is not a setting; did you mean data\.label\?$"),
        ({"qqq": "2"}, r"^data\.qqq is not a setting; those are data\.text, data\.pair"),
        ({"is_required": False}, r"data\.is_required is not a setting"),
        ({"text": 0}, r"data\.text \(0\) must be the name of a column, or its number"),
        ({"text": True}, r"data\.text \(True\) must be"),
        ({"pair": ["a"]}, r"data\.pair \(\['a'\]\) must be"),
        ({"header": "maybe"}, r"data\.header \('maybe'\) must be true or false"),
        ({"format": "xls"}, r"data\.format \('xls'\) must be one of csv, tsv, json, jsonl, txt"),
    ],
)
def test_bad_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Layout.from_settings(values)
