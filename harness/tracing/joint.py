"""Every number of a phase at once: L2 in any form together with clipping, reductions and the optimizer's constants.

One form is a choice of words (which optimizer, where epsilon stands, how L2 comes in, what is clipped); its numbers are
found together by Levenberg and Marquardt's method, for many forms side by side. All forms begin on few steps and
elements, and those that fit best go on with more.

    g = clip(a s(n) G + b W)      G the data's gradient, n the rows of the batch; b for hidden W, last W and biases
    w = w - lr (d W + rule(g))    d what a decoupled L2 takes

A form is a guess only: what it says is judged by the replay, see `harness/tracing/search.py`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

NUMBERS: tuple[str, ...] = ("coupled", "coupled_last", "coupled_bias", "decoupled", "decoupled_last", "decoupled_bias")
NUMBERS += ("clip_norm", "clip_value", "momentum", "beta_1", "beta_2", "rho", "epsilon", "accumulator", "rate", "fall")
NUMBERS += ("factor",)
_AT = {name: i for i, name in enumerate(NUMBERS)}
_LOG = ("clip_norm", "clip_value", "epsilon", "accumulator", "rate", "factor")
_BELOW_1 = ("momentum", "beta_1", "beta_2", "rho")
_START = {"momentum": 0.9, "beta_1": 0.9, "beta_2": 0.999, "rho": 0.9, "epsilon": 1e-8, "rate": 1.0, "factor": 1.0}
_NONE = {"clip_norm": np.inf, "clip_value": np.inf, "rate": 1.0, "factor": 1.0}

TIES: dict[str, tuple[int, int, int]] = {"weights": (1, 1, 0), "weights and biases": (1, 1, 1), "hidden": (1, 0, 0)}
"""What L2 penalises -> hidden matrices, the last one, biases."""


@dataclass(frozen=True)
class Form:
    """The words of a form.

    `optimizer` is "" where gradients are looked at, `l2` "", "coupled", "after clipping" or "decoupled".
    `tensors` is a key of `TIES`, or "" for one number a group. `free` are the names of the numbers that are fitted, and
    `fixed` has others that are not what they are by default.
    """

    optimizer: str = ""
    nesterov: bool = False
    momentum_form: str = "outside"
    place: str = "outside"
    l2: str = ""
    divided: bool = False
    tensors: str = ""
    reduction: str = "mean"
    outputs: str = "mean"
    free: tuple[str, ...] = ()
    fixed: tuple[tuple[str, float], ...] = ()
    variant: int = 0

    @property
    def numbers(self) -> tuple[str, ...]:
        """The names of the free numbers, L2's among them, in their order."""
        if not self.l2:
            return self.free
        name = self.number
        own = (name,) if self.tensors else tuple(f"{name}{end}" for end in ("", "_last", "_bias"))
        return (*(each for each in own if each not in dict(self.fixed)), *self.free)

    @property
    def number(self) -> str:
        """The name of L2's number."""
        return "decoupled" if self.l2 == "decoupled" else "coupled"

    @property
    def rule(self) -> tuple[Any, ...]:
        """What forms have in common that are computed together."""
        return (self.optimizer, self.nesterov, self.momentum_form, self.place)


@dataclass(frozen=True)
class Fit:
    """A form with its numbers, and how far it is off: `rms` in floors, `score` in decades above ten floors."""

    form: Form
    x: Array
    rms: float = np.inf
    score: float = np.inf

    def value(self, name: str) -> float:
        """A number as it stands in a formula."""
        return float(_values(self.x[None])[0, _AT[name]])


def start(form: Form) -> Array:
    """Where the numbers of a form begin: without L2, without clipping, at the papers' constants."""
    x = np.zeros(len(NUMBERS))
    values = {**_NONE, **{name: _START[name] for name in (*form.free,) if name in _START}, **dict(form.fixed)}
    for name, value in values.items():
        x[_AT[name]] = _free(name, value)
    return x


