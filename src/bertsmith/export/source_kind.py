"""Which kind of thing a model is opened from, by what it is called and what is there."""

from __future__ import annotations

import enum
from pathlib import Path

from bertsmith.export.hub import is_hub_name
from bertsmith.export.shipped_models import is_shipped_name
from bertsmith.export.tensorflow_files import is_tensorflow_checkpoint


class SourceKind(enum.Enum):
    """What a path given as a model is."""

    TENSORFLOW = enum.auto()
    """Google's checkpoint: its prefix, one of its files, or a folder or zip with one."""
    SHIPPED = enum.auto()
    """The name of a model that comes with this package."""
    HUB = enum.auto()
    """A name of Hugging Face's hub."""
    FOLDER = enum.auto()
    """A model folder, whether it is there or not."""


def source_kind(path: str | Path) -> SourceKind:
    """Say what a path is; what is there comes before what has a name elsewhere."""
    # A model folder may hold the checkpoint too that it was converted from.
    if not (Path(path) / "config.json").is_file() and is_tensorflow_checkpoint(path):
        return SourceKind.TENSORFLOW
    if is_shipped_name(path):
        return SourceKind.SHIPPED
    return SourceKind.HUB if is_hub_name(str(path)) else SourceKind.FOLDER
