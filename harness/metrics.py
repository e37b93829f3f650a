"""Metrics, computed once, here, from a trainer's logits, so that they mean the same for every backend."""

import numpy as np

from harness.data import Prepared


def cross_entropy(logits: np.ndarray, y: np.ndarray) -> float:
    """Mean over the rows of `-log softmax(logits)[y]`; finite for any finite logits, however saturated."""
    z = logits.astype(np.float64)
    top = z.max(axis=1)
    log_sum = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
    return float(np.mean(log_sum - z[np.arange(len(y)), y]))


def accuracy(logits: np.ndarray, y: np.ndarray) -> float:
    """Share of the rows whose largest logit (the first of equals) is the label's."""
    return float(np.mean(logits.argmax(axis=1) == y))


def evaluate(logits: dict[str, np.ndarray], prepared: Prepared) -> dict[str, float]:
    """`train_loss`, `train_accuracy`, `validation_loss`, … for every part that has rows."""
    with np.errstate(all="ignore"):
        metrics = {}
        for name, part in prepared.parts().items():
            metrics[f"{name}_loss"] = cross_entropy(logits[name], part.y)
            metrics[f"{name}_accuracy"] = accuracy(logits[name], part.y)
    return metrics
