"""The words of a corpus as a Bloom filter: no word of the corpus is taken for a new one.

One in a thousand new words is taken for one of the corpus. The filter takes 1.8 bytes a word, however long the words
are, and they cannot be read from it. ``wavenet/export/web/vocabulary.js`` reads what is written here.

Source: Bloom, "Space/time trade-offs in hash coding with allowable errors" (1970).
"""

from base64 import b64encode
from collections.abc import Collection
from math import ceil, log
from typing import Any

import numpy as np

ERROR = 1 / 1000  # how often a new word is taken for one of the corpus
BASES = 0x811C9DC5, 0x9747B28C  # what the two hashes of a word begin with
BITS = 2**32 - 1


def bloom_filter(words: Collection[str]) -> dict[str, Any]:
    """The filter that knows words, as plain data.

    Examples:
        >>> bloom_filter(["emma", "ava"])
        {'bits': 'PqlPEg==', 'size': 29, 'hashes': 10}
    """
    size = max(1, ceil(len(words) * -log(ERROR) / log(2) ** 2))
    hashes = round(-log(ERROR) / log(2))
    pairs = np.array([hash_pair(word) for word in words], np.uint64).reshape(-1, 2)  # (W, 2)
    bits = np.zeros(-(-size // 8) * 8, bool)
    for number in range(hashes):
        bits[(pairs[:, 0] + np.uint64(number) * (pairs[:, 1] | np.uint64(1))) % np.uint64(size)] = True
    return {"bits": b64encode(np.packbits(bits, bitorder="little").tobytes()).decode(), "size": size, "hashes": hashes}


def hash_pair(word: str) -> tuple[int, int]:
    """Two numbers of 32 bits, both functions of a word's UTF-8 bytes.

    Sources: the FNV-1a hash; the finalizer of Austin Appleby's MurmurHash3.
    """
    first, second = BASES
    for byte in word.encode():
        first, second = (first ^ byte) * 0x01000193 & BITS, (second ^ byte) * 0x01000193 & BITS
    return mixed(first), mixed(second)


def mixed(number: int) -> int:
    """The number with each bit depending on all others."""
    number = (number ^ number >> 16) * 0x85EBCA6B & BITS
    number = (number ^ number >> 13) * 0xC2B2AE35 & BITS
    return number ^ number >> 16