def _free(name: str, value: float) -> float:
    if name in _LOG:
        return float(np.log(value)) if value > 0 else -np.inf
    return float(np.log1p(-value)) if name in _BELOW_1 else value


def _values(x: Array) -> Array:
    """Numbers as the formulas have them, `(forms, numbers)`."""
    values = x.copy()
    for name in _LOG:
        values[:, _AT[name]] = np.where(x[:, _AT[name]] == -np.inf, 0, np.exp(np.clip(x[:, _AT[name]], -60, 60)))
        values[:, _AT[name]][x[:, _AT[name]] == np.inf] = np.inf
    for name in _BELOW_1:
        values[:, _AT[name]] = np.clip(-np.expm1(np.minimum(x[:, _AT[name]], 30)), -0.5, 1 - 1e-9)
    return values


class Data:
    """What a fit looks at: some steps and elements of a walk. `G` is `(variants, steps, elements)`, `noise` likewise.

    Without `after` the gradients themselves are what was seen. `scales` gives a factor `(steps,)` to each reduction and
    each word for the outputs.
    """

    def __init__(
        self,
        G: Array,
        noise: Array,
        W: Array,
        seen: Array,
        groups: Array,
        lengths: Array,
        rates: Array,
        epochs: Array,
        epsilon: float,
        scales: dict[str, dict[str, Any]],
        updates: bool,
    ) -> None:
        self.all: tuple[Array, ...] = (G, noise, W, seen, groups)
        self.free_rates, self.clip_epsilon = False, 0.0
        self.lengths, self.rates, self.epochs, self.epsilon = lengths.astype(float), rates, epochs, epsilon
        self.scales, self.updates = scales, updates
        steps = len(W)
        # the norm of a whole gradient, from the products of its parts
        self.GG = (G * G).sum(axis=2)
        self.GW = np.stack([(G * W)[:, :, groups == k].sum(axis=2) for k in range(3)], axis=-1)
        self.WW = np.stack([(W * W)[:, groups == k].sum(axis=1) for k in range(3)], axis=-1)
        self.signs = np.where(np.random.default_rng(0).random(seen.shape) < 0.5, -1.0, 1.0)
        self.longest = np.sqrt(self.GG).max(axis=1)
        self.largest = np.abs(G).max(axis=(1, 2))
        self.steps = steps

    def part(self, elements: Array, steps: int) -> "Data":
        """The same, limited to some elements and the first steps; norms stay those of the whole."""
        other = object.__new__(Data)
        other.__dict__ |= self.__dict__
        G, noise, W, seen, groups = self.all
        other.all = (
            *(each[:, :steps, elements] for each in (G, noise)),
            *(each[:steps, elements] for each in (W, seen)),
            groups[elements],
        )
        other.signs, other.steps = self.signs[:steps, elements], steps
        return other

    def predicted(self, forms: Sequence[Form], x: Array, sign: float = 0.0) -> Array:
        """What is seen after every step under the forms, `(forms, steps, elements)`; all of one `rule` and variant."""
        G, noise, W, seen, groups = self.all
        form, variant, values, T = forms[0], forms[0].variant, _values(x), self.steps
        coupled, decoupled = (self._by_group(forms, values, name) for name in ("coupled", "decoupled"))
        divided = np.array([each.divided for each in forms])
        of_n = np.where(divided[:, None], 1 / self.lengths[None, :T], 1.0)
        scale = np.stack(
            [self.scales["reduction"][each.reduction][:T] * self.scales["outputs"][each.outputs] for each in forms]
        )
        scale = scale * values[:, [_AT["factor"]]]
        b = coupled[:, None, :] * of_n[:, :, None]  # (forms, steps, groups)
        inside = np.array([each.l2 != "after clipping" for each in forms])[:, None]
        norm2 = scale**2 * self.GG[variant, None, :T] + inside * (
            2 * scale[:, :, None] * b * self.GW[variant, None, :T] + b**2 * self.WW[None, :T]
        ).sum(axis=2)
        bounds = values[:, [_AT["clip_norm"]]]
        shrink = np.minimum(1, bounds / (np.sqrt(np.maximum(norm2, 1e-300)) + self.clip_epsilon)) * np.ones((1, T))
        limit = values[:, [_AT["clip_value"]]]
        moved = G[variant] + sign * self.signs * noise[variant] if sign else G[variant]
        result = np.empty((len(forms), T, W.shape[1]))
        state = _State(form, values, result[:, 0].shape)
        rates = self.rates[None, :T] * values[:, [_AT["rate"]]] * np.exp(-values[:, [_AT["fall"]]] * self.epochs[:T])
        b, d = coupled[:, groups], decoupled[:, groups]
        scale *= shrink
        of_b, limited = of_n * np.where(inside, shrink, 1), bool(np.isfinite(limit).any())
        penalised, behind, taken = coupled.any(), bool((~inside).any()), decoupled.any()
        for t in range(T):
            g = scale[:, t, None] * moved[t]
            added = of_b[:, t, None] * (b * W[t]) if penalised else None
            if added is not None:
                g += added * inside if behind else added
            if limited:
                g = np.minimum(np.maximum(g, -limit), limit)
            if added is not None and behind:
                g += added * ~inside
            if not self.updates:
                result[:, t] = g
                continue
            rate = rates[:, t, None]
            step = state.step(g, rate)
            if taken:
                step = step + of_n[:, t, None] * (d * W[t])
            if self.free_rates:
                rate = self._rate(step, W[t] - seen[t])
            result[:, t] = W[t] - rate * step
        return result

    @staticmethod
    def _rate(step: Array, taken: Array) -> Array:
        """The learning rate of one step, `(forms, 1)`: that with which it comes nearest to what was taken off."""
        size = (step * step).sum(axis=1)
        rate: Array = ((step @ taken) / np.where(size > 0, size, 1))[:, None]
        return rate

    def rates_of(self, fit: "Fit") -> Array:
        """The learning rate of every step under a fit, where all of them are free."""
        _, _, W, seen, _ = self.all
        bare = object.__new__(Data)
        bare.__dict__ |= self.__dict__ | {"free_rates": False, "rates": np.ones_like(self.rates)}
        step = W - bare.predicted([fit.form], fit.x[None])[0]
        return np.array([float(self._rate(step[[t]], W[t] - seen[t])[0, 0]) for t in range(self.steps)])

    @staticmethod
    def _by_group(forms: Sequence[Form], values: Array, name: str) -> Array:
        """The number of each group of tensors, `(forms, 3)`."""
        own = values[:, [_AT[name], _AT[f"{name}_last"], _AT[f"{name}_bias"]]]
        ties = np.array([TIES.get(form.tensors, (0, 0, 0)) for form in forms])
        tied = np.array([bool(form.tensors) for form in forms])[:, None]
        number: Array = np.where(tied, ties * own[:, :1], own)
        return number

    def residuals(self, forms: Sequence[Form], x: Array) -> Array:
        """Predicted - seen, `(forms, steps, elements)`."""
        return self.predicted(forms, x) - self.all[3]

    def floors(self, forms: Sequence[Form], x: Array) -> Array:
        """How far roundings of the gradient and of the weights move each element."""
        _, _, W, seen, _ = self.all
        one = self.predicted(forms, x)
        size = 2 * self.epsilon * (np.abs(seen) + (np.abs(W) if self.updates else 0))
        if not self.updates:
            size = size + 1e-300
        moved = np.maximum(*(np.abs(self.predicted(forms, x, sign) - one) for sign in (1.0, -0.7)))
        floor: Array = np.nan_to_num(moved + size, nan=1e300, posinf=1e300) + 1e-300
        return floor


