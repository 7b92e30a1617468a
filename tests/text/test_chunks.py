from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken

from bertsmith.text import chunks
from bertsmith.text.engine_pieces import EnginePieces
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.tokenizer_files import build_engine

# What might join or split where one does not expect it: controls that BERT deletes and Python
# splits at, white space of all kinds, marks that combine, letters that grow when lower-cased,
# letters that become punctuation, CJK, and the special tokens.
TRICKY = [
    *"\x0b\x0c\x1c\x1d\x1e\x1f\x85\0\ufffd\xad\u200b\u200d\ufeff",
    *" \t\n\r\xa0\u1680\u2003\u2028\u2029\u202f\u3000",
    *"aZ09_,.!#'[]\u0301\u0308\u0345\u0338\u05bf",
    *"İıẞßΣςσéÅﬁǅ\u037e\u1fef\u212a\uff0c\u061d中文か゛が한\U0002b820\U0001f600\ue000\u0378",
    *["[MASK]", "[UNK]", "##a", "the", "unaffable"],
]

UINT16 = np.dtype(np.uint16)


def engine_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, split_special_tokens=True).ids[1:-1]


@settings(max_examples=300)
@given(text=st.lists(st.sampled_from(TRICKY), max_size=12).map("".join))
def test_tricky_texts_get_the_engines_ids(tokenizer, text):
    assert tokenizer.ids(text) == engine_ids(tokenizer, text)


@pytest.mark.parametrize("lowercase", [True, False])
def test_random_texts_get_the_engines_ids(shared_data, lowercase):
    name = "uncased" if lowercase else "multilingual-cased"
    tokenizer = Tokenizer.load(shared_data / "vocab" / f"bert-base-{name}-vocab.txt")
    rng = random.Random(0)
    pools = [TRICKY, range(0x180), range(0x300, 0x3000), range(0x110000)]
    texts = []
    for _ in range(10_000):
        drawn = [rng.choice(rng.choice(pools)) for _ in range(rng.randint(1, 10))]
        text = "".join(c if isinstance(c, str) else chr(c) for c in drawn)
        texts.append(text.encode("utf-8", "ignore").decode())  # no lone surrogates
    expected = [e.ids[1:-1] for e in tokenizer.encode_batch(texts, split_special_tokens=True)]
    assert tokenizer.ids_batch(texts) == expected
    assert tokenizer.ids_batch(texts) == expected  # now from memory


def test_flat_ids_are_the_batch_end_to_end(uncased):
    texts = ["The jet makers", "", "feud over seat width, unaffably."]
    ids, lengths = uncased.flat_ids(texts)
    assert ids.dtype == uncased.ids_dtype == np.uint16
    assert ids.tolist() == [i for text in texts for i in uncased.ids(text)]
    assert lengths.tolist() == [len(uncased.ids(text)) for text in texts]


def test_a_large_vocabulary_has_wider_ids(shared_data):
    tokenizer = Tokenizer.load(shared_data / "vocab" / "bert-base-multilingual-cased-vocab.txt")
    assert tokenizer.ids_dtype == np.uint32
    index, word = next(
        (i, p) for i, p in enumerate(tokenizer.vocabulary.pieces) if i > 2**16 and p.isalpha()
    )
    assert tokenizer.ids(f"{word}, {word}")[::2] == [index, index]


def test_memory_stays_within_its_bound(tokenizer, monkeypatch):
    monkeypatch.setattr(chunks, "_MAX_CHUNKS", 100)
    monkeypatch.setattr(chunks, "_MAX_PARTS", 40)
    cache = EnginePieces(build_engine(tokenizer.vocabulary, lowercase=True)).corpus(UINT16)
    rng = random.Random(0)
    for _ in range(500):
        text = "".join(rng.choice("abcdef ,") for _ in range(40)) + " " + "x" * 100
        assert cache.ids(text) == engine_ids(tokenizer, text)
        held: Any = cache._chunks
        assert len(held) <= 100
        assert len(held._ids_of_part.__self__) <= 40
        assert "x" * 100 not in held


def test_added_words_with_blanks_are_found(tokenizer):
    engine = build_engine(tokenizer.vocabulary, lowercase=True)
    engine.add_tokens([AddedToken("jet makers", normalized=True)])
    cache = EnginePieces(engine).corpus(UINT16)
    assert (
        cache.ids("the jet makers") == engine.encode("the jet makers", add_special_tokens=False).ids
    )
    assert len(cache.ids("the jet makers")) == 2
