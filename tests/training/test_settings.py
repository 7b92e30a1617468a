from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from bertsmith.errors import ConfigError
from bertsmith.training.settings import (
    Count,
    Fraction,
    Index,
    NonNegativeFloat,
    PositiveFloat,
    Probability,
    Settings,
    dotted_names,
)


@dataclass(frozen=True, kw_only=True)
class Oven(Settings):
    heat: PositiveFloat = 180.0
    minutes: Count = 30
    fan: bool = False
    mode: Literal["top", "bottom"] = "top"
    name: str | None = None
    rack: str | int | None = None


@dataclass(frozen=True, kw_only=True)
class Dough(Settings):
    flour: Annotated[Path, "a sack in quotes"]
    extras: tuple[str, ...] = ()
    salt: Probability = 0.02
    rest_minutes: Index = 0
    water: Fraction = 0.6
    yeast: NonNegativeFloat = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.salt > self.water:
            raise ConfigError(f"salt ({self.salt}) must be at most water ({self.water})")


@dataclass(frozen=True, kw_only=True)
class Cake(Settings):
    dough: Dough
    oven: Oven = field(default_factory=lambda: Oven(heat=200.0))
    notes: dict[str, Any] = field(default_factory=dict)


def problems(values: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as error:
        Cake.from_dict(values)
    return str(error.value).split("\n")


def test_values_arrive_in_the_types_of_their_fields() -> None:
    cake = Cake.from_dict(
        {"dough": {"flour": "rye", "extras": ["nuts"], "yeast": 2}, "oven": {"rack": 3}}
    )
    assert cake.dough.flour == Path("rye")
    assert cake.dough.extras == ("nuts",)
    assert cake.dough.yeast == 2.0
    assert isinstance(cake.dough.yeast, float)
    assert cake.oven.rack == 3


def test_a_sections_missing_keys_take_the_recipes_default_not_the_sections() -> None:
    cake = Cake.from_dict({"dough": {"flour": "rye"}, "oven": {"fan": True}})
    assert cake.oven == Oven(heat=200.0, fan=True)


def test_going_to_plain_values_and_back_changes_nothing() -> None:
    cake = Cake.from_dict({"dough": {"flour": "rye", "extras": ["a"]}, "notes": {"by": [1]}})
    values = cake.to_dict()
    assert values["dough"]["flour"] == "rye"
    assert "name" not in values["oven"]  # a setting without value has none in TOML either
    assert Cake.from_dict(values) == cake


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("oven", "heat", 0, "oven.heat (0) must be a number above 0"),
        ("oven", "heat", "hot", "oven.heat ('hot') must be a number above 0"),
        ("oven", "heat", True, "oven.heat (true) must be a number above 0"),
        ("oven", "heat", float("nan"), "oven.heat (nan) must be a number above 0"),
        ("oven", "heat", float("inf"), "oven.heat (inf) must be a number above 0"),
        ("oven", "minutes", 0, "oven.minutes (0) must be a whole number of at least 1"),
        ("oven", "minutes", 1.5, "oven.minutes (1.5) must be a whole number of at least 1"),
        ("oven", "minutes", False, "oven.minutes (false) must be a whole number of at least 1"),
        ("oven", "fan", 1, "oven.fan (1) must be true or false"),
        ("oven", "mode", "side", "oven.mode ('side') must be one of top, bottom"),
        ("oven", "name", 3, "oven.name (3) must be a text in quotes"),
        ("oven", "rack", 3.5, "oven.rack (3.5) must be a text in quotes or a whole number"),
        ("dough", "flour", 3, "dough.flour (3) must be a sack in quotes"),
        ("dough", "flour", "", "dough.flour ('') must be a sack in quotes"),
        ("dough", "extras", "nuts", "dough.extras ('nuts') must be a list of texts in quotes"),
        ("dough", "extras", [1], "dough.extras ([1]) must be a list of texts in quotes"),
        ("dough", "salt", 1.1, "dough.salt (1.1) must be a number from 0 to 1"),
        ("dough", "rest_minutes", -1,
         "dough.rest_minutes (-1) must be a whole number of at least 0"),
        ("dough", "water", 1, "dough.water (1) must be a number of at least 0 and below 1"),
        ("dough", "yeast", -1, "dough.yeast (-1) must be a number of at least 0"),
        ("dough", "salt", 0.9, "dough.salt (0.9) must be at most water (0.6)"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_what_it_must_be(
    section: str, key: str, value: object, message: str
) -> None:
    values: dict[str, Any] = {"dough": {"flour": "rye"}}
    values.setdefault(section, {})[key] = value
    assert problems(values) == [message]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"oven": {"heet": 3}}, "oven.heet is not a setting; did you mean oven.heat?"),
        ({"oven": {"flower": 3}}, "oven.flower is not a setting; did you mean dough.flour?"),
        ({"heat": 3}, "heat is not a setting; did you mean oven.heat?"),
        ({"owen": {"heat": 3}}, "owen is not a section; did you mean oven?"),
        ({"qqq": {"heat": 3}}, "qqq is not a section; those here are dough, oven, notes"),
        ({"qqq": 3}, "qqq is not a setting; those here are dough, oven, notes"),
        ({"oven": {"qqq": {}}}, "oven.qqq is not a section; it has no sections"),
        ({"oven": 3}, "oven (3) must be a section of settings"),
        ({"notes": 3}, "notes (3) must be a section of settings"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_of_any_section(
    values: dict[str, Any], message: str
) -> None:
    assert problems({"dough": {"flour": "rye"}} | values) == [message]


def test_of_two_equally_near_names_the_one_in_the_same_section_is_meant() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Kitchen(Settings):
        left: Oven = field(default_factory=Oven)
        right: Oven = field(default_factory=Oven)

    for section in ("left", "right"):
        with pytest.raises(ConfigError, match=rf"did you mean {section}\.heat\?"):
            Kitchen.from_dict({section: {"heta": 1}})


def test_a_missing_setting_is_named_with_what_it_must_be() -> None:
    assert problems({}) == ["dough.flour is not set; it must be a sack in quotes"]


def test_all_problems_are_reported_at_once() -> None:
    found = problems(
        {"dough": {"salt": 3, "yeast": -1}, "oven": {"heet": 1, "fan": 0}, "x": 1, "y": {}}
    )
    assert len(found) == 7  # flour is missing, too


def test_settings_made_in_python_are_checked_too() -> None:
    with pytest.raises(ConfigError) as error:
        Oven(heat=-1, minutes=0)
    assert str(error.value).split("\n") == [
        "heat (-1) must be a number above 0",
        "minutes (0) must be a whole number of at least 1",
    ]
    with pytest.raises(ConfigError, match="heat"):
        Oven().replace(heat=0)


def test_dotted_names_list_every_setting() -> None:
    names = list(dotted_names(Cake))
    assert names[0] == "dough.flour"
    assert "oven.heat" in names
    assert names[-1] == "notes"
