"""What may make a recording part from its replay: every convention that shows in a phase, with the values it can take.

A number is looked for on a coarse grid first and then by least squares, from the best point of the grid.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.contract import ACTIVATIONS, DECAYS
from harness.conventions.table import CONVENTIONS, GIVEN, activations_under
from harness.tracing.phases import Gradient, Stage
from harness.tracing.walk import Hypothesis

FORWARD = ("activation", "leaky_slope", "elu_alpha", "softplus_threshold", "bias_unit", "constants")
PENALTY = ("l2_factor", "l2_divisor", "l2_tensors", "l2")
LOSS: tuple[str, ...] = ("reduction", "outputs", "probabilities", *PENALTY, "clip_norm", "clip_value", "constants")
LOSS += ("update_order",)
OPTIMIZER: tuple[str, ...] = (
    "optimizer",
    "momentum",
    "nesterov",
    "momentum_form",
    "l2_form",
    "beta_1",
    "beta_2",
    "rho",
    "epsilon",
)
OPTIMIZER += ("epsilon_place", "bias_correction", "moments_reset", "initial_accumulator", "accumulator")
OPTIMIZER += ("learning_rate", "constants")

_FAMILIES = ("sgd", "adagrad", "adagrad_momentum", "rmsprop", "adam")
_GRIDS: dict[str, tuple[float, ...]] = {
    "leaky_slope": (0.001, 0.01, 0.1, 0.3),
    "elu_alpha": (0.3, 1.0, 2.0),
    "momentum": (0.0, 0.5, 0.9, 0.99),
    "beta_1": (0.0, 0.5, 0.9, 0.99),
    "beta_2": (0.9, 0.99, 0.999),
    "rho": (0.5, 0.9, 0.99),
    "epsilon": (1e-10, 1e-8, 1e-7, 1e-5, 1e-3),
    "initial_accumulator": (0.0, 1e-4, 1e-2, 0.1, 1.0),
}
_THRESHOLDS = (1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0)
_POSITIVE = ("epsilon", "initial_accumulator", "clip_norm", "clip_value", "elu_alpha")
_LINEAR = ("learning_rate", "l2")  # in what a step takes off: one step of least squares finds them


@dataclass(frozen=True)
class Option:
    """One convention or setting and the values to try. `cost` prefers what the table lists to a number made to fit."""

    name: str
    values: tuple[Any, ...]
    number: bool = False
    cost: float = 0.0
    beside: dict[str, Any] = field(default_factory=dict)

    def changes(self, value: Any) -> dict[str, Any]:
        """What a hypothesis has to take over."""
        if self.name == "optimizer":
            return {"optimizer": value, "momentum": 0.9 if value == "adagrad_momentum" else 0.0, "nesterov": False}
        return {self.name: value}


def options(stage: Stage, h: Hypothesis, names: tuple[str, ...]) -> list[Option]:
    """Everything of `names` that can have an effect on a training under `h`, without what `h` has already."""
    found = []
    config = h.stands(len(stage.walk.X))
    heavy = h.having(momentum=0.9)
    for name in names:
        convention = CONVENTIONS.get(name)
        if convention and not any(convention.applies(config, each.row) for each in (h, heavy)):
            continue
        if name in ("leaky_slope", "elu_alpha", "softplus_threshold") and not _reads(name, h):
            continue
        option = _option(stage, h, name)
        if option is not None and option.values:
            found.append(option)
    return found


def _reads(name: str, h: Hypothesis) -> bool:
    activation = {"leaky_slope": "leaky_relu", "elu_alpha": "elu", "softplus_threshold": "softplus"}[name]
    return activation in activations_under(h.config, h.row)


def _option(stage: Stage, h: Hypothesis, name: str) -> Option | None:
    now = h.at(name)
    if name in _GRIDS:
        return Option(name, _GRIDS[name], number=True, cost=1)
    if name == "learning_rate":
        rate = float(np.median([stage.walk.rate(h, step) for step in range(stage.walk.steps)]))
        return Option(name, tuple(rate * factor for factor in (0.1, 0.5, 1.5, 10)), number=True, cost=3)
    if name == "l2":
        return Option(name, (0.0, *((now * f for f in (0.5, 2)) if now else (1e-4, 1e-2))), number=True, cost=3)
    if name in ("clip_norm", "clip_value"):
        return Option(name, _bounds(stage, h, name), number=True, cost=3)
    values: tuple[Any, ...]
    if name == "softplus_threshold":
        values = (None, *_thresholds(stage, h))
    elif name == "activation":
        values = tuple(value for value in ACTIVATIONS if value != "identity")
        now = activations_under(h.config, h.row)
        now = now[0] if len(set(now)) == 1 else GIVEN
    elif name == "optimizer":
        values = _FAMILIES
    elif name == "bias_unit":
        values = (1.0, 0.01)
    elif name == "nesterov":
        values = (False, True)
    else:
        values = tuple(CONVENTIONS[name].values)
    cost = {"activation": 2, "optimizer": 2, "constants": 0.5}.get(name, 0)
    return Option(name, tuple(value for value in values if value != now), cost=cost)


def _bounds(stage: Stage, h: Hypothesis, name: str) -> tuple[float, ...]:
    """Where a gradient is clipped, no recorded one is longer; without recorded ones, shares of the replay's own."""
    seen = stage.observed if isinstance(stage, Gradient) else stage.walk.passed(h.plain()).gradient
    sizes = np.linalg.norm(seen.astype(np.float64), axis=1) if name == "clip_norm" else np.abs(seen).max(axis=1)
    longest = float(sizes.max())
    if not np.isfinite(longest) or longest == 0:
        return ()
    return (longest,) if isinstance(stage, Gradient) else tuple(longest * f for f in (0.1, 0.3, 0.6, 0.9))


