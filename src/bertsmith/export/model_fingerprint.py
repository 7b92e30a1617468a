"""Whether a model is still the same: a fingerprint of the files that decide what it answers."""

from __future__ import annotations

import glob
import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from bertsmith.export.hub import fetch_from_hub
from bertsmith.export.shipped_models import shipped_folder
from bertsmith.export.source_kind import SourceKind, source_kind
from bertsmith.export.tensorflow_files import CONFIG_FILE, VOCABULARY_FILE, checkpoint_prefix

# Those of Hugging Face's layout, of sentence-transformers', of exported models and of TensorFlow's.
# A run's own files, such as its figures, may be written again and change no answer.
_NAMES = (
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "[0-9]_*/config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "*.bin",
    "*.bin.index.json",
    "*.onnx",
    "*.onnx.data",
    "*.xml",
    "*.index",
    "*.data-*-of-*",
    "bert_config.json",
)


def model_fingerprint(path: str | Path) -> str:
    """SHA-256 of a model's files, the names of which count too.

    Args:
        path: as for `load_model`.
    """
    digest = hashlib.sha256()
    for name, file in _files(path):
        with file.open("rb") as contents:
            digest.update(
                f"{name} {hashlib.file_digest(contents, 'sha256').hexdigest()}\n".encode()
            )
    return digest.hexdigest()


def _files(path: str | Path) -> Iterator[tuple[str, Path]]:
    folder, kind = Path(path), source_kind(path)
    patterns: tuple[str, ...] = _NAMES
    if kind is SourceKind.SHIPPED:
        folder = shipped_folder(path)
    elif kind is SourceKind.HUB:
        folder = fetch_from_hub(str(path))
    elif kind is SourceKind.TENSORFLOW and zipfile.is_zipfile(folder):
        yield folder.name, folder
        return
    elif kind is SourceKind.TENSORFLOW and not folder.is_dir():
        prefix = checkpoint_prefix(folder)
        weights = (f"{glob.escape(prefix.name)}{end}" for end in (".index", ".data-*-of-*"))
        folder, patterns = prefix.parent, (*weights, VOCABULARY_FILE, CONFIG_FILE)
    found = {file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}
    for file in sorted(found):
        yield file.relative_to(folder).as_posix(), file
