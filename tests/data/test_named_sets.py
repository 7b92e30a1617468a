"""The table of named data sets is complete, and a wrong name is met with the right one."""

from __future__ import annotations

import pytest

from bertsmith.data.named_sets import NAMED_SETS, is_name, named_set
from bertsmith.errors import ConfigError

GLUE = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli", "ax")


def test_all_of_glue_is_there() -> None:
    assert {name for name in NAMED_SETS if name.startswith("glue:")} == {f"glue:{x}" for x in GLUE}


def test_the_files_of_answers_are_those_that_the_benchmark_wants() -> None:
    files = {file for named in NAMED_SETS.values() for file in named.submissions.values()}
    names = "AX CoLA MNLI-m MNLI-mm MRPC QNLI QQP RTE SST-2 STS-B WNLI"
    assert files == {f"{name}.tsv" for name in names.split()}


@pytest.mark.parametrize("name", NAMED_SETS)
def test_an_entry_fits_together(name: str) -> None:
    named = NAMED_SETS[name]
    assert set(named.submissions) <= set(named.files)
    assert all(folder.isalnum() and folder == folder.lower() for folder in named.folders)
    for file, splits in named.divided.items():
        assert splits[0] == "train"
        assert all(file in named.files[split] for split in splits)
    if named.numbers:
        assert set(named.numbers) == set(named.settings["labels"])


def test_the_figures_are_those_of_the_papers_table() -> None:
    figures = {name: named.settings.get("figure") for name, named in NAMED_SETS.items()}
    assert {name: figure for name, figure in figures.items() if figure} == {
        "glue:cola": "matthews_correlation",
        "glue:mrpc": "f1",
        "glue:qqp": "f1",
        "glue:stsb": "spearman",
        "glue:ax": "matthews_correlation",
    }


def test_names_are_told_from_files() -> None:
    assert is_name("glue:mrpc")
    assert is_name("glue:anything")
    assert is_name("swag")
    assert not is_name("swag.csv")
    assert not is_name("./swag")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("glue:mprc", "'glue:mprc' is not the name of a data set; did you mean glue:mrpc?"),
        ("glue:xxxxxxxxx", "'glue:xxxxxxxxx' is not the name of a data set; those are glue:cola,"),
    ],
)
def test_a_name_that_is_none_is_met_with_those_that_are(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        named_set(name)
    assert str(raised.value).startswith(message)