def _thresholds(stage: Stage, h: Hypothesis) -> tuple[float, ...]:
    """Round numbers, and the one that recorded activations show: from there on a is z itself, to the last bit."""
    recording = stage.walk.recording
    if recording.activations is None:
        return _THRESHOLDS
    a = np.concatenate([values[: stage.walk.steps].ravel() for values in recording.activations]).astype(np.float64)
    soft = np.concatenate([values.ravel() for values in stage.walk.passed(h).activations]).astype(np.float64)
    # softplus(z) = a gives z = log(exp(a) - 1); where the two disagree on a, the recording has a = z
    with np.errstate(all="ignore"):
        z = np.where(soft > 0, soft + np.log(-np.expm1(-soft)), -np.inf)
    linear = np.abs(a - z) < 0.1 * np.abs(soft - z)
    curved = (soft > 0) & ~linear
    if not linear.any():
        return _THRESHOLDS
    low, high = max(float(z[curved & (z < z[linear].min())].max(initial=0.0)), 0.0), float(z[linear].min())
    return (*_THRESHOLDS, rounded_between(low, high))


def rounded_between(low: float, high: float) -> float:
    """The number with the fewest digits in an interval."""
    for digits in range(-3, 15):
        value = round((low + high) / 2, digits)
        if low <= value <= high:
            return value
    return (low + high) / 2


def to_free(name: str, value: float) -> float:
    """A number as least squares moves it: without bounds."""
    if name in DECAYS:
        return float(np.log1p(-min(value, 1 - 1e-9)))
    if name in _POSITIVE:
        return float(np.log(max(value, 1e-14)))
    return value


def from_free(name: str, free: float) -> float:
    """Back from `to_free`."""
    if name in DECAYS:
        return float(np.clip(-np.expm1(free), 0.0, 1 - 1e-9))
    if name in _POSITIVE:
        return float(np.exp(np.clip(free, -40, 40)))
    return max(free, 0.0) if name in _LINEAR else float(free)
