"""`normalization="google"` against Google's tokenization.py: words, wordpieces and ids.

`make_google_tokenizer_golden.py` made the digests. They hold for one version of Python's Unicode
tables each; with a version that has no file the tests are skipped and say so.
"""

from __future__ import annotations

import importlib.util
import json
import lzma
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import Vocabulary

HERE = Path(__file__).parent
FILE = HERE / "data" / "google-tokenizer" / f"unicode-{unicodedata.unidata_version}.json"

_spec = importlib.util.spec_from_file_location("texts", HERE / "google_tokenizer_texts.py")
texts: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(texts)

both_cases = pytest.mark.parametrize("case", ["cased", "uncased"])


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    if not FILE.exists():
        pytest.skip(
            f"no digests of Google's tokenizer for Unicode {unicodedata.unidata_version}, this "
            "Python's version (make_google_tokenizer_golden.py makes them)"
        )
    return json.loads(FILE.read_text())


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Tokenizer]:
    return {
        case: Tokenizer.from_vocabulary(
            Vocabulary(texts.vocabulary()), lowercase=case == "uncased", normalization="google"
        )
        for case in ("cased", "uncased")
    }


def by_encode(tokenizer: Tokenizer, text: str) -> list[str]:
    return tokenizer.encode(text, split_special_tokens=True).tokens[1:-1]


def by_ids(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.vocabulary.pieces[index] for index in tokenizer.ids(text)]


def digest_of(tokenizer: Tokenizer, several: list[str], cut: Any) -> str:
    return texts.digest(several, tokenizer.words, lambda text: cut(tokenizer, text))


@both_cases
def test_samples_are_cut_as_google_cuts_them(golden, tokenizers, case):
    for text, pieces in golden["samples"][case]:
        assert by_encode(tokenizers[case], text) == pieces
        assert by_ids(tokenizers[case], text) == pieces


@both_cases
@pytest.mark.parametrize("cut", [by_encode, by_ids])
def test_random_neighbours_are_cut_as_google_cuts_them(golden, tokenizers, case, cut):
    assert digest_of(tokenizers[case], texts.mixtures(), cut) == golden["mixtures"][case]


@both_cases
def test_the_first_code_points_are_cut_as_google_cuts_them(golden, tokenizers, case):
    for number, several in zip(range(4), texts.blocks(), strict=False):
        for cut in (by_encode, by_ids):
            found = digest_of(tokenizers[case], several, cut)
            assert found == golden["code_points"][case][number]


@pytest.mark.slow
@both_cases
@pytest.mark.parametrize("cut", [by_encode, by_ids])
def test_every_code_point_is_cut_as_google_cuts_it(golden, tokenizers, case, cut):
    found = [digest_of(tokenizers[case], several, cut) for several in texts.blocks()]
    assert found == golden["code_points"][case]


@pytest.mark.slow
@pytest.mark.parametrize("vocab", ["uncased", "cased", "chinese", "multilingual-cased"])
def test_held_out_text_has_googles_ids(golden, shared_data, vocab):
    name = f"bert-base-{vocab}-vocab.txt"
    tokenizer = Tokenizer.load(shared_data / "vocab" / name, normalization="google")
    for file, expected in golden["real_text"][name].items():
        lines = lzma.decompress((shared_data / "corpus" / file).read_bytes()).decode().split("\n")
        assert texts.digest(lines, lambda line: list(map(str, tokenizer.ids(line)))) == expected
        assert (
            texts.digest(
                lines,
                lambda line: [
                    str(index)
                    for index in tokenizer.encode(line, split_special_tokens=True).ids[1:-1]
                ],
            )
            == expected
        )