class _State:
    """An optimizer's state for many forms of one rule."""

    def __init__(self, form: Form, values: Array, shape: tuple[int, ...]) -> None:
        self.form, self.t = form, 0
        self.value = {name: values[:, [_AT[name]]] for name in NUMBERS}
        self.m, self.v = np.zeros(shape), np.zeros(shape)
        self.powers = [np.ones((len(values), 1))] * 2
        if form.optimizer.startswith("adagrad"):
            self.v = self.v + self.value["accumulator"]

    def step(self, g: Array, rate: Array) -> Array:
        """What is taken off, before the rate."""
        it, value = self.form, self.value
        if it.optimizer == "sgd":
            m = value["momentum"]
            if it.momentum_form == "inside":
                self.m = m * self.m + rate * g
                return (m * self.m + rate * g if it.nesterov else self.m) / rate
            self.m = m * self.m + ((1 - m) * g if it.momentum_form == "dampened" else g)
            return g + m * self.m if it.nesterov else self.m
        if it.optimizer == "adagrad":
            self.v = self.v + g * g
            return g / self._root(self.v)
        if it.optimizer == "adagrad_momentum":
            self.v = self.v + g * g
            self.m = value["momentum"] * self.m + rate * g / self._root(self.v)
            return self.m / rate
        if it.optimizer == "rmsprop":
            self.v = value["rho"] * self.v + (1 - value["rho"]) * g * g
            return g / self._root(self.v)
        b1, b2 = value["beta_1"], value["beta_2"]
        self.powers = [self.powers[0] * b1, self.powers[1] * b2]
        self.m, self.v = b1 * self.m + (1 - b1) * g, b2 * self.v + (1 - b2) * g * g
        c1, c2 = 1 - self.powers[0], 1 - self.powers[1]
        if it.place == "hat":
            return np.sqrt(c2) / c1 * self.m / self._root(self.v)
        return self.m / c1 / self._root(self.v / c2)

    def _root(self, v: Array) -> Array:
        epsilon = self.value["epsilon"]
        return np.sqrt(v + epsilon) if self.form.place == "inside" else np.sqrt(v) + epsilon


