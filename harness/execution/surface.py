"""What a network answers over the plane of its inputs, where there are two of them, or over the line of one."""

import numpy as np

from harness.contract import Config, Weights
from harness.conventions.translation import config_under
from harness.data.prepared import Dataset, Prepared, fit_scale
from harness.planning.plan import Trial
from harness.reference.layers import forward, hidden_units, passes
from harness.registry import row_of
from harness.support.errors import RequestError

LINES = 100
"""Grid lines across the range of each input."""

MARGIN = 0.05
"""How far the grid reaches beyond the data on either side, as a share of their range."""

_EVERY = 2  # hidden units are shown on every second line
_MOST_UNITS = 16
_MOST_POINTS = 1000


def has_plane(trial: Trial, dataset: Dataset) -> bool:
    """Whether each input of the network is a column of the data, scaled, and there are one or two of them."""
    return trial.data.degree == 1 and dataset.X.shape[1] <= 2


def grid_lines(dataset: Dataset) -> list[np.ndarray]:
    """The values of each input at which the grid's lines stand, `(100,)` each, in the dataset's own units."""
    lines = []
    for low, high in zip(dataset.X.min(axis=0), dataset.X.max(axis=0), strict=True):
        margin = MARGIN * ((high - low) or 1.0)
        lines.append(np.linspace(low - margin, high + margin, LINES))
    return lines


def grid_inputs(trial: Trial, dataset: Dataset, prepared: Prepared) -> np.ndarray:
    """The points of the grid as the network is given them, `(10000, 2)`: scaled as the inputs of this trial are.

    The last input runs slowest. With one input `(100, 1)`.
    """
    across = np.meshgrid(*grid_lines(dataset))
    points = np.stack([values.ravel() for values in across], axis=1)
    offset, factor, _ = fit_scale(dataset.X[prepared.train.rows], trial.data.scale)  # type: ignore[arg-type]
    scaled: np.ndarray = ((points - offset) / factor).astype(prepared.train.X.dtype)
    return scaled


def plane(trial: Trial, dataset: Dataset, weights: Weights, logits: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of the artefact "plane", see `reports.study.Arrays`.

    `logits` `(10000, n_outputs)` are the trainer's, for `grid_inputs`; what the hidden units give is computed from the
    weights as the reference does. The logits of a regression times `target_unit` plus `target_shift`, behind the
    output's activation, are in the units of the targets.
    """
    prepared = trial.prepare(dataset)
    lines = grid_lines(dataset)
    shape = (LINES,) * len(lines)
    arrays = dict(zip("xy", lines, strict=False))
    arrays["logits"] = logits.reshape(*shape, -1)
    some = (slice(None, None, _EVERY),) * len(lines)
    inputs = grid_inputs(trial, dataset, prepared).reshape(*shape, -1)[some]
    with np.errstate(all="ignore"):
        layers = passes(_own_config(trial, len(prepared.train.y)).network, weights)
        hidden = hidden_units(layers, forward(layers, inputs.reshape(-1, len(lines))))
    for k, a in enumerate(hidden):
        units = a[:, :_MOST_UNITS].astype(np.float32)
        arrays[f"hidden/{k}"] = units.reshape(*inputs.shape[:-1], units.shape[1])
    return {**arrays, **_points(dataset, prepared), **_target_scale(trial, dataset, prepared)}


def _own_config(trial: Trial, n_train: int) -> Config:
    """The trial's config with the constants that its backend has of its own in native mode, such as a slope."""
    if trial.mode == "controlled":
        return trial.config
    try:
        row = row_of(trial.backend, trial.config, trial.recipe)
    except RequestError:  # nobody declared what this backend does
        return trial.config
    return config_under(trial.config, row, n_train)


def _points(dataset: Dataset, prepared: Prepared) -> dict[str, np.ndarray]:
    """The points themselves: at most 1000 of them, evenly from all three parts."""
    parts = (prepared.train, prepared.validation, prepared.test)
    rows = np.concatenate([part.rows for part in parts])
    part = np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])
    if len(rows) > _MOST_POINTS:
        chosen = np.linspace(0, len(rows) - 1, _MOST_POINTS).round().astype(int)
        rows, part = rows[chosen], part[chosen]
    return {"inputs": dataset.X[rows], "targets": dataset.y[rows], "part": part.astype(np.int8)}


def _target_scale(trial: Trial, dataset: Dataset, prepared: Prepared) -> dict[str, np.ndarray]:
    """What the targets of a regression were shifted and divided by, `(n_outputs,)` each."""
    if trial.config.task != "regression":
        return {}
    targets = dataset.targets(prepared.train.rows, "regression")
    shift, unit, _ = fit_scale(targets, trial.data.target_scale)  # type: ignore[arg-type]
    return {"target_shift": shift, "target_unit": unit}
