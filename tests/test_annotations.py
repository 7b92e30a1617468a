"""What fits an annotation, and what an annotation asks for in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from bertsmith.annotations import Bounds, matches, takes_lists, words

Share = Annotated[float, Bounds(lambda x: 0 <= x <= 1, "from 0 to 1")]
Weights = Literal["balanced"] | Mapping[str, float] | Sequence[float]


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, [1, -3], [True, 1.0, "1", None]),
        (float, [1, 0.5], [True, "0.1", math.nan, math.inf, None]),
        (bool, [True, False], [0, 1, "no", None]),
        (str, ["", "a"], [1, None, ["a"]]),
        (str | None, ["a", None], [1]),
        (Share, [0, 0.5, 1], [-0.1, 1.1, "0.5", True]),
        (Literal["a", "b"], ["a"], ["c", 1, None]),
        (Sequence[str | int], [["a", 1], [], ("a",)], ["ab,", 3, [0.5], [True], {"a": 1}]),
        (Sequence[float], [[0.5, 1]], [0.5, "0.5", ["0.5"]]),
        (tuple[int, ...], [[1, 2]], [[1.5], 1]),
        (Mapping[str, float], [{"a": 1}, {}], [{"a": "1"}, {1: 1.0}, [1.0], "a"]),
        (dict[str, Any], [{"a": None}], [[], "a"]),
        (Weights, ["balanced", {"a": 1}, [1.0, 2]], ["equal", 3, {"a": "b"}, ["balanced"]]),
        (Path, ["a", Path("a")], ["", 3]),
        (Any, [1, None, "a"], []),
        (Callable[[], int], [1, None], []),  # not known, and so left to whom it is for
    ],
)
def test_a_value_fits_or_it_does_not(hint: Any, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not matches(hint, value)[0]] == []
    assert [value for value in bad if matches(hint, value)[0]] == []


def test_a_value_is_given_in_its_type() -> None:
    for hint, value, expected in (
        (float, 1, 1.0),
        (tuple[int, ...], [1], (1,)),
        (Sequence[int], [1], [1]),
        (Path | None, "a", Path("a")),
    ):
        found = matches(hint, value)[1]
        assert found == expected
        assert type(found) is type(expected) or isinstance(expected, Path)


def test_annotations_say_whether_a_list_may_fit() -> None:
    taking = [Weights, list, tuple[int, ...], Annotated[Iterable[str], "x"], Sequence[int] | None]
    assert all(map(takes_lists, taking))
    assert not any(map(takes_lists, [str, int | None, Mapping[str, float], Any, None, Share]))


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (Share | None, "a number from 0 to 1"),
        (Sequence[str | int], "a list of texts in quotes or whole numbers"),
        (Weights, "'balanced' or a section of numbers or a list of numbers"),
        (Literal["a", "b"] | None, "one of a, b"),
        (Mapping[str, Any], "a section of settings"),
    ],
)
def test_it_is_said_what_must_be(hint: Any, expected: str) -> None:
    assert words(hint) == expected
