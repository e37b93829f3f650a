"""A recording walked under a row: every step computed again, from the weights that the recording itself had there.

That is teacher forcing: what one step does wrong is not carried into the next, so each phase of each step (forward,
gradient, update) is judged by itself. All steps are members of one stack of the replay, since the weights before each
of them are known; only the optimizer's state is carried along, `harness/replay/optimizers.py`.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np

from harness.contract import KEYS, Config, vary
from harness.conventions.table import GIVEN, Row
from harness.conventions.translation import config_under
from harness.recording.file import Recording
from harness.replay.optimizers import Optimizer
from harness.replay.stack import Stack
from harness.replay.training import Member, constant, through_float32

FLOORS = 10
"""How many floors a step may be off and still follow: the floor is measured from two changes of rounding only."""

_ROW = frozenset(field.name for field in fields(Row))
_PASS: tuple[str, ...] = (
    "activation",
    "leaky_slope",
    "elu_alpha",
    "softplus_threshold",
    "reduction",
    "outputs",
    "probabilities",
)
_PASS += ("bias_unit", "update_order", "l2_factor", "l2_divisor", "l2_tensors", "l2_form", "constants", "dtype")
_FORM = ("optimizer", "nesterov", "momentum_form", "epsilon_place", "bias_correction", "moments_reset", "accumulator")


@dataclass(frozen=True)
class Hypothesis:
    """How a recording may have been trained: a row, and the experiment's numbers, `config`, that it stands on."""

    config: Config
    row: Row

    def at(self, name: str) -> Any:
        """The value of a convention or of a setting; a learning rate that is given is the setting's."""
        value = getattr(self.row, name) if name in _ROW else self.config.value(name)
        return self.config.value(name) if value == GIVEN and name in KEYS else value

    def having(self, **changes: Any) -> "Hypothesis":
        """The same with other values: of conventions, or of settings such as `l2` and `clip_norm`."""
        row = {name: value for name, value in changes.items() if name in _ROW}
        config = {name: value for name, value in changes.items() if name not in _ROW}
        return Hypothesis(vary(self.config, **config), replace(self.row, **row))

    def stands(self, n: int) -> Config:
        """The config under the row, for `n` training rows."""
        return config_under(self.config, self.row, n)

    def plain(self) -> "Hypothesis":
        """Without penalties and clipping: its gradient is that of the data alone."""
        return self.having(l2=0.0, l1=0.0, clip_norm=None, clip_value=None)


@dataclass(frozen=True)
class Passed:
    """What every step computes before its optimizer: `(steps, …)` arrays, zeros where a batch is padded.

    `loss` is what the step minimises, without penalties. `gradient` is `(steps, n_weights)`, penalties and clipping
    included as the hypothesis has them.
    """

    activations: tuple[np.ndarray, ...]
    logits: np.ndarray
    loss: np.ndarray
    gradient: np.ndarray


