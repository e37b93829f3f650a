"""Which cell of an experiment is asked for, by the values of its axes, and what is said where there is no such one."""

import difflib
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

from harness.experiment.axes import canonical, describe_cell
from harness.experiment.file import Cell, Experiment
from harness.support.errors import RequestError, short

_LISTED = 20  # cells or values in an error line

_OTHER_NAMES = {
    "learning_rate": ("lr", "eta", "eta0", "learning_rate_init", "step_size", "alpha0"),
    "l2": ("wd", "weight_decay", "alpha", "lambda", "lmbd", "lmb", "regularization", "penalty"),
    "batch_size": ("bs", "batch", "batchsize", "size_minibatch", "minibatch"),
    "n_batches": ("batches_per_epoch", "n_minibatches", "minibatches"),
    "epochs": ("n_epochs", "epoch", "max_iter", "iterations"),
    "hidden": ("units", "layers", "hidden_layer_sizes", "width", "n_hidden", "neurons"),
    "activation": ("act", "act_func", "nonlinearity"),
    "optimizer": ("opt", "solver", "optim", "scheduler"),
    "momentum": ("mom", "mu"),
    "rho": ("decay",),
    "epsilon": ("eps",),
    "init": ("initializer", "kernel_initializer", "weight_init"),
    "dropout": ("p", "drop", "dropout_rate"),
    "dataset": ("data", "name"),
    "beta_1": ("beta1", "b1"),
    "beta_2": ("beta2", "b2"),
}
"""What other libraries and people call our axes."""


def single_cell(experiment: Experiment, wanted: Mapping[str, Any], asked: str) -> Cell:
    """The one cell with these values, compared at 12 significant digits; `asked` is how they were asked for.

    Raises `RequestError` that lists the values of an axis that has no such one, and the cells where there are several.
    """
    left: dict[str, tuple[Any, ...]] = dict(experiment.sweep)
    for axis, value in wanted.items():
        left[axis] = tuple(known for known in left[axis] if _comparable(known) == _comparable(value))
        if not left[axis]:
            values = experiment.sweep[axis]
            shown = ", ".join(map(canonical, values[:_LISTED])) + (" …" if len(values) > _LISTED else "")
            raise RequestError(f"{asked} no cell: {axis} has no value {short(value)}; its values: {shown}")
    count = math.prod(map(len, left.values()))
    cells = (dict(zip(left, values, strict=True)) for values in itertools.product(*left.values()))
    if count > 1:
        shown = "; ".join(map(describe_cell, itertools.islice(cells, _LISTED))) + (" …" if count > _LISTED else "")
        raise RequestError(f"{asked} {count} cells, not one; the cells: {shown}")
    return next(cells)


def unknown_axis(given: str, axes: Iterable[str]) -> str:
    """`unknown axis 'lr': did you mean 'learning_rate'? (axes: learning_rate, l2)`."""
    axes = list(axes)
    known = [axis for axis in axes if given.lower() in _OTHER_NAMES.get(axis, ())]
    near = known or difflib.get_close_matches(given.lower(), axes, n=1, cutoff=0.6)
    hint = f": did you mean {near[0]!r}?" if near else ""
    return f"unknown axis {given!r}{hint} (axes: {', '.join(axes)})"


def _comparable(value: Any) -> str:
    return canonical(value).replace(" ", "")
