from __future__ import annotations

from bertsmith.text.notation import in_gnmt_notation


def test_the_published_example():
    pieces = ["J", "##et", "makers", "fe", "##ud", "over", "seat", "width"]
    assert " ".join(in_gnmt_notation(pieces)) == "_J et _makers _fe ud _over _seat _width"


def test_special_tokens_are_no_words():
    assert in_gnmt_notation(["[CLS]", "fe", "##ud", "[UNK]", "[SEP]"]) == [
        "[CLS]",
        "_fe",
        "ud",
        "[UNK]",
        "[SEP]",
    ]


def test_marks_that_are_text_start_a_word():
    assert in_gnmt_notation(["##", "#", "_"]) == ["_##", "_#", "__"]
