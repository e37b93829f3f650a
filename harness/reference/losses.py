"""Losses: the derivative of each row's loss by its logits, one function for each class of `harness/network/losses.py`.

Logits are `(…, n, n_outputs)`; targets labels `(…, n)` where there are several classes, else of the logits' shape.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.contract import Config
from harness.network.losses import MAE, MSE, BinaryCrossEntropy, CrossEntropy, Huber, Loss, PerceptronLoss
from harness.reference.activations import activate, derivative


def output(config: Config, logits: np.ndarray) -> np.ndarray:
    """What the network answers: probabilities, or the values of a regression, of the shape of the logits."""
    return activate(config.loss.output, logits)


@dataclass(frozen=True)
class OfError:
    """A loss by the error `e = o - y`: `value(it, e)` of each output, and its derivative by the output."""

    value: Callable[[Any, np.ndarray], np.ndarray]
    slope: Callable[[Any, np.ndarray], np.ndarray]


def _huber(it: Huber, e: np.ndarray) -> np.ndarray:
    size = np.abs(e)
    each: np.ndarray = np.where(size <= it.delta, e**2 / 2, it.delta * (size - it.delta / 2))
    return each


BY_OUTPUT: dict[type[Loss], OfError] = {
    MSE: OfError(lambda it, e: e**2, lambda it, e: 2 * e),
    MAE: OfError(lambda it, e: np.abs(e), lambda it, e: np.sign(e)),
    Huber: OfError(_huber, lambda it, e: np.clip(e, -it.delta, it.delta)),
}

CANCELLING = (CrossEntropy, BinaryCrossEntropy, PerceptronLoss)
"""Losses whose derivative cancels that of the output: by the logits it is the error itself."""


def entry_loss(loss: Loss, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The loss of each entry, where the logit is `z`; not for several classes."""
    each: np.ndarray
    if isinstance(loss, BinaryCrossEntropy):  # -y log p - (1 - y) log(1 - p), from the logits
        each = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))) - y * z
    elif isinstance(loss, PerceptronLoss):  # the criterion whose gradient is the rule: what a wrong side costs
        each = np.maximum(0, (1 - 2 * y) * z)
    else:
        each = BY_OUTPUT[type(loss)].value(loss, activate(loss.output, z) - y)
    return each


def entry_error(loss: Loss, o: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The derivative of each entry's loss by its logit, where the output is `o`; not for several classes."""
    e: np.ndarray = o - y
    return e if isinstance(loss, CANCELLING) else BY_OUTPUT[type(loss)].slope(loss, e) * derivative(loss.output, o)


def output_error(config: Config, logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The derivative of each row's loss by its logits, of their shape. Of several outputs the loss is the mean."""
    loss, o = config.loss, output(config, logits)
    if isinstance(loss, CrossEntropy):
        o[np.arange(len(y)), y] -= 1
        return o
    e = entry_error(loss, o, y)
    e /= config.network.n_outputs
    return e
