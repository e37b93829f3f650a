"""The time that arithmetic alone takes: operations of a trial-epoch, counted, over peaks of this machine, measured.

As a module, `python -m benchmarks.floor DTYPE`, it measures the peaks in a process with one thread.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from harness.execution.executor import ENVIRONMENT

LAYERS = (64, 50, 10)
ROWS = 1437
MEMBERS = 25
BATCH_SIZE = 100


def operations(layers: Sequence[int], rows: int) -> tuple[int, int]:
    """Floating-point operations of the matrix products of one trial and one epoch, and its exponentials.

    A layer of `n_in` by `n_out` takes `2 n_in n_out` a row forward, as many for the gradient of its weights, and, from
    the second layer on, as many to send the error back. Every hidden unit and every output takes one exponential.
    """
    sizes = [n_in * n_out for n_in, n_out in pairwise(layers)]
    return 2 * rows * (2 * sum(sizes) + sum(sizes[1:])), rows * sum(layers[1:])


def floor_ms(layers: Sequence[int], rows: int, flops: float, exponentials: float) -> float:
    """Milliseconds of a trial-epoch at `flops` operations and `exponentials` a second, and nothing beside."""
    products, exps = operations(layers, rows)
    return 1e3 * (products / flops + exps / exponentials)


def peaks(dtype: str) -> dict[str, Any]:
    """The peaks of one thread on this machine, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.floor", dtype]
    done = subprocess.run(command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=True)
    return {"dtype": dtype, **json.loads(done.stdout)}


def measure(dtype: str) -> dict[str, float]:
    """Operations a second of the products of a wide first layer, the best of them, and exponentials a second."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(dtype)

    wide = MEMBERS * LAYERS[1]
    X, W, error = normal(BATCH_SIZE, LAYERS[0]), normal(LAYERS[0], wide), normal(BATCH_SIZE, wide)
    out, gradient = np.empty_like(error), np.empty_like(W)
    work = 2 * X.size * wide
    forward = work / fastest(lambda: np.matmul(X, W, out=out))
    backward = work / fastest(lambda: np.matmul(X.T, error, out=gradient))
    z = -np.abs(error)
    return {"flops": max(forward, backward), "exponentials": z.size / fastest(lambda: np.exp(z, out=out))}


def fastest(call: Callable[[], object], seconds: float = 1.0) -> float:
    """The shortest of the runs of `call` that fit in `seconds`: a peak is what nothing has disturbed."""
    end = time.perf_counter() + seconds
    best = float("inf")
    while (started := time.perf_counter()) < end:
        call()
        best = min(best, time.perf_counter() - started)
    return best


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
