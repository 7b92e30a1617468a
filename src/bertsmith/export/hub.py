"""Models by their name on Hugging Face's hub, through `huggingface_hub` and its cache.

Its environment variables hold: HF_HOME says where the cache is, HF_HUB_OFFLINE=1 keeps to it.
"""

from __future__ import annotations

import re
from pathlib import Path

from bertsmith.errors import CheckpointError
from bertsmith.export.shipped_models import is_shipped_name
from bertsmith.export.weight_files import PYTORCH, SAFETENSORS, has_weights

_NAME = re.compile(r"(?P<name>\w[\w.-]*(/\w[\w.-]*)?)(@(?P<revision>[\w./-]+))?")
# Nothing else of a repository is fetched: no code, and no weights of other frameworks.
_SMALL = ("*.json", "vocab.txt")
_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")


def is_hub_name(name: str) -> bool:
    """Whether this can be a name of the hub, OWNER/MODEL or OWNER/MODEL@REVISION, and no path.

    What lies in a folder that exists is meant as a path, even where it is not there itself; and
    models that come with this package are not asked for on the hub.
    """
    if is_shipped_name(name):
        return False
    parent = Path(name).parent
    is_path = Path(name).exists() or (parent != Path() and parent.exists())
    return _NAME.fullmatch(name) is not None and not is_path


def fetch_from_hub(name: str) -> Path:
    """The folder with a model's files, fetched where the cache does not have them.

    Args:
        name: OWNER/MODEL, with `@` and a branch, tag or commit where one is meant.

    Raises:
        CheckpointError: there is no such model, or no network, or no weights that can be read.
    """
    from huggingface_hub import snapshot_download

    match = _NAME.fullmatch(name)
    if match is None:
        raise CheckpointError(f"{name!r} is no name of a model; the form is OWNER/MODEL@REVISION")
    for weights in _WEIGHTS:
        patterns = [*_SMALL, weights]
        try:
            folder = Path(
                snapshot_download(
                    match["name"], revision=match["revision"], allow_patterns=patterns
                )
            )
        except Exception as error:  # of the hub's library, and of the network's beneath it
            reason = str(error).strip().split("\n")[0].rstrip(".")
            raise CheckpointError(
                f"{name} is not a folder here and could not be had from Hugging Face's hub "
                f"({reason}); fetch it where there is a network, or give the path of a folder"
            ) from None
        if has_weights(folder):
            return folder
    raise CheckpointError(
        f"{name} has neither {SAFETENSORS} nor {PYTORCH} on the hub; a model in another form has "
        "to be converted first"
    )
