"""Whether a model is still the same: a fingerprint of the files that decide what it answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from bertsmith.export.hub import fetch_from_hub, is_hub_name
from bertsmith.export.shipped_models import is_shipped_name, shipped_folder

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
    "*.ckpt*",
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
    folder = Path(path)
    if is_shipped_name(path):
        folder = shipped_folder(path)
    elif not folder.exists() and is_hub_name(str(path)):
        folder = fetch_from_hub(str(path))
    if folder.is_file():
        yield folder.name, folder
        return
    patterns: tuple[str, ...] = _NAMES
    if not folder.is_dir():  # the common beginning of the names of a TensorFlow checkpoint
        patterns = (f"{folder.name}*", "vocab.txt", "bert_config.json")
        folder = folder.parent
    found = {file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}
    for file in sorted(found):
        yield file.relative_to(folder).as_posix(), file
