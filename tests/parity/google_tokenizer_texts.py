"""What Google's tokenizer and ours are both given, and the digests by which they are compared.

The small vocabulary is generated here, so that the comparison over every code point needs no file.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator

BLOCK = 4096
# Letters whose pieces show what became of them: Latin, Greek, Cyrillic, Hebrew, kana, Jamo, and
# some Chinese; other letters make their word [UNK].
_LETTERS = [
    *range(0x61, 0x7B),
    *range(0x41, 0x5B),
    *range(0x30, 0x3A),
    *range(0xC0, 0x250),
    *range(0x370, 0x530),
    *range(0x5D0, 0x5EB),
    *range(0x1100, 0x1200),
    *range(0x3041, 0x3100),
    *range(0x4E00, 0x4F00),
]
_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~。「」、؟؛"

# What might join or split where one does not expect it: controls and blanks of all kinds, marks
# that combine or are sorted, letters that change with their neighbours, long words, and tokens.
TRICKY = [
    *"\x0b\x0c\x1c\x1d\x1e\x1f\x85\0\ufffd\xad\u200b\u200d\ufeff",
    *" \t\n\r\xa0\u1680\u2003\u2028\u2029\u202f\u3000",
    *"aZ09_,.!#'[]\u0301\u0308\u0345\u0338\u05bf\u302e\U0001d165\U00016ff0",
    *"İıẞßΣςσéÅﬁǅ\u037e\u1fef\u212a\uff0c\u061d中文か゛が한\U0002b820\U0001f600\ue000\u0378",
    *["[MASK]", "[UNK]", "##a", "ab", "ΣΑ", "ΑΣ", "a" * 99, "b" * 100],
]
SAMPLES = [
    "John Johanson's,   house.",
    "Ünáffable\u200b, Åre naïve",
    "ΟΔΥΣΣΕΥΣ ΑΣ. ΑΣ.Α ΑΣ'Α Σ ΑΣ中",
    "a [MASK] b[SEP] [unused1] ##a",
    "中文か゛が한 abか中",
    "a\u2028b\u2029c\x0bd\x85e\ufefff\u3000g",
    "a" * 200 + " " + "a" * 201 + " " + "á" * 200,
    "a\u0301\u0338b \u0301 \u05bf. \U0001d165\u302e",
    "$5^2 `x` ~ \u037e \u1fef \u2329",
]


def vocabulary() -> list[str]:
    """The generated vocabulary."""
    letters = [chr(point) for point in _LETTERS]
    special = ["[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return [*special, *_PUNCTUATION, *letters, *(f"##{c}" for c in letters), "ab", "##ab", "aa"]


def blocks() -> Iterator[list[str]]:
    """`a<character>b` for each code point but the surrogates, which are no characters."""
    for start in range(0, 0x110000, BLOCK):
        points = range(start, start + BLOCK)
        yield [f"a{chr(point)}b" for point in points if not 0xD800 <= point < 0xE000]


def mixtures() -> list[str]:
    """Random neighbours."""
    rng = random.Random(0)
    pools = [TRICKY, TRICKY, range(0x180), range(0x300, 0x3000), range(0x10000), range(0x110000)]
    texts = []
    for _ in range(20_000):
        drawn = [rng.choice(rng.choice(pools)) for _ in range(rng.randint(1, 10))]
        text = "".join(c if isinstance(c, str) else chr(c) for c in drawn)
        texts.append(text.encode("utf-8", "ignore").decode())
    return texts


def digest(texts: Iterable[str], *cuts: Callable[[str], list[str]]) -> str:
    """The start of a SHA-256 of what is made of all texts: words, wordpieces, ids."""
    found = hashlib.sha256()
    for text in texts:
        for cut in cuts:
            found.update("\0".join(cut(text)).encode() + b"\n")
    return found.hexdigest()[:16]
