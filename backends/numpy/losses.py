"""The losses of the NumPy backend: from `e = o - y` to the derivative of an output's loss by the output, in place."""

from collections.abc import Callable
from typing import Any

import numpy as np

from harness import network


def unchanged(it: network.Loss, e: np.ndarray) -> None:
    """The loss cancels the derivative of its output: by the logits it is the error itself."""


ERROR: dict[type[network.Loss], Callable[[Any, np.ndarray], Any]] = {
    network.CrossEntropy: unchanged,
    network.BinaryCrossEntropy: unchanged,
    network.PerceptronLoss: unchanged,
    network.MSE: lambda it, e: np.multiply(e, 2, out=e),
    network.MAE: lambda it, e: np.sign(e, out=e),
    network.Huber: lambda it, e: np.clip(e, -it.delta, it.delta, out=e),
}
