"""Tasks are found by name, the package's and the user's own, and a wrong name is explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith.config import BertConfig
from bertsmith.errors import ConfigError
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task, task_class, task_names

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
