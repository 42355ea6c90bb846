"""Chance that is the same everywhere: a draw depends on the name of its stream and an index, on nothing else.

numpy's generators give other numbers in another release, and a stream of theirs has to be drawn in order. Hashing the
index (SplitMix64) needs neither: a piece of a table is made without the pieces before it, and one table can look up
what another one drew.
"""

from hashlib import blake2b

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def bits(stream: str, index: ArrayLike) -> NDArray[np.uint64]:
    """64 even bits per index."""
    seed = np.uint64(int.from_bytes(blake2b(stream.encode(), digest_size=8).digest(), "little"))
    z = np.asarray(index).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + seed
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)), dtype=np.uint64)


def unit(stream: str, index: ArrayLike) -> Floats:
    """An even draw from [0, 1) per index."""
    return np.asarray((bits(stream, index) >> np.uint64(11)).astype(np.float64) * 2.0**-53, dtype=np.float64)


def below(stream: str, index: ArrayLike, limit: ArrayLike) -> Ints:
    """An even draw from 0 … limit - 1 per index; the limit may differ per index."""
    return np.asarray((unit(stream, index) * np.asarray(limit)).astype(np.int64), dtype=np.int64)


def weighted(stream: str, index: ArrayLike, weights: list[float]) -> Ints:
    """A position in `weights` per index, as often as its weight says."""
    edges = np.cumsum(np.asarray(weights, dtype=np.float64))
    return (
        np.searchsorted(edges / edges[-1], unit(stream, index), side="right").clip(0, len(weights) - 1).astype(np.int64)
    )
