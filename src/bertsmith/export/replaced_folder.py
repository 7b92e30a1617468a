"""Puts a model's files into a folder where those of another model may be."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from bertsmith.atomic import atomic_folder
from bertsmith.export.model_source import CONFIG, EXPORT, HEADS
from bertsmith.export.sentence_transformers import POOLING_FILES

GRAPH_FILES = {
    "onnx": ("model.onnx",),
    "openvino": ("openvino_model.xml", "openvino_model.bin"),
}
"""An exported model's graph, by its format, as other programs look for it."""

# What decides how a folder is opened, where an earlier model had it and the new one has not.
_OUTDATED = (
    EXPORT,
    HEADS,
    *(name for names in GRAPH_FILES.values() for name in names),
    *POOLING_FILES,
)


def replaced_folder(folder: Path) -> AbstractContextManager[Path]:
    """As `atomic_folder`, and nothing of an earlier model is taken for the new one's.

    Its graph and its pooling go where the new model has none. An interruption leaves the model of
    before, the new one, or a folder without config.json, which is refused.
    """
    return atomic_folder(folder, key_file=CONFIG, outdated=_OUTDATED)
