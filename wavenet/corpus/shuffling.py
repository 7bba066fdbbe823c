"""Orders of any length that are computed where they are asked for, and take no memory. Needs NumPy alone."""

import random

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

LISTED = 2**20
"""Orders of up to so many words are lists that are shuffled as the lecture does; longer ones are a :class:`Shuffle`."""

ROUNDS = 6


class Shuffle:
    """A pseudo-random order of the numbers below ``size``, a function of its seed: no order is kept.

    A number of b bits goes through rounds of an odd factor, a summand and ``x ^= x >> k`` with k at least b / 2, all
    modulo 2**b; each of these steps can be undone, so different numbers stay different. What comes to lie beyond
    ``size`` goes through the rounds again, until it does not: on average less than once more.

    Args:
        size: How many numbers there are, at least 1.
        seed: What decides the order.

    Examples:
        >>> shuffle = Shuffle(5, seed="42")
        >>> order = shuffle(np.arange(5))
        >>> sorted(order.tolist()), shuffle.place_of(order).tolist()
        ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])

    Source: Black and Rogaway, "Ciphers with arbitrary finite domains" (2002), for going again ("cycle walking").
    """

    def __init__(self, size: int, seed: str) -> None:
        self.size = size
        bits = max(1, (size - 1).bit_length())
        rng = random.Random(seed)
        self._mask, self._shift = np.uint64(2**bits - 1), np.uint64((bits + 1) // 2)
        factors = [rng.getrandbits(bits) | 1 for _ in range(ROUNDS)]
        self._factors = [np.uint64(factor) for factor in factors]
        self._inverses = [np.uint64(pow(factor, -1, 2**bits)) for factor in factors]
        self._summands = [np.uint64(rng.getrandbits(bits)) for _ in range(ROUNDS)]

    def __call__(self, positions: Ints) -> Ints:
        """The numbers (B,) that stand at these positions (B,) of the order."""
        return self._walk(positions, forward=True)

    def place_of(self, numbers: Ints) -> Ints:
        """The positions (B,) at which these numbers (B,) stand."""
        return self._walk(numbers, forward=False)

    def _walk(self, numbers: Ints, forward: bool) -> Ints:
        mix = self._mixed if forward else self._unmixed
        found = mix(numbers.astype(np.uint64))
        while len(beyond := np.flatnonzero(found >= self.size)):
            found[beyond] = mix(found[beyond])
        return found.view(np.int64)

    def _mixed(self, x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        for factor, summand in zip(self._factors, self._summands, strict=True):
            x *= factor
            x += summand
            x &= self._mask
            x ^= x >> self._shift
        return x

    def _unmixed(self, x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        for inverse, summand in zip(reversed(self._inverses), reversed(self._summands), strict=True):
            x ^= x >> self._shift
            x -= summand
            x *= inverse
            x &= self._mask
        return x
