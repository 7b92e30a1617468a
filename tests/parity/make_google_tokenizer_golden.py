"""Run Google's own BERT tokenizer and write down digests of what it does, for ours to be held to.

    python tests/parity/make_google_tokenizer_golden.py CLONE DATA

CLONE is a clone of github.com/google-research/bert, of which nothing is copied; its tokenization.py
needs no TensorFlow beyond opening a file, for which a stand-in is enough. DATA is the folder of
real test data: the published vocabularies in vocab/ and the held-out text in corpus/.

Google's rules are those of Python's Unicode tables, so there is a file for each version of them:
`data/google-tokenizer/unicode-14.0.0.json` is Python 3.11's, 15.0.0 is 3.12's, 15.1.0 is 3.13's.
Run this with another Python to add another; it needs no package.
"""

from __future__ import annotations

import argparse
import importlib
import json
import lzma
import platform
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from google_tokenizer_texts import SAMPLES, blocks, digest, mixtures, vocabulary

OUT = Path(__file__).parent / "data" / "google-tokenizer"


def import_tokenization(clone: Path) -> ModuleType:
    """Google's module, with stand-ins for the two packages that it asks for."""
    tensorflow: Any = ModuleType("tensorflow")
    tensorflow.gfile = SimpleNamespace(  # as TensorFlow reads: UTF-8, and only \n ends a line
        GFile=lambda path, mode: Path(path).open(mode, encoding="utf-8", newline="\n")  # noqa: SIM115
    )
    six: Any = ModuleType("six")
    six.PY2, six.PY3 = False, True
    sys.modules |= {"tensorflow": tensorflow, "six": six}
    sys.path.insert(0, str(clone))
    return importlib.import_module("tokenization")


def of_every_code_point(google: ModuleType, vocab: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"code_points": {}, "mixtures": {}, "samples": {}}
    for case in ("cased", "uncased"):
        tokenizer = google.FullTokenizer(str(vocab), do_lower_case=case == "uncased")
        cuts = (tokenizer.basic_tokenizer.tokenize, tokenizer.tokenize)
        found["code_points"][case] = [digest(texts, *cuts) for texts in blocks()]
        found["mixtures"][case] = digest(mixtures(), *cuts)
        found["samples"][case] = [[text, tokenizer.tokenize(text)] for text in SAMPLES]
    return found


def of_real_text(google: ModuleType, data: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for vocab in sorted((data / "vocab").glob("*.txt")):
        tokenizer = google.FullTokenizer(str(vocab), do_lower_case="-cased" not in vocab.name)

        def ids(line: str, tokenizer: Any = tokenizer) -> list[str]:
            return list(map(str, tokenizer.convert_tokens_to_ids(tokenizer.tokenize(line))))

        found[vocab.name] = {
            file.name: digest(lzma.decompress(file.read_bytes()).decode().split("\n"), ids)
            for file in sorted((data / "corpus").glob("*-dev.txt.xz"))
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clone", type=Path)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    google = import_tokenization(args.clone)
    commit = subprocess.run(
        ["git", "-C", args.clone, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    with tempfile.TemporaryDirectory() as folder:
        vocab = Path(folder) / "vocab.txt"
        vocab.write_text("".join(f"{piece}\n" for piece in vocabulary()), encoding="utf-8")
        golden = {
            "made_by": f"google-research/bert {commit.stdout.strip()[:7]} tokenization.py",
            "python": platform.python_version(),
            "unicode": unicodedata.unidata_version,
            **of_every_code_point(google, vocab),
            "real_text": of_real_text(google, args.data),
        }
    OUT.mkdir(parents=True, exist_ok=True)
    file = OUT / f"unicode-{unicodedata.unidata_version}.json"
    file.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
