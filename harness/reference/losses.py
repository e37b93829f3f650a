"""Losses: the derivative of each row's loss by its logits, one function for each class of `harness/network/losses.py`.

Logits are `(…, n, n_outputs)`; targets labels `(…, n)` where there are several classes, else of the logits' shape.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.contract import Config
from harness.network.losses import MAE, MSE, BinaryCrossEntropy, CrossEntropy, Huber, Loss, PerceptronLoss
from harness.reference.activations import activate, derivative


def output(config: Config, logits: np.ndarray) -> np.ndarray:
    """What the network answers: probabilities, or the values of a regression, of the shape of the logits."""
    return activate(config.loss.output, logits)


# by the error e = o - y: the derivative of an output's loss by the output
BY_OUTPUT: dict[type[Loss], Callable[[Any, np.ndarray], np.ndarray]] = {
    MSE: lambda it, e: 2 * e,
    MAE: lambda it, e: np.sign(e),
    Huber: lambda it, e: np.clip(e, -it.delta, it.delta),
}

CANCELLING = (CrossEntropy, BinaryCrossEntropy, PerceptronLoss)
"""Losses whose derivative cancels that of the output: by the logits it is the error itself."""


def entry_error(loss: Loss, o: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The derivative of each entry's loss by its logit, where the output is `o`; not for several classes."""
    e: np.ndarray = o - y
    return e if isinstance(loss, CANCELLING) else BY_OUTPUT[type(loss)](loss, e) * derivative(loss.output, o)


def output_error(config: Config, logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The derivative of each row's loss by its logits, of their shape. Of several outputs the loss is the mean."""
    loss, o = config.loss, output(config, logits)
    if isinstance(loss, CrossEntropy):
        o[np.arange(len(y)), y] -= 1
        return o
    e = entry_error(loss, o, y)
    e /= config.network.n_outputs
    return e
