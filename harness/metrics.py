"""Metrics, computed once, here, from a trainer's logits, so that they mean the same for every backend.

Losses are written out, since they have to stay finite however saturated a network is. ROC AUC, F1 and the
confusion matrix are scikit-learn's.
"""

import numpy as np

from harness.data import Prepared
from harness.reference import output
from harness.trainer import Config

METRICS = ("accuracy", "loss", "auc", "f1", "mse", "mae", "r2")
"""Every metric, in the order of its columns."""

SCORE = {"multiclass": "accuracy", "binary": "accuracy", "multilabel": "accuracy", "regression": "r2"}
"""What a network of each task is chosen by."""


def cross_entropy(logits: np.ndarray, y: np.ndarray) -> float:
    """Mean over the rows of `-log softmax(logits)[y]`; finite for any finite logits, however saturated."""
    z = logits.astype(np.float64)
    return float(np.mean(_log_sum_exp(z) - z[np.arange(len(y)), y]))


def _log_sum_exp(z: np.ndarray) -> np.ndarray:
    """`log(sum(exp(z)))` of each row, `(n,)`."""
    top = z.max(axis=1)
    result: np.ndarray = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
    return result


def binary_cross_entropy(logits: np.ndarray, y: np.ndarray) -> float:
    """Mean over rows and outputs of `-y log p - (1 - y) log(1 - p)`, from the logits: `log(1 + exp(z)) - y z`."""
    z = logits.astype(np.float64)
    return float(np.mean(np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))) - y * z))


def loss(config: Config, logits: np.ndarray, y: np.ndarray) -> float:
    """The mean loss of the rows that the network is trained by, without penalties."""
    if config.loss == "cross_entropy":
        return cross_entropy(logits, y)
    if config.loss == "binary_cross_entropy":
        return binary_cross_entropy(logits, y)
    if config.loss == "perceptron":  # the criterion whose gradient is the rule: what a wrong side costs
        z = logits.astype(np.float64)
        return float(np.mean(np.maximum(0, (1 - 2 * y) * z)))
    e = output(config, logits.astype(np.float64)) - y
    if config.loss == "mse":
        return float(np.mean(e**2))
    size, delta = np.abs(e), config.huber_delta
    if config.loss == "mae":
        return float(np.mean(size))
    return float(np.mean(np.where(size <= delta, e**2 / 2, delta * (size - delta / 2))))


def predicted(config: Config, logits: np.ndarray) -> np.ndarray:
    """The class of each row (the first of equally likely ones), `(n,)`; or 0 and 1 for each label, `(n, n_outputs)`."""
    return logits.argmax(axis=1) if config.task == "multiclass" else (logits > 0).astype(np.int64)


def right(config: Config, logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which rows are answered right, `(n,)`; of several labels all have to be."""
    wrong: np.ndarray = (predicted(config, logits) != y).reshape(len(y), -1).any(axis=1)
    return ~wrong


def quick(config: Config, logits: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Loss, and accuracy or R²: what a curve has for every epoch."""
    if config.task == "regression":
        return {"r2": _r2(config, logits, y), "loss": loss(config, logits, y)}
    return {"accuracy": float(np.mean(right(config, logits, y))), "loss": loss(config, logits, y)}


def evaluate(config: Config, logits: dict[str, np.ndarray], prepared: Prepared, full: bool = False) -> dict[str, float]:
    """`train_loss`, `train_accuracy`, `validation_loss`, … for every part that has rows.

    With `full` those too that cost more, or that are no learning curve. What is not defined, such as the ROC AUC of
    rows of a single class, is left out.
    """
    metrics: dict[str, float] = {}
    with np.errstate(all="ignore"):
        for name, part in prepared.parts().items():
            values = quick(config, logits[name], part.y)
            if full and np.isfinite(logits[name]).all():
                values |= _more(config, logits[name], part.y)
            metrics |= {f"{name}_{metric}": value for metric, value in values.items()}
    return metrics


def _more(config: Config, logits: np.ndarray, y: np.ndarray) -> dict[str, float]:
    if config.task == "regression":
        e = output(config, logits.astype(np.float64)) - y
        return {"mse": float(np.mean(e**2)), "mae": float(np.mean(np.abs(e)))}
    from sklearn.metrics import f1_score

    answers = predicted(config, logits)
    average = "binary" if config.task == "binary" else "macro"
    values = {"f1": float(f1_score(y, answers, average=average, zero_division=0))}
    auc = roc_auc(config, logits, y)
    return values if auc is None else values | {"auc": auc}


def roc_auc(config: Config, logits: np.ndarray, y: np.ndarray) -> float | None:
    """Area under the ROC curve; with several outputs the mean over them, each against the rest.

    From scores that do not saturate: the log odds of each output. None where an output has rows of one kind only.
    """
    from sklearn.metrics import roc_auc_score

    scores = logits.astype(np.float64)
    if config.task == "multiclass":
        y = np.eye(config.n_outputs)[y]
        odds = [scores[:, k] - _log_sum_exp(np.delete(scores, k, axis=1)) for k in range(config.n_outputs)]
        scores = np.stack(odds, axis=1)
    if any(len(np.unique(column)) < 2 for column in y.T):
        return None
    return float(np.mean([roc_auc_score(t, s) for t, s in zip(y.T, scores.T, strict=True)]))


def _r2(config: Config, logits: np.ndarray, y: np.ndarray) -> float:
    """1 less the squared error over that of the mean, averaged over outputs; 0 for targets that are all the same."""
    o, t = output(config, logits.astype(np.float64)), y.astype(np.float64)
    residual, total = ((t - o) ** 2).sum(axis=0), ((t - t.mean(axis=0)) ** 2).sum(axis=0)
    varies = total > 0
    if not varies.any():
        return 0.0
    return float(np.mean(1 - residual[varies] / total[varies]))


def confusion(config: Config, logits: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """How many rows of each class (row) were answered as each class (column); None where there are no classes."""
    if config.task not in ("multiclass", "binary"):
        return None
    from sklearn.metrics import confusion_matrix

    labels = np.arange(max(2, config.n_outputs))
    matrix: np.ndarray = confusion_matrix(y.ravel().astype(np.int64), predicted(config, logits).ravel(), labels=labels)
    return matrix