def fit(data: Data, fits: Sequence[Fit], iterations: int) -> list[Fit]:
    """The numbers of every fit by Levenberg and Marquardt's method; forms of one rule in step."""
    groups: dict[Any, list[int]] = {}
    for i, each in enumerate(fits):
        groups.setdefault((each.form.rule, each.form.variant), []).append(i)
    results: list[Fit] = list(fits)
    with np.errstate(all="ignore"):
        for indices in groups.values():
            for first in range(0, len(indices), 48):
                chunk = indices[first : first + 48]
                for i, done in zip(chunk, _fit(data, [fits[i] for i in chunk], iterations), strict=True):
                    results[i] = done
    return results


def _fit(data: Data, fits: Sequence[Fit], iterations: int) -> list[Fit]:
    forms, x = [each.form for each in fits], np.stack([each.x for each in fits])
    free = [[_AT[name] for name in form.numbers] for form in forms]
    damping = np.full(len(fits), 1e-3)
    floor = data.floors(forms, x)
    r = _weighted(data.residuals(forms, x), floor)
    size = (r * r).sum(axis=1)
    for iteration in range(iterations):
        if iteration in (3, 8):  # the floor belongs to the numbers
            floor = data.floors(forms, x)
            r = _weighted(data.residuals(forms, x), floor)
            size = (r * r).sum(axis=1)
        owners = [(k, i) for k, numbers in enumerate(free) for i in numbers]
        if not owners:
            break
        moved = np.stack([x[k] for k, _ in owners])
        steps = np.array([_STEP if np.isfinite(x[k, i]) else 0 for k, i in owners])
        moved[np.arange(len(owners)), [i for _, i in owners]] += steps
        J_all = _weighted(data.residuals([forms[k] for k, _ in owners], moved), floor[[k for k, _ in owners]])
        trial, place = x.copy(), 0
        for k, numbers in enumerate(free):
            if not numbers:
                continue
            J = ((J_all[place : place + len(numbers)] - r[k]) / _STEP).T
            place += len(numbers)
            trial[k, numbers] += _move(J, r[k], damping[k], forms[k].numbers)
        new = _weighted(data.residuals(forms, trial), floor)
        new_size = (new * new).sum(axis=1)
        better = new_size < size
        x = np.where(better[:, None], trial, x)
        r, size = np.where(better[:, None], new, r), np.where(better, new_size, size)
        damping = np.where(better, damping / 10, damping * 10).clip(1e-12, 1e6)
        if not better.any() and (damping > 1e3).all():
            break
    floor = data.floors(forms, x)
    r = _weighted(data.residuals(forms, x), floor)
    rms = np.sqrt((np.minimum(np.abs(r), 1e150) ** 2).mean(axis=1))
    score = np.log10(1 + np.abs(r) / 10).mean(axis=1)
    return [replace(each, x=x[k], rms=float(rms[k]), score=float(score[k])) for k, each in enumerate(fits)]


