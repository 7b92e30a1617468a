"""Random numbers that are a function of a key and a counter, so that any of them can be had alone.

The i-th output of a SplitMix64 generator is a hash of its seed plus i times a constant; nothing
has to be drawn before it. An output serves as the key of a generator of its own, so that a chain
of `draw`s (seed, epoch, block, example, position) addresses every number of a training run.

Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def draw(key: Keys, counter: npt.ArrayLike) -> Keys:
    """Output `counter` of the generator with seed `key`, 64 random bits each; the two broadcast."""
    # Arrays, never scalars: numpy warns of a scalar's overflow, and here it is the arithmetic.
    state = np.atleast_1d(np.asarray(counter)).astype(np.uint64)
    state += np.uint64(1)
    state *= _GAMMA
    state = state + key
    spill = state >> np.uint64(30)
    state ^= spill
    state *= np.uint64(0xBF58476D1CE4E5B9)
    np.right_shift(state, np.uint64(27), out=spill)
    state ^= spill
    state *= np.uint64(0x94D049BB133111EB)
    np.right_shift(state, np.uint64(31), out=spill)
    state ^= spill
    return state


def key_of(*numbers: int) -> Keys:
    """(1,) The key at the end of a chain of whole numbers, such as seed, epoch and block."""
    key = np.zeros(1, np.uint64)
    for number in numbers:
        key = draw(key, np.array([number], np.int64))
    return key


def generator(*numbers: int) -> np.random.Generator:
    """A generator of its own for what a chain of whole numbers names."""
    return np.random.Generator(np.random.Philox(key=int(key_of(*numbers)[0])))


def uniform(bits: Keys) -> npt.NDArray[np.float64]:
    """Random bits to numbers from 0 to 1, 1 excluded."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(bits: Keys, bound: int) -> npt.NDArray[np.int64]:
    """Random bits to whole numbers below `bound`, which is at most 2**31.

    The product of the upper half and the bound favours no number by more than bound / 2**32.
    """
    scaled = (bits >> np.uint64(32)) * np.uint64(bound)
    return (scaled >> np.uint64(32)).astype(np.int64)
