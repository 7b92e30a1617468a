"""The models that come with this package, opened by their names: a folder each.

A name is taken for one of them where it begins as theirs do and nothing here is called so.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from bertsmith.errors import CheckpointError

FOLDER = Path(__file__).parents[1] / "shipped_models"
PREFIX = "bertsmith-"
_CONFIG = "config.json"  # what makes a folder a model's


def shipped_names() -> list[str]:
    """The names of the models that are there, sorted."""
    return sorted(path.parent.name for path in FOLDER.glob(f"{PREFIX}*/{_CONFIG}"))


def is_shipped_name(name: str | Path) -> bool:
    """Whether this is meant as the name of such a model, and not as a path."""
    path = Path(name)
    return path.name == str(name) and _plain(name).startswith(PREFIX) and not path.exists()


def shipped_folder(name: str | Path) -> Path:
    """The folder of such a model.

    Raises:
        CheckpointError: there is none of that name.
    """
    folder = FOLDER / str(name)
    if (folder / _CONFIG).is_file():
        return folder
    names = shipped_names()
    close = difflib.get_close_matches(_plain(name), names, 1, 0.85)
    hint = f"did you mean {close[0]}?" if close else "give the path of a model folder"
    raise CheckpointError(
        f"{name} is not a folder here, and no model of that name comes with bertsmith "
        f"({', '.join(names) or 'none does in this version'}); {hint}"
    )


def named_folder(path: str | Path) -> Path:
    """What a path means: the folder of such a model where it is the name of one, or itself.

    Raises:
        CheckpointError: it is meant as a name, and there is none of that name.
    """
    return shipped_folder(path) if is_shipped_name(path) else Path(path)


def hidden_by(path: str | Path) -> str:
    """What to add to the reason why a path is no model: that it hides one that comes along."""
    if Path(path).name != str(path) or str(path) not in shipped_names():
        return ""
    return "; it hides the model of this name that comes with bertsmith, so rename or remove it"


def _plain(name: str | Path) -> str:
    """A name as these are written, for those who write it otherwise."""
    return str(name).lower().replace("_", "-")
