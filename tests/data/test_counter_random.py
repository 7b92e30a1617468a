from __future__ import annotations

import numpy as np
import pytest

from bertsmith.data.counter_random import below, draw, generator, key_of, uniform


@pytest.mark.parametrize(
    ("seed", "outputs"),
    [
        (0, [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]),
        (1234567, [6457827717110365317, 3203168211198807973, 9817491932198370423]),
    ],
)
def test_draws_are_the_published_generator_s_outputs(seed: int, outputs: list[int]) -> None:
    assert draw(np.array([seed], np.uint64), np.arange(3)).tolist() == outputs


def test_a_number_does_not_depend_on_those_drawn_with_it() -> None:
    keys = draw(key_of(7), np.arange(100))
    assert draw(keys[40:50], 3).tolist() == draw(keys, 3)[40:50].tolist()


def test_drawing_changes_neither_key_nor_counter() -> None:
    key, counter = key_of(3), np.arange(4, dtype=np.uint64)
    draw(key, counter)
    assert key.tolist() == key_of(3).tolist()
    assert counter.tolist() == [0, 1, 2, 3]


def test_every_number_of_a_chain_and_its_place_matter() -> None:
    chains = [(1, 2, 3), (3, 2, 1), (1, 2), (1, 2, 3, 0), (1, 2, 4), (0, 2, 3), (2**63 - 1, 2, 3)]
    assert len({int(key_of(*chain)[0]) for chain in chains}) == len(chains)


def test_generators_of_one_chain_agree() -> None:
    assert generator(1, 2).integers(2**60) == generator(1, 2).integers(2**60)
    assert generator(1, 2).integers(2**60) != generator(2, 1).integers(2**60)


def test_uniform_numbers_are_uniform_and_below_one() -> None:
    bits = draw(draw(key_of(11), np.arange(1000))[:, None], np.arange(100)).ravel()
    numbers = uniform(bits)
    counts = np.bincount((numbers * 100).astype(int), minlength=100)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    # n = 100,000 in 100 cells of 1,000 each; the standard deviation of a cell is 31.5.
    assert abs(counts - 1000).max() < 150
    assert uniform(np.array([2**64 - 1], np.uint64))[0] < 1


@pytest.mark.parametrize("bound", [1, 3, 30522, 2**31])
def test_whole_numbers_reach_their_bounds_and_no_further(bound: int) -> None:
    extremes = below(np.array([0, 2**64 - 1], np.uint64), bound)
    assert extremes.tolist() == [0, bound - 1]