_STEP = 1e-6


def _weighted(off: Array, floor: Array) -> Array:
    flat: Array = (off / floor).reshape(len(off), -1)
    return np.nan_to_num(flat, nan=1e100, posinf=1e100, neginf=-1e100).clip(-1e100, 1e100)


def _move(J: Array, r: Array, damping: float, names: Sequence[str]) -> Array:
    """One damped step of least squares; logarithms move by 2 at most."""
    scale = np.linalg.norm(J, axis=0)
    scale[~(scale > 0)] = 1
    J = J / scale
    A = J.T @ J + damping * np.eye(J.shape[1])
    try:
        move = np.linalg.solve(A, -(J.T @ r)) / scale
    except np.linalg.LinAlgError:
        return np.zeros(J.shape[1])
    most = np.array([2.0 if name in _LOG or name in _BELOW_1 else np.inf for name in names])
    bounded: Array = np.nan_to_num(np.clip(move, -most, most))
    return bounded


def narrowed(data: Data, forms: Iterable[Form], keep: int = 32) -> list[Fit]:
    """The forms that fit best, their numbers fitted on all that `data` has; each round more is looked at."""
    rng = np.random.default_rng(0)
    n = data.all[3].shape[1]
    order = _spread(data.all[4], rng)
    fits = [Fit(form, start(form)) for form in forms]
    fits = [replace(each, x=_clipped(data, each)) for each in fits]
    for most, elements, steps, iterations in ((None, 40, 10, 4), (128, 80, 20, 6), (40, 200, 60, 12)):
        if most is not None:
            fits = sorted(fits, key=_plainest)[:most]
        part = data.part(order[: min(elements, n)], min(steps, data.steps))
        fits = fit(part, fits, iterations)
    return sorted(fits, key=_plainest)[:keep]


def _plainest(each: Fit) -> float:
    """The score; of two that fit alike the one with fewer numbers."""
    return each.score + 1e-3 * len(each.form.numbers)


def _clipped(data: Data, each: Fit) -> Array:
    """A bound begins a little below the largest gradient; where gradients were seen none of them is above it."""
    x, form = each.x.copy(), each.form
    T = data.steps
    scale = data.scales["reduction"][form.reduction][:T] * data.scales["outputs"][form.outputs]
    G = data.all[0][form.variant]
    if "clip_norm" in form.free:
        norms = scale * np.sqrt(data.GG[form.variant, :T])
        seen = np.linalg.norm(data.all[3], axis=1).max() if not data.updates else np.median(norms) * 0.9
        x[_AT["clip_norm"]] = np.log(max(seen, 1e-300))
    if "clip_value" in form.free:
        sizes = np.abs(scale[:, None] * G)
        seen = np.abs(data.all[3]).max() if not data.updates else np.quantile(sizes, 0.9)
        x[_AT["clip_value"]] = np.log(max(seen, 1e-300))
    return x


def _spread(groups: Array, rng: np.random.Generator) -> Array:
    """All elements, at random, those of hidden matrices, the last matrix and biases by turns."""
    parts = [list(rng.permutation(np.flatnonzero(groups == k))) for k in range(3)]
    order: list[int] = []
    while any(parts):
        for k in (0, 1, 0, 2):
            if parts[k]:
                order.append(int(parts[k].pop()))
    return np.array(order)
