"""Names in pictures are short, all different, and have no letter that the font lacks."""

from __future__ import annotations

import pytest

from bertsmith.comparison.picture_labels import legend_columns, numbered_names, picture_labels


def test_long_names_that_begin_alike_stay_apart() -> None:
    names = [f"The quite long name of sense number {number}" for number in range(12)]
    shown = list(picture_labels(names, "sense").values())
    assert len(set(shown)) == 12
    assert all(each.startswith("The ") and "…" in each for each in shown)
    assert shown[11].endswith("11")


def test_names_that_differ_where_they_are_cut_are_numbered() -> None:
    names = [f"{'beginning ' * 9}{number}{' of the end' * 9}" for number in range(2)]
    assert picture_labels([*names, "short"], "sense") == {
        names[0]: "sense 1",
        names[1]: "sense 2",
        "short": "short",
    }


@pytest.mark.parametrize("name", ["東京", "नमस्ते", "", "\x00"])
def test_what_the_font_has_no_letters_for_is_a_number(name: str) -> None:
    assert picture_labels(["Ufer – берег", name], "sense") == {
        "Ufer – берег": "Ufer – берег",
        name: "sense 2",
    }
    assert numbered_names(["Ufer – берег", name], "sense") == [("sense 2", name)]


def test_a_number_is_nobody_elses_name() -> None:
    assert list(picture_labels(["東京", "sense 1"], "sense").values()) == ["sense 1", "sense 2"]


def test_a_formula_is_none() -> None:
    assert picture_labels(["$x^{$"], "sense") == {"$x^{$": r"\$x^{\$"}
    assert numbered_names(["$x^{$"], "sense") == []


def test_a_legend_has_as_many_columns_as_fit() -> None:
    assert legend_columns(["a", "b", "c"], 3, 3) == 3
    assert legend_columns(["a label of some length"] * 4, 2.9, 4) == 1