class Walk:
    """The first `steps` steps of a recording, as long as its weights are finite, computed again under hypotheses.

    `until` is when a search is over, in the process's CPU seconds; `clip_epsilon` is what is added to a norm before a
    gradient is clipped by it (PyTorch's 1e-6).
    """

    def __init__(self, recording: Recording, steps: int | None = None) -> None:
        self.recording, self.dtype = recording, np.dtype(recording.dtype)
        self.epsilon = float(np.finfo(self.dtype).eps)
        self.tensors: list[tuple[str, slice, tuple[int, ...]]] = []
        end = 0
        for k, layer in enumerate(recording.weights):
            for key, value in layer.items():
                begin, end = end, end + int(np.prod(value.shape[1:]))
                self.tensors.append((f"{k}/{key}", slice(begin, end), value.shape[1:]))
        self.W = flat(recording.weights)
        self.after = tuple({key: value[1:] for key, value in layer.items()} for layer in recording.weights)
        finite = np.isfinite(self.W).all(axis=1)
        whole = int(np.argmin(finite)) - 1 if not finite.all() else recording.steps
        self.steps = max(0, min(whole, steps or whole))
        self.X = recording.X.astype(self.dtype)
        self.y = recording.y
        self.until, self.clip_epsilon = math.inf, 0.0
        self._passed: dict[Any, Passed] = {}
        self._rounding: dict[Any, tuple[Passed, np.ndarray]] = {}
        self._signs = np.where(np.random.default_rng(0).random((2, recording.steps, end)) < 0.5, -1, 1)

    @property
    def over(self) -> bool:
        """Whether the time of the search is over."""
        return time.process_time() > self.until

    def views(self, matrix: np.ndarray) -> list[dict[str, np.ndarray]]:
        """The tensors of each layer of a matrix `(…, n_weights)`, as views."""
        layers: list[dict[str, np.ndarray]] = [{} for _ in self.recording.weights]
        for name, place, shape in self.tensors:
            k, key = name.split("/")
            layers[int(k)][key] = matrix[..., place].reshape(*matrix.shape[:-1], *shape)
        return layers

    def each_tensor(self, matrix: np.ndarray) -> np.ndarray:
        """The largest absolute value in every tensor of `(steps, n_weights)`, spread over its elements."""
        largest = np.empty(matrix.shape)
        for _, place, _ in self.tensors:
            largest[:, place] = np.abs(matrix[:, place]).max(axis=1, keepdims=True)
        return largest

    def passed(self, h: Hypothesis, other: str = "") -> Passed:
        """Forward and back through all steps at once. `other` asks for other roundings: "reversed" rows inside each
        batch, or every weight "nudged" by one unit in the last place.
        """
        numbers = ("l2", "l1", "clip_norm", "clip_value")
        key = (
            other,
            self.clip_epsilon,
            *(h.config.value(name) for name in numbers),
            *(getattr(h.row, name) for name in _PASS),
        )
        if key not in self._passed:
            if len(self._passed) > 300:  # a search looks at thousands, and comes back to the last few
                self._passed.clear()
            plain = h.plain()
            if h == plain:
                self._passed[key] = self._pass(h, other)
            else:  # penalties and clipping need no second way through the network
                once = self.passed(plain, other)
                total = self._bounded(h, self._penalised(h, once.gradient, "coupled", h.config.penalty.l1))
                self._passed[key] = replace(once, gradient=self._penalised(h, total, "after clipping", 0.0))
        return self._passed[key]

    def _penalised(self, h: Hypothesis, gradient: np.ndarray, form: str, l1: float) -> np.ndarray:
        """With what L2, where it has that form, and L1 add to a gradient, `(steps, n_weights)`."""
        config, row = h.stands(len(self.X)), h.row
        member = Member(config, row, (), (), self.X, self.y)
        l2 = float(constant([member], "l2")[0]) * (2 if row.l2_factor == "full" else 1)
        divided = row.l2_divisor != "none"
        n = (self.recording.rows[: self.steps] >= 0).sum(axis=1) if divided else np.ones(self.steps)
        factor = (l2 / n).astype(self.dtype)[:, None] if row.l2_form == form and l2 else None
        total, last = gradient.copy(), len(self.recording.weights) - 1
        for name, place, _ in self.tensors:
            k, key = name.split("/")
            penalised = {
                "weights": key == "W",
                "weights and biases": True,
                "hidden": key == "W" and int(k) < last,
                "nothing": False,
            }
            W = self.W[: self.steps, place]
            if factor is not None and penalised[row.l2_tensors]:
                total[:, place] += factor * W
            if l1 and key == "W":
                total[:, place] += self.dtype.type(l1) * np.sign(W)
        return total

    def _bounded(self, h: Hypothesis, gradient: np.ndarray) -> np.ndarray:
        """Clipped as the hypothesis has it, every step by itself."""
        if h.config.value("clip_norm") is not None:
            norms = np.sqrt((gradient.astype(np.float64) ** 2).sum(axis=1)) + self.clip_epsilon
            with np.errstate(all="ignore"):
                share = np.where(norms > h.config.value("clip_norm"), h.config.value("clip_norm") / norms, 1.0)
            gradient = np.where(share[:, None] < 1, gradient * share[:, None].astype(self.dtype), gradient)
        if h.config.value("clip_value") is not None:
            c = self.dtype.type(h.config.value("clip_value"))
            gradient = np.clip(gradient, -c, c)
        return gradient

    def _pass(self, h: Hypothesis, other: str) -> Passed:
        recording, config = self.recording, h.stands(len(self.X))
        row = replace(h.row, stop="never", logged_loss="without penalty")
        during = row.update_order == "during"
        batch = recording.rows.shape[1]
        hidden = [np.zeros((self.steps, batch, units), self.dtype) for units in recording.layers[1:-1]]
        logits = np.zeros((self.steps, batch, recording.layers[-1]), self.dtype)
        loss, gradient = np.zeros(self.steps), np.zeros((self.steps, self.W.shape[1]), self.dtype)
        lengths = (recording.rows[: self.steps] >= 0).sum(axis=1)
        for n in np.unique(lengths):
            steps = np.flatnonzero(lengths == n)
            rows = np.stack([recording.batch(int(step)) for step in steps])
            rows = rows[:, ::-1] if other == "reversed" else rows
            members = [Member(config, row, self._start(int(t), other), (), self.X, self.y) for t in steps]
            stack = Stack(members)
            with np.errstate(all="ignore"):
                layers = stack.forward(self.X[rows])
                after = partial(self._goes_back_through, stack, steps) if during else None
                stack.back_propagate(layers[-1], self.y[rows], after)
            back = slice(None, None, -1) if other == "reversed" else slice(None)
            for array, layer in zip((*hidden, logits), layers, strict=True):
                array[steps, :n] = layer[:, back]
            gradient[steps], loss[steps] = stack.gradient, minimised(config, row, stack.losses, int(n))
        return Passed(tuple(hidden), logits, loss, gradient)

    def _goes_back_through(self, stack: Stack, steps: np.ndarray, k: int) -> None:
        """Errors go back through the weights that layer `k` has after the step."""
        stack.owners[k].owned["W"] = self.after[k]["W"][steps]

    def _start(self, step: int, other: str) -> tuple[dict[str, np.ndarray], ...]:
        weights = self.recording.weights_at(step)
        if other != "nudged":
            return weights
        rng = np.random.default_rng(step)
        return tuple(
            {key: np.nextafter(w, rng.choice([-np.inf, np.inf], w.shape).astype(w.dtype)) for key, w in layer.items()}
            for layer in weights
        )

    def rounding(self, h: Hypothesis) -> tuple[Passed, np.ndarray]:
        """The floor of everything in `Passed`, and that of the gradient as a share of each tensor's largest element."""
        key = (h.row.activation, h.config.network.dense["activation"], h.row.probabilities, h.row.reduction)
        if key not in self._rounding:
            self._rounding[key] = self._round(h.plain())
        return self._rounding[key]

    def _round(self, plain: Hypothesis) -> tuple[Passed, np.ndarray]:
        one, others = self.passed(plain), [self.passed(plain, other) for other in ("reversed", "nudged")]

        def floor(values: np.ndarray, moved: Sequence[np.ndarray]) -> np.ndarray:
            axes = tuple(range(1, values.ndim))
            keep: dict[str, Any] = {"axis": axes, "keepdims": True} if axes else {"axis": ()}
            largest = np.abs(values).max(**keep).astype(np.float64)
            apart = sum((np.abs(values - value).max(**keep) for value in moved), np.zeros(()))
            result: np.ndarray = 4 * self.epsilon * largest + 2 * apart
            return result

        activations = tuple(floor(a, [p.activations[k] for p in others]) for k, a in enumerate(one.activations))
        logits = floor(one.logits, [p.logits for p in others])
        loss = floor(one.loss, [p.loss for p in others]) + 4 * self.epsilon
        moved = 2 * sum(self.each_tensor(one.gradient - p.gradient) for p in others)
        largest = self.each_tensor(one.gradient)
        gradient = 4 * self.epsilon * largest + moved + self.epsilon * self._cancelled(plain, one)
        share = gradient / np.where(largest > 0, largest, 1)
        return Passed(activations, logits, loss, gradient), share

    def _cancelled(self, plain: Hypothesis, one: Passed) -> np.ndarray:
        """What an error of 1 in the probability of one row makes of the gradient: p - 1 is never exact to a share."""
        scale = np.zeros(one.gradient.shape)
        inputs = [np.abs(self.X).max(), *(np.abs(a).max(axis=(1, 2)) for a in one.activations)]
        n = 1 if plain.row.reduction == "sum" else (self.recording.rows[: self.steps] >= 0).sum(axis=1)
        for name, place, _ in self.tensors:
            k, key = name.split("/")
            scale[:, place] = np.broadcast_to((inputs[int(k)] if key == "W" else 1.0) / n, self.steps)[:, None]
        return scale

    def rate(self, h: Hypothesis, step: int) -> float:
        """The learning rate of a step: the recording's own, unless the row has another."""
        rates = self.recording.learning_rate
        return float(h.at("learning_rate")) if rates is None or h.row.learning_rate != GIVEN else float(rates[step])

    def decay(self, h: Hypothesis) -> np.ndarray | None:
        """What a decoupled penalty takes from the weights at each step, `(steps, n_weights)`, before the rate."""
        if h.row.l2_form != "decoupled" or not h.config.penalty.l2:
            return None
        coupled = h.having(l2_form="coupled", l1=0.0, clip_norm=None, clip_value=None)
        taken: np.ndarray = self.passed(coupled).gradient - self.passed(h.plain()).gradient
        return taken

    def updated(
        self, hypotheses: Sequence[Hypothesis], gradients: Sequence[np.ndarray], chosen: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """The weights after every step, `(steps, n_weights)`, for a list of hypotheses with a gradient each.

        `chosen` limits all to some of the elements, where no hypothesis sums over a row of a matrix.
        """
        results: list[np.ndarray] = [np.empty(0)] * len(hypotheses)
        for indices in structures(hypotheses, self.recording.epoch):
            members = [hypotheses[i] for i in indices]
            for i, (weights, _, _) in zip(
                indices, self._run(members, [gradients[i] for i in indices], chosen), strict=True
            ):
                results[i] = weights
        return results

    def states(self, h: Hypothesis, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The optimizer's m and v after every step, `(steps, n_weights)` each."""
        ((_, m, v),) = self._run([h], [gradient], None)
        return m, v

    def _run(
        self, hypotheses: Sequence[Hypothesis], gradients: Sequence[np.ndarray], chosen: np.ndarray | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        take = slice(None) if chosen is None else chosen
        members = [Member(h.stands(len(self.X)), h.row, (), (), self.X, self.y) for h in hypotheses]
        G = np.stack([gradient[:, take] for gradient in gradients])
        decays = [self.decay(h) for h in hypotheses]
        W = np.broadcast_to(self.W[: self.steps, take], G.shape).copy()
        m, v = np.zeros_like(G), np.zeros_like(G)
        optimizer = Optimizer(members, np.zeros_like(G[:, 0]), self.views)
        epoch = -1
        with np.errstate(all="ignore"):
            for step in range(self.steps):
                while epoch < self.recording.epoch[step]:
                    epoch += 1
                    optimizer.begin_epoch()
                asked = np.array([self.rate(h, step) for h in hypotheses])
                rates = through_float32(members, "learning_rate", asked).astype(self.dtype)[:, None]
                for i, decay in enumerate(decays):
                    if decay is not None:
                        W[i, step] -= rates[i] * decay[step, take]
                W[:, step] -= optimizer.step(G[:, step], rates)
                m[:, step], v[:, step] = optimizer.m, optimizer.v
        return iter(zip(W, m, v, strict=True))

    def wobble(self, gradients: Sequence[np.ndarray], shares: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Two gradients beside each one that differ from it by roundings, `shares` of each tensor's largest element."""
        pairs = []
        for gradient, share in zip(gradients, shares, strict=True):
            size = (share * self.each_tensor(gradient)).astype(self.dtype)
            pairs += [gradient + sign[: self.steps] * size for sign in self._signs]
        return pairs


def flat(series: Sequence[dict[str, np.ndarray]]) -> np.ndarray:
    """All tensors side by side: `(steps, n_weights)`."""
    return np.concatenate([value.reshape(len(value), -1) for layer in series for value in layer.values()], axis=1)


def structures(hypotheses: Sequence[Hypothesis], epochs: np.ndarray) -> list[list[int]]:
    """Which hypotheses can be followed together: those whose optimizers have one form."""
    groups: dict[Any, list[int]] = {}
    for i, h in enumerate(hypotheses):
        heavy = h.row.optimizer == "sgd" and h.row.momentum > 0 and h.row.nesterov
        groups.setdefault((heavy, *(getattr(h.row, name) for name in _FORM)), []).append(i)
    return list(groups.values())


def minimised(config: Config, row: Row, mean: np.ndarray, n: int) -> np.ndarray:
    """What a step minimises, penalties apart, from the mean that a framework logs for a batch of `n` rows."""
    factor = {"mean": 1.0, "sum": float(n), "mean of n + 1": n / (n + 1)}[row.reduction]
    if config.loss.name != "cross_entropy" and row.outputs == "half sum":
        factor *= config.network.n_outputs  # logged is half the mean over the outputs
    return mean * factor


def objective(walk: Walk, h: Hypothesis) -> np.ndarray:
    """What every step minimises, coupled penalties included, `(steps,)`."""
    loss = walk.passed(h).loss
    unclipped = h.having(clip_norm=None, clip_value=None, l1=0.0)
    penalty = walk.passed(unclipped).gradient.astype(np.float64) - walk.passed(h.plain()).gradient
    decayed = 0.5 * (penalty * walk.W[: walk.steps]).sum(axis=1)
    total: np.ndarray = loss + decayed + h.config.penalty.l1 * _absolute(walk)
    return total


def _absolute(walk: Walk) -> np.ndarray:
    places = [place for name, place, _ in walk.tensors if name.endswith("W")]
    return np.asarray(sum(np.abs(walk.W[: walk.steps, place]).sum(axis=1) for place in places))
