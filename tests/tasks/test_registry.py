"""Tasks are found by name, the package's and the user's own, and a wrong name is explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertsmith.config import BertConfig
from bertsmith.errors import ConfigError
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task, task_class, task_names
from bertsmith.tasks.sequence_classification import SequenceClassification

OWN = """
from bertsmith.tasks.next_sentence import NextSentence


class Follows(NextSentence):
    name = "follows"

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict


TASK = Follows
"""


@pytest.fixture
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path whose package `own_tasks` has a task, a plain and a broken module."""
    package = tmp_path / "own_tasks"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "follows.py").write_text(OWN)
    (package / "plain.py").write_text("x = 1\n")
    (package / "broken.py").write_text("import a_package_that_is_not_installed\n")
    (package / "mistyped.py").write_text("import math\n\nTASK = math.no_such_function\n")
    unread = OWN.replace("strict: bool", "strict: NotImported").replace("follows", "lenient")
    (package / "lenient.py").write_text(f"from __future__ import annotations\n{unread}")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_every_task_of_the_package_has_its_files_name() -> None:
    names = task_names()
    assert {"masked_lm", "next_sentence", "sequence_classification"} <= set(names)
    assert names == sorted(names)
    for name in names:
        assert task_class(name).name == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sequence_clasification", r"is not a task; did you mean sequence_classification\?"),
        ("masked-lm", r"'masked-lm' is not a task; did you mean masked_lm\?"),
        ("zzz", r"'zzz' is not a task; the tasks are .*masked_lm.*next_sentence"),
        ("losses", "'losses' is not a task"),  # a module of the folder that defines none
        ("no.such.module", "'no.such.module' is not a task; the tasks are"),
        ("own_tasks.plain", "'own_tasks.plain' is not a task"),
    ],
)
def test_an_unknown_name_is_explained(own_modules: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_task(name)


def test_settings_that_a_task_needs_are_asked_for(own_modules: Path) -> None:
    with pytest.raises(ConfigError, match=r"task\.strict is not set, and own_tasks\.follows needs"):
        build_task("own_tasks.follows")


def test_settings_that_a_task_does_not_take_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"task\.labels is not a setting; those of masked_lm"):
        build_task("masked_lm", labels=3)


def test_a_module_of_the_users_own_is_a_task(own_modules: Path) -> None:
    task = build_task("own_tasks.follows", strict=True)
    assert (task.name, vars(task)) == ("follows", {"strict": True})
    config = BertConfig.preset("tiny", vocab_size=30)
    assert list(BertForTasks(config, [task]).heads) == ["follows"]


def test_an_import_that_fails_inside_it_is_shown_as_it_is(own_modules: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_installed"):
        build_task("own_tasks.broken")


def test_a_mistake_inside_it_is_shown_as_it_is(own_modules: Path) -> None:
    with pytest.raises(AttributeError, match="no_such_function"):
        build_task("own_tasks.mistyped")


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        ("sequence_classification", {"label_smoothing": "abc"}, "('abc') must be a number"),
        ("sequence_classification", {"classifier_dropout": "0.1"}, "('0.1') must be a number"),
        ("sequence_classification", {"thresholds": 0.5}, "(0.5) must be a list of numbers"),
        ("sequence_classification", {"labels": 3}, "(3) must be a list of texts in quotes or"),
        ("sequence_classification", {"labels": "ab,"}, "('ab,') must be a list of texts"),
        ("sequence_classification", {"multi_label": "no"}, "('no') must be true or false"),
        ("sequence_classification", {"class_weights": "equal"}, "('equal') must be 'balanced' or"),
        ("sequence_regression", {"window_step": True}, "(true) must be a whole number"),
        ("multiple_choice", {"classifier_dropout": "x"}, "('x') must be a number"),
        ("token_classification", {"window_step": True}, "(true) must be a whole number"),
        ("token_classification", {"scheme": "x"}, "('x') must be one of "),
        ("question_answering", {"doc_stride": "x"}, "('x') must be a whole number"),
    ],
)
def test_settings_of_a_wrong_type_are_refused(
    task: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        build_task(task, **settings)
    (name,) = settings
    assert str(error.value).startswith(f"task.{name} {message}")


def test_all_settings_of_a_wrong_type_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        build_task("sequence_classification", label_smoothing="a", labels=3, pairs=True)
    assert [line.split()[0] for line in str(error.value).split("\n")] == [
        "task.labels",
        "task.label_smoothing",
    ]


def test_one_text_is_no_list_of_labels() -> None:
    with pytest.raises(ConfigError, match=r"task\.labels \('ab'\) must be a list of labels"):
        SequenceClassification(labels="ab")


def test_settings_whose_annotations_cannot_be_read_are_left_to_the_task(own_modules: Path) -> None:
    assert vars(build_task("own_tasks.lenient", strict=3)) == {"strict": 3}
