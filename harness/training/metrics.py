"""Metrics, computed once, here, from a trainer's logits, so that they mean the same for every backend.

Losses are written out, since they have to stay finite however saturated a network is; the scores, since a sweep takes
thirty ROC AUCs of every trial. Each is taken for all members of a stack at once, and is the same number to the last bit
as it would be alone: a single network is a stack of one.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from harness.contract import Config
from harness.data.prepared import Prepared
from harness.reference.losses import entry_loss, output

METRICS = ("accuracy", "loss", "auc", "f1", "mse", "mae", "r2")
"""Every metric, in the order of its columns."""

SCORE = {"multiclass": "accuracy", "binary": "accuracy", "multilabel": "accuracy", "regression": "r2"}
"""What a network of each task is chosen by."""

_BLOCK = 1 << 17  # logits at a time: arrays of 1 MiB, which stay in the processor's cache
_WIDE = 700.0  # a difference of two logits whose exponential is still far from overflow

_Metrics = dict[str, np.ndarray]
"""Metric -> `(members,)`."""


Score = tuple[float, float]
NO_SCORE: Score = (-np.inf, -np.inf)


def score_of(metrics: Mapping[str, float | None]) -> Score:
    """What the best cell is chosen by: validation accuracy (or R²), then validation loss.

    The training rows stand in where there are no validation rows; the test rows never do.
    """
    part = "train" if metrics.get("validation_loss") is None else "validation"
    found = [metrics.get(f"{part}_{name}") for name in dict.fromkeys(SCORE.values())]
    score, loss = next((value for value in found if value is not None), None), metrics.get(f"{part}_loss")
    return NO_SCORE if score is None or loss is None else (float(score), -float(loss))


# -- what others call


def evaluate(config: Config, logits: dict[str, np.ndarray], prepared: Prepared, full: bool = False) -> dict[str, float]:
    """`train_loss`, `train_accuracy`, `validation_loss`, … for every part that has rows: `evaluate_stack` of one."""
    return evaluate_stack(config, {name: value[None] for name, value in logits.items()}, prepared, full)[0]


def evaluate_stack(
    config: Config, logits: dict[str, np.ndarray], prepared: Prepared, full: bool = False
) -> list[dict[str, float]]:
    """The metrics of each member from the logits of each part, `(members, n, n_outputs)`.

    With `full` those too that cost more, or that are no learning curve, for members whose logits are finite. What is
    not defined, such as the ROC AUC of rows of a single class, is left out.
    """
    parts = prepared.parts()
    results: list[dict[str, float]] = [{} for _ in next(iter(logits.values()))]
    with np.errstate(all="ignore"):
        for name, part in parts.items():
            for members, z in _blocks(logits[name]):
                _add(results, members, name, _quick(config, z, part.y))
                if full:
                    finite = np.isfinite(z).all(axis=(0, 2))
                    more = _more(config, z if finite.all() else z[:, finite], part.y) if finite.any() else {}
                    _add(results, members[finite], name, more)
    return results


def confusion(config: Config, logits: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """How many rows of each class (row) were answered as each class (column); None where there are no classes."""
    return confusion_stack(config, logits[None], y)[0]


def confusion_stack(config: Config, logits: np.ndarray, y: np.ndarray) -> list[np.ndarray | None]:
    """The same for each member of a stack, from `(members, n, n_outputs)`."""
    if config.task not in ("multiclass", "binary"):
        return [None] * len(logits)
    return [
        table for _, z in _blocks(logits) for table in _tables(_answers(config, z), y, max(2, config.network.n_outputs))
    ]


def quick(config: Config, logits: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Loss, and accuracy or R²: what a curve has for every epoch."""
    return {metric: float(value[0]) for metric, value in _quick(config, _outputs_first(logits[None]), y).items()}


def loss(config: Config, logits: np.ndarray, y: np.ndarray) -> float:
    """The mean loss of the rows that the network is trained by, without penalties."""
    return float(_losses(config, _outputs_first(logits[None]), y)[0])


