from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bertsmith.text.merges import Merger


def alphabet_of(words: dict[str, int]) -> list[str]:
    letters = sorted({letter for word in words for letter in word})
    return sorted([*letters, *(f"##{letter}" for letter in letters)])


def merged_plainly(
    words: dict[str, int], alphabet: list[str], size: int, min_count: int
) -> list[str]:
    """The definition: count all pairs anew before each merge."""
    pieces = list(alphabet)
    spelt = {w: [w[0], *(f"##{c}" for c in w[1:])] for w in words}
    while len(pieces) < size:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in spelt.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] += words[word]
        ranked = [(-n, pieces.index(a), pieces.index(b), a, b) for (a, b), n in pairs.items()]
        if not ranked or -min(ranked)[0] < min_count:
            break
        *_, left, right = min(ranked)
        merged = left + right.removeprefix("##")
        if merged not in pieces:
            pieces.append(merged)
        for word, parts in spelt.items():
            out: list[str] = []
            at = 0
            while at < len(parts):
                if parts[at : at + 2] == [left, right]:
                    out.append(merged)
                    at += 2
                else:
                    out.append(parts[at])
                    at += 1
            spelt[word] = out
    return pieces


def learnt(words: dict[str, int], size: int, min_count: int = 1) -> list[str]:
    merger = Merger(words, alphabet_of(words))
    merger.merge_until(size, min_count=min_count)
    return merger.pieces


WORDS = st.dictionaries(st.text("abc", min_size=1, max_size=9), st.integers(1, 20), max_size=12)


@given(words=WORDS, room=st.integers(0, 30), min_count=st.integers(1, 5))
def test_merging_is_the_definition(words, room, min_count):
    alphabet = alphabet_of(words)
    size = len(alphabet) + room
    assert learnt(words, size, min_count) == merged_plainly(words, alphabet, size, min_count)


@given(words=WORDS, order=st.randoms(use_true_random=False))
def test_the_order_of_words_is_of_no_matter(words, order):
    shuffled = list(words.items())
    order.shuffle(shuffled)
    assert learnt(words, 30) == learnt(dict(shuffled), 30)


def test_the_most_frequent_pair_merges_first():
    assert learnt({"ab": 3, "cb": 2}, 8)[6:] == ["ab", "cb"]


def test_of_equal_pairs_the_older_pieces_merge_first():
    assert learnt({"zy": 2, "ab": 2}, 10)[8:] == ["ab", "zy"]


def test_counts_beyond_32_bits_are_exact():
    words = {"the": 5 * 10**9, "an": 2**32 + 1, "on": 2**32, "x": 2**62}
    pieces = learnt(words, 100)
    assert {"the", "an", "on"} <= set(pieces)
    assert pieces.index("an") < pieces.index("on")
