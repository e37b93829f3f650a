"""What the code of a row makes of the logits: probabilities, loss, its derivative, and answers.

Logits are `(members, n, n_outputs)`; targets `(members, n)` for the task "multiclass", else of the logits' shape.
"""

import numpy as np

from harness.contract import Config
from harness.conventions.table import DENOMINATOR, LOG_OF_P, NAN_FIRST, UNSHIFTED, Row
from harness.network.losses import BinaryCrossEntropy, PerceptronLoss
from harness.reference.losses import entry_error, entry_loss, output

TINY = 1e-9
"""What a course code adds to a denominator, and to what it takes a logarithm of."""
_CUT = 1e-7  # keras.config.epsilon()


def softmax_of(form: str, logits: np.ndarray) -> np.ndarray:
    """What a code with this value of `probabilities` calls its probabilities."""
    e: np.ndarray = np.exp(logits if form == UNSHIFTED else logits - logits.max(axis=-1, keepdims=True))
    total = e.sum(axis=-1, keepdims=True)
    p: np.ndarray = e / (total + TINY if form == DENOMINATOR else total)
    return p


def softmax_error(form: str, logits: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The derivative of each row's cross-entropy by its logits, and the mean over the rows, `(members,)` float64."""
    members, n = np.arange(len(y))[:, None], np.arange(y.shape[1])
    o = softmax_of(form, logits)
    if form == "logits":
        shifted = logits - logits.max(axis=2, keepdims=True)
        each = np.log(np.exp(shifted).sum(axis=2)) - shifted[members, n, y]
    elif form == "clipped 1e-7":
        cut = np.clip(o, _CUT, 1 - _CUT)
        each = np.log(cut.sum(axis=2)) - np.log(cut[members, n, y])
    else:
        each = -np.log(o[members, n, y] + (TINY if form == LOG_OF_P else 0))
    losses = each.mean(axis=1).astype(np.float64)
    if form == "clipped 1e-7":
        h = 1 / cut.sum(axis=2, keepdims=True) * np.ones_like(o)
        h[members, n, y] -= 1 / cut[members, n, y]
        h *= cut == o
    elif form == LOG_OF_P:
        h = np.zeros_like(o)
        h[members, n, y] = -1 / (o[members, n, y] + TINY)
    else:  # the shortcut: the derivative of softmax cancels that of the logarithm
        o[members, n, y] -= 1
        return o, losses
    return o * (h - (o * h).sum(axis=2, keepdims=True)), losses


def error_of(config: Config, form: str, logits: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same for all other losses: the derivative of each entry's loss by its logit, and that loss."""
    if isinstance(config.loss, BinaryCrossEntropy) and form == LOG_OF_P:
        p, slope = _logistic(logits)
        return slope * ((1 - y) / (1 - p + TINY) - y / (p + TINY)), _log_loss(p, y)
    o = output(config, logits)
    return entry_error(config.loss, o, y), loss_of(config, logits, y)


def loss_of(config: Config, logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The loss of each entry; of a step what it is off by."""
    if isinstance(config.loss, PerceptronLoss):
        off: np.ndarray = np.abs(output(config, logits) - y)
        return off
    return entry_loss(config.loss, logits, y)


def loss_of_answers(config: Config, form: str, logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The mean loss of 1 where p > 0.5, else 0, in place of p, `(members,)`.

    Of several classes it is a mean over rows and classes; of logistic units a mean over the rows, summed over units.
    Source: the cost functions of the course of 2024.
    """
    if config.loss.name == "cross_entropy":
        said = np.take_along_axis(softmax_of(form, logits) > 0.5, y[..., None], axis=-1)
        mean: np.ndarray = -np.log(said + TINY).mean(axis=(1, 2)) / logits.shape[-1]
        return mean
    said = (_logistic(logits)[0] > 0.5).astype(np.float64)
    total: np.ndarray = _log_loss(said, y).sum(axis=2).mean(axis=1)
    return total


def answered(row: Row, logits: np.ndarray) -> np.ndarray:
    """The class that a code says of each row, `(n,)` from `(n, n_outputs)`; NaN, where it counts, is the largest."""
    with np.errstate(all="ignore"):
        answers: np.ndarray = (softmax_of(row.probabilities, logits) if row.accuracy == NAN_FIRST else logits).argmax(1)
    return answers


def _logistic(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`p = 1 / (1 + exp(-z))` and its derivative as it is without a shortcut: NaN below -709."""
    e = np.exp(-logits)
    return 1 / (1 + e), e / (1 + e) ** 2


def _log_loss(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    loss: np.ndarray = -(y * np.log(p + TINY) + (1 - y) * np.log(1 - p + TINY))
    return loss
