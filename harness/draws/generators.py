"""The generators of all draws: one for each role in each repeat, never keyed by a backend's name.

All backends, modes and cells of one repeat share split, start and batches, so their differences are paired.
"""

import hashlib

import numpy as np


def generator(seed: int, role: str, repeat: int, *parts: int) -> np.random.Generator:
    """The generator for one role in one repeat. Roles are words: "split", "start", "batches"."""
    return np.random.Generator(np.random.PCG64(_entropy(seed, role, repeat, *parts)))


def native_seed(seed: int, repeat: int) -> int:
    """The 31-bit seed that a framework's own fit is given in native mode: the same for every backend."""
    return _entropy(seed, "native", repeat) % 2**31


def _entropy(seed: int, role: str, repeat: int, *parts: int) -> int:
    text = f"{seed}/{role}/{repeat}" + "".join(f"/{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