def predicted(config: Config, logits: np.ndarray) -> np.ndarray:
    """The class of each row (the first of equally likely ones), `(n,)`; or 0 and 1 for each label, `(n, n_outputs)`."""
    return logits.argmax(axis=1) if config.task == "multiclass" else (logits > 0).astype(np.int64)


def right(config: Config, logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which rows are answered right, `(n,)`; of several labels all have to be."""
    wrong: np.ndarray = (predicted(config, logits) != y).reshape(len(y), -1).any(axis=1)
    return ~wrong


def roc_auc(config: Config, logits: np.ndarray, y: np.ndarray) -> float | None:
    """Area under the ROC curve; with several outputs the mean over them, each against the rest.

    From scores that do not saturate: the odds of each output. None where an output has rows of one kind only.
    """
    areas = _aucs(config, _outputs_first(logits[None]), y)
    return None if areas is None else float(areas[0])


# -- stacks; z is `(n_outputs, members, n)` in float64: what is taken over outputs runs over whole planes, and what is
# -- taken over rows over numbers that lie side by side, whatever the number of members


def _outputs_first(logits: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(logits, -1, 0), dtype=np.float64)


def _blocks(logits: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A few members at a time: their numbers, and their logits as `(n_outputs, members, n)`."""
    step = max(1, _BLOCK // max(1, logits[0].size))
    for begin in range(0, len(logits), step):
        some = logits[begin : begin + step]
        yield np.arange(begin, begin + len(some)), _outputs_first(some)


def _add(results: list[dict[str, float]], members: np.ndarray, part: str, found: _Metrics) -> None:
    for metric, values in found.items():
        for i, value in zip(members.tolist(), values.tolist(), strict=True):
            results[i][f"{part}_{metric}"] = value


def _quick(config: Config, z: np.ndarray, y: np.ndarray) -> _Metrics:
    if config.task == "regression":
        return {"r2": _r2(config, z, y), "loss": _losses(config, z, y)}
    right = _answers(config, z) == y if config.task == "multiclass" else ((z > 0) == _planes(y)).all(axis=0)
    return {"accuracy": right.sum(axis=-1) / len(y), "loss": _losses(config, z, y)}


def _more(config: Config, z: np.ndarray, y: np.ndarray) -> _Metrics:
    if config.task == "regression":
        e = output(config, z) - _planes(y)
        return {"mse": _mean(e**2), "mae": _mean(np.abs(e))}
    areas = _aucs(config, z, y)
    return {"f1": _f1(config, z, y)} | ({} if areas is None else {"auc": areas})


def _planes(y: np.ndarray) -> np.ndarray:
    """Targets `(n, n_outputs)` as they stand beside logits: `(n_outputs, 1, n)`."""
    return np.ascontiguousarray(y.T, dtype=np.float64)[:, None]


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over rows and outputs, `(members,)`."""
    mean: np.ndarray = values.mean(axis=-1).mean(axis=0)
    return mean


def _losses(config: Config, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    if config.task == "multiclass":  # -log softmax(z)[y], which is finite for any finite logits
        chosen: np.ndarray = z[y, :, np.arange(len(y))].T
        losses: np.ndarray = np.mean(_log_sum_exp(z) - chosen, axis=-1)
        return losses
    return _mean(entry_loss(config.loss, z, _planes(y)))


def _log_sum_exp(z: np.ndarray) -> np.ndarray:
    """`log(sum(exp(z)))` over the outputs, `(members, n)`."""
    top = z.max(axis=0)
    result: np.ndarray = top + np.log(np.exp(z - top).sum(axis=0))
    return result


def _r2(config: Config, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 less the squared error over that of the mean, averaged over outputs; 0 for targets that are all the same."""
    o, t = output(config, z), _planes(y)
    residual, total = ((t - o) ** 2).sum(axis=-1), ((t - t.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    varies = total[:, 0] > 0
    if not varies.any():
        return np.zeros(z.shape[1])
    share: np.ndarray = (1 - residual[varies] / total[varies]).mean(axis=0)
    return share


def _answers(config: Config, z: np.ndarray) -> np.ndarray:
    """The class of every row, `(members, n)`, the first of equally likely ones; 0 or 1 for a single logistic unit."""
    if config.task != "multiclass":
        said: np.ndarray = z[0] > 0
        return said.astype(np.intp)
    top = z.max(axis=0)
    answers = np.full(top.shape, len(z) - 1)
    for k in reversed(range(len(z) - 1)):  # so that of equal ones the first is written last; faster than argmax
        np.copyto(answers, k, where=z[k] == top)
    return answers


def _tables(answers: np.ndarray, y: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts `(members, true class, answer)`."""
    members = np.arange(len(answers))[:, None]
    cells = (members * n_classes + y.ravel().astype(np.intp)) * n_classes + answers
    counts = np.bincount(cells.ravel(), minlength=len(answers) * n_classes**2)
    return counts.reshape(len(answers), n_classes, n_classes)


def _f1(config: Config, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`2 tp / (2 tp + fp + fn)` of class 1, or its mean over the labels, or over the classes that occur.

    A class occurs in the targets or in the answers; a label that does in neither counts 0.
    """
    if config.task == "multilabel":
        t, said = _planes(y) > 0, z > 0
        both, either = (t & said).sum(axis=-1), t.sum(axis=-1) + said.sum(axis=-1)
    else:
        table = _tables(_answers(config, z), y, max(2, config.network.n_outputs))
        both, either = np.diagonal(table, axis1=1, axis2=2).T, (table.sum(axis=1) + table.sum(axis=2)).T
        if config.task == "binary":
            both, either = both[1:], either[1:]
    counted = len(both) if config.task == "multilabel" else np.maximum(1, (either > 0).sum(axis=0))
    score: np.ndarray = (2 * both / np.maximum(1, either)).sum(axis=0) / counted
    return score


def _aucs(config: Config, z: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """ROC AUC, mean over the outputs, each against the rest; None where an output has rows of one kind only."""
    positive = np.arange(len(z))[:, None] == y if config.task == "multiclass" else _planes(y)[:, 0] > 0
    if not positive.any(axis=1).all() or positive.all(axis=1).any():
        return None
    scores = _odds(z) if config.task == "multiclass" else z
    areas: np.ndarray = np.mean([_auc(s, p) for s, p in zip(scores, positive, strict=True)], axis=0)
    return areas


def _auc(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """The share of pairs in which the positive row has the higher score, ties by half: `(members,)`.

    Only negative rows that are not below every positive one lose any pair: of a good network they are few.

    Source: Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic curve", 1982.
    """
    found = np.sort(scores.take(np.flatnonzero(positive), axis=1), axis=1)  # sorted, they are searched for faster
    n_negative = len(positive) - found.shape[1]
    above = (scores >= found[:, :1]) & ~positive
    counts, others = above.sum(axis=1), scores[above]
    won, begin = [], 0
    for some, end in zip(found, np.cumsum(counts).tolist(), strict=True):
        rest, begin = np.sort(others[begin:end]), end
        won.append(rest.searchsorted(some))
        won.append(rest.searchsorted(some, "right"))
    twice = np.array(won).sum(axis=1).reshape(-1, 2).sum(axis=1) + 2 * found.shape[1] * (n_negative - counts)
    share: np.ndarray = twice / (2 * found.shape[1] * n_negative)
    return share


@np.errstate(divide="ignore", under="ignore")
def _odds(z: np.ndarray) -> np.ndarray:
    """`p / (1 - p)` of each class, or its logarithm where the logits of a member lie too far apart for an exponential.

    `1 - p` is the sum over all other classes, never a difference: a saturated network still has an order.
    """
    low, top = z.min(axis=0), z.max(axis=0)
    e = np.exp(z - top)
    others = np.zeros_like(e)
    for order in (range(len(z)), reversed(range(len(z)))):  # the classes before each, then those after it
        running = np.zeros_like(top)
        for k in order:
            others[k] += running
            running += e[k]
    odds: np.ndarray = e / others
    wide = (top - low > _WIDE).any(axis=1)
    for k in range(len(z)) if wide.any() else ():
        rest = np.delete(z[:, wide], k, axis=0)
        top = rest.max(axis=0)
        odds[k, wide] = z[k, wide] - top - np.log(np.exp(rest - top).sum(axis=0))
    return odds
