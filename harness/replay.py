"""Training in NumPy under any row of the conventions table; under the harness's own it is the reference, bit for bit.

Members that differ only in numbers (start, constants, rows) are trained as one stack: every array has a leading axis of
members, and all weights lie side by side in one matrix, `(members, n_weights)`. So the hundreds of trainings that an
explanation takes cost a fraction of what they would cost one by one. The mathematics is that of `harness/reference.py`;
the formula of each convention's values stands in `harness/conventions.py`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import Any

import numpy as np

from harness.conventions import Row
from harness.member import Member, constant, numbers, through_float32
from harness.optimizers import SGD, Optimizer
from harness.reference import ACTIVATION, Masks, clipped
from harness.trainer import Weights

TOLERANCE, PATIENCE = 1e-4, 10
"""`stop = "tolerance"`: scikit-learn's defaults of `tol` and `n_iter_no_change`."""

MOST_MEMBERS = 8  # more, and what a step computes no longer fits into a core's cache
_CUT = 1e-7  # keras.config.epsilon()


@dataclass(frozen=True)
class Replayed:
    """What came out: weights (None where they are not finite), epochs run, and the loss that was logged after each."""

    weights: Weights | None
    epochs_run: int
    logged_loss: tuple[float, ...] = ()


def replay(members: Sequence[Member], progress: Callable[[int], None] = lambda done: None) -> list[Replayed]:
    """Train every member, those together that can be, and give the results in the order of the members.

    `progress` is told after each stack how many members it had.
    """
    results: list[Replayed | None] = [None] * len(members)
    stacks: dict[Any, list[int]] = {}
    for i, member in enumerate(members):
        stacks.setdefault(_structure(member), []).append(i)
    for indices in stacks.values():
        for first in range(0, len(indices), MOST_MEMBERS):
            chunk = indices[first : first + MOST_MEMBERS]
            stack = Stack([members[i] for i in chunk])
            stack.train()
            for i, result in zip(chunk, stack.results(), strict=True):
                results[i] = result
            progress(len(chunk))
    return [result for result in results if result is not None]


PER_MEMBER = frozenset(
    {
        *(
            "learning_rate",
            "init",
            "bias",
            "reduction",
            "outputs",
            "l2_factor",
            "l2_divisor",
            "l2_tensors",
            "constants",
        ),
        *("momentum", "beta_1", "beta_2", "rho", "epsilon", "initial_accumulator", "leaky_slope", "elu_alpha"),
        *("accuracy", "auc", "metric_rows"),
    }
)
"""The conventions that members of one stack may differ in. One that is missing here costs speed, and no truth."""


def structure_of(row: Row) -> tuple[Any, ...]:
    """What the rows of one stack have in common."""
    return tuple(getattr(row, field.name) for field in fields(row) if field.name not in PER_MEMBER)


def _structure(member: Member) -> tuple[Any, ...]:
    """What members of one stack have in common: everything that is not a number of its own."""
    config = member.config
    return (
        structure_of(member.row),
        (config.layers, config.activation, config.task, config.loss, config.output_activation, config.dtype),
        ("sgd" if config.optimizer in SGD else config.optimizer, config.huber_delta),
        (config.dropout, config.batch_norm, config.batch_norm_momentum, config.batch_norm_epsilon),
        (config.clip_norm, config.clip_value),
        (len(member.batches), member.batches[0].rows.shape if len(member.batches) else (), member.X.shape),
    )


class Stack:
    """Members of one structure in training. `step` trains them on one batch each."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = list(members)
        self.config, self.row = members[0].config, members[0].row
        self.dtype = np.dtype(self.config.dtype)
        start = members[0].start
        self.shapes = [(k, key, value.shape) for k, layer in enumerate(start) for key, value in layer.items()]
        self.P = np.stack([self._flat(member.start) for member in members])
        self.layers = self._views(self.P)
        self.gradient = np.zeros_like(self.P)
        self.grads = self._views(self.gradient)
        self.optimizer = Optimizer(self.members, self.P, self._views)
        self.losses = np.zeros(len(members))  # of the last step, as the row's framework reports it, the penalty apart
        self.penalty = np.zeros(len(members))  # of the last step, where it is logged or decides when to stop
        self.logged: list[np.ndarray] = []
        self.stopping = _Stopping(len(members)) if self.row.stop == "tolerance" else None
        self.constants = SimpleNamespace(
            leaky_slope=constant(self.members, "leaky_slope").astype(self.dtype)[:, None, None],
            elu_alpha=self._numbers(lambda member: member.config.elu_alpha)[:, None, None],
        )
        self.l2 = self._penalties()

    def _flat(self, weights: Weights) -> np.ndarray:
        return np.concatenate([weights[k][key].ravel() for k, key, _ in self.shapes]).astype(self.dtype)

    def _views(self, flat: np.ndarray) -> list[dict[str, np.ndarray]]:
        """The tensors of each layer, `(members, …)`, as views of the matrix of all weights."""
        layers: list[dict[str, np.ndarray]] = [{} for _ in range(self.shapes[-1][0] + 1)]
        end = 0
        for k, key, shape in self.shapes:
            begin, end = end, end + int(np.prod(shape))
            layers[k][key] = flat[:, begin:end].reshape(-1, *shape)
        return layers

    def _numbers(self, number: Callable[[Member], float]) -> np.ndarray:
        """One number a member, `(members,)`, rounded once to the dtype of the weights."""
        return numbers(self.members, number).astype(self.dtype)

    def _penalties(self) -> list[dict[str, np.ndarray]]:
        """The factor of each tensor in its gradient of L2, `(members,)` float64, where any member has one."""
        halves = numbers(self.members, lambda member: 2.0 if member.row.l2_factor == "full" else 1.0)
        factor = halves * constant(self.members, "l2")
        last = self.shapes[-1][0]
        penalties: list[dict[str, np.ndarray]] = [{} for _ in range(last + 1)]
        for k, key, _ in self.shapes:
            penalised = {
                "weights": key == "W",
                "weights and biases": key in ("W", "b"),
                "hidden": key == "W" and k < last,
            }
            values = factor * np.array([penalised[member.row.l2_tensors] for member in self.members])
            if values.any():
                penalties[k][key] = values
        return penalties

    def train(self) -> None:
        """All epochs of every member, or until each of them has stopped."""
        for e in range(len(self.members[0].batches)):
            epochs = [member.batches[e] for member in self.members]
            drawn = [epoch.batches() for epoch in epochs]
            rates = np.stack([epoch.learning_rate for epoch in epochs])
            seen, penalty = np.zeros(len(self.members)), np.zeros(len(self.members))
            self.optimizer.begin_epoch()
            for step, rows in enumerate(zip(*drawn, strict=True)):
                pairs = list(zip(self.members, rows, strict=True))
                X = np.stack([member.X.take(r, axis=0) for member, r in pairs])
                y = np.stack([member.y.take(r, axis=0) for member, r in pairs])
                masks = zip(*(epoch.step_masks(step) for epoch in epochs), strict=True)
                self.step(X, y, rates[:, step], tuple(map(np.stack, masks)))
                seen += self.losses * len(rows[0])
                penalty += self.penalty * len(rows[0])
            n = sum(map(len, drawn[0]))
            self.logged.append((seen + penalty if self.row.logged_loss == "with penalty" else seen) / n)
            if self.stopping is not None and self.stopping((seen + penalty) / n, self.P, e + 1):
                return

    def step(self, X: np.ndarray, y: np.ndarray, learning_rate: np.ndarray, masks: Masks = ()) -> list[SimpleNamespace]:
        """One step on a batch a member: `X` is `(members, n, n_inputs)`, `learning_rate` `(members,)`.

        Gives what every layer computed on the way, see `forward`.
        """
        with np.errstate(all="ignore"):  # a training that diverges is a result, not a warning
            passed = self.forward(X, masks)
            self.back_propagate(passed, y, masks)
            rate = through_float32(self.members, "learning_rate", learning_rate).astype(self.dtype)[:, None]
            if self.row.l2_form == "decoupled":
                for _, w, factor in self._penalised(y.shape[1]):
                    w -= rate.reshape(-1, *[1] * (w.ndim - 1)) * factor * w
            self.P -= self.optimizer.step(self.gradient, rate)
            for layer, seen in zip(self.layers, passed, strict=True):
                if seen.statistics is not None:
                    kept = self.config.batch_norm_momentum
                    for key, value in zip(("mean", "variance"), seen.statistics, strict=True):
                        layer[key][...] = kept * layer[key] + (1 - kept) * value
        return passed

    def _penalised(self, n: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(gradient, tensor, factor of the tensor in the gradient for a batch of n rows), of all that L2 touches."""
        divided = np.array([member.row.l2_divisor != "none" for member in self.members])
        for layer, grads, penalties in zip(self.layers, self.grads, self.l2, strict=True):
            for key, factor in penalties.items():
                shaped = (factor / np.where(divided, n, 1)).astype(self.dtype).reshape(-1, *[1] * (layer[key].ndim - 1))
                yield grads[key], layer[key], shaped

    def forward(self, X: np.ndarray, masks: Masks = ()) -> list[SimpleNamespace]:
        """All layers in training: `inputs` after dropout, `a` (in the last layer the logits), batch statistics."""
        config = self.config
        kept = dict(zip(config.dropout_layers, masks, strict=True))
        layers: list[SimpleNamespace] = []
        a = X
        for k, weight in enumerate(self.layers):
            inputs = a * kept[k] / (1 - config.dropout[k]) if k in kept else a
            layer = SimpleNamespace(inputs=inputs, a=inputs @ weight["W"], normalised=None, statistics=None)
            if "gamma" in weight:
                mean, variance = layer.statistics = layer.a.mean(axis=1), layer.a.var(axis=1)
                scale = np.sqrt(variance + config.batch_norm_epsilon)
                layer.normalised = (layer.a - mean[:, None]) / scale[:, None]
                layer.a = weight["gamma"][:, None] * layer.normalised + weight["beta"][:, None]
            else:
                layer.a = layer.a + weight["b"][:, None]
            layer.z = layer.a
            if k < len(config.hidden):
                a = layer.a = self._activate(config.activation[k], layer.a)
            layers.append(layer)
        return layers

    def _activate(self, name: str, z: np.ndarray) -> np.ndarray:
        a = ACTIVATION[name][0](z, self.constants)  # type: ignore[arg-type]
        threshold = self.row.softplus_threshold
        return np.where(z > threshold, z, a) if name == "softplus" and threshold is not None else a

    def _derivative(self, name: str, layer: SimpleNamespace) -> np.ndarray:
        d = ACTIVATION[name][1](layer.a, self.constants)  # type: ignore[arg-type]
        threshold = self.row.softplus_threshold
        linear = name == "softplus" and threshold is not None
        return np.where(layer.z > threshold, 1, d).astype(d.dtype) if linear else d

    def _output_error(self, logits: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The derivative of each row's loss by its logits, `(members, n, n_outputs)`; and notes the loss."""
        config, members = self.config, np.arange(len(y))[:, None]
        if config.loss == "cross_entropy":
            return self._softmax_error(logits, y, members)
        o = ACTIVATION[config.output_activation][0](logits, self.constants)  # type: ignore[arg-type]
        e: np.ndarray = o - y
        self._note_loss(logits, e, y)
        if config.loss == "mse":
            e = 2 * e
        elif config.loss == "mae":
            e = np.sign(e)
        elif config.loss == "huber":
            e = np.clip(e, -config.huber_delta, config.huber_delta)
        if config.task == "regression":
            e *= ACTIVATION[config.output_activation][1](o, self.constants)  # type: ignore[arg-type]
        divisors = {"mean": config.n_outputs, "sum": 1, "half sum": 2}
        e /= self._numbers(lambda member: divisors[member.row.outputs])[:, None, None]
        return e

    def _softmax_error(self, logits: np.ndarray, y: np.ndarray, members: np.ndarray) -> np.ndarray:
        n = np.arange(y.shape[1])
        shifted = logits - logits.max(axis=2, keepdims=True)
        exps: np.ndarray = np.exp(shifted)
        sums = exps.sum(axis=2, keepdims=True)
        if self.row.probabilities == "denominator + 1e-9":
            exps = np.exp(logits)
            sums = exps.sum(axis=2, keepdims=True) + 1e-9
        o: np.ndarray = exps / sums
        log_p = shifted[members, n, y] - np.log(sums[:, :, 0])
        if self.row.probabilities == "denominator + 1e-9":
            log_p = np.log(o[members, n, y])
        self.losses = -log_p.mean(axis=1).astype(np.float64)
        if self.row.probabilities == "clipped 1e-7":
            cut = np.clip(o, _CUT, 1 - _CUT)
            self.losses = (np.log(cut.sum(axis=2)) - np.log(cut[members, n, y])).mean(axis=1).astype(np.float64)
            h = 1 / cut.sum(axis=2, keepdims=True) * np.ones_like(o)
            h[members, n, y] -= 1 / cut[members, n, y]
            h *= cut == o
            o = o * (h - (o * h).sum(axis=2, keepdims=True))
        else:
            o[members, n, y] -= 1
        return o

    def _note_loss(self, logits: np.ndarray, e: np.ndarray, y: np.ndarray) -> None:
        """The mean loss of a batch, over outputs as the row says; scikit-learn logs half the mean square."""
        config = self.config
        if config.loss == "binary_cross_entropy":
            each = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits))) - y * logits
        elif config.loss == "mse":
            each = e**2
        elif config.loss == "huber":
            size, delta = np.abs(e), config.huber_delta
            each = np.where(size <= delta, e**2 / 2, delta * (size - delta / 2))
        else:
            each = np.abs(e)
        factors = {"mean": 1.0, "sum": config.n_outputs, "half sum": 0.5}
        factor = numbers(self.members, lambda member: factors[member.row.outputs])
        self.losses = each.astype(np.float64).mean(axis=(1, 2)) * factor

    def back_propagate(self, layers: list[SimpleNamespace], y: np.ndarray, masks: Masks = ()) -> None:
        """Fill the gradients, penalties included, and note the loss that they are the gradient of."""
        config, n = self.config, y.shape[1]
        kept = dict(zip(config.dropout_layers, masks, strict=True))
        delta = self._output_error(layers[-1].a, y)
        divisors = {"mean": n, "sum": 1, "mean of n + 1": n + 1}
        delta = delta / self._numbers(lambda member: divisors[member.row.reduction])[:, None, None]
        for k in reversed(range(len(self.layers))):
            weight, layer, grad = self.layers[k], layers[k], self.grads[k]
            if layer.normalised is not None:
                grad["gamma"][...], grad["beta"][...] = (delta * layer.normalised).sum(axis=1), delta.sum(axis=1)
                delta = delta * weight["gamma"][:, None]
                mean = (delta * layer.normalised).mean(axis=1)[:, None]
                spread = delta.mean(axis=1)[:, None] + layer.normalised * mean
                delta = (delta - spread) / np.sqrt(layer.statistics[1] + config.batch_norm_epsilon)[:, None]
            else:
                grad["b"][...] = delta.sum(axis=1)
            W = weight["W"]
            np.matmul(layer.inputs.transpose(0, 2, 1), delta, out=grad["W"])
            if k > 0:
                delta = delta @ W.transpose(0, 2, 1)
                if k in kept:
                    delta = delta * kept[k] / (1 - config.dropout[k])
                delta = delta * self._derivative(config.activation[k - 1], layers[k - 1])
        self._penalise(n)
        if config.clip_norm is not None or config.clip_value is not None:
            self._clip()

    def _clip(self) -> None:
        """Bound each member's gradient, over all its tensors together."""
        for i in range(len(self.members)):
            # the matrix last, as in the reference: the norm's bits depend on the order of its terms
            order: tuple[str, ...] = ("gamma", "beta", "b", "W")
            trained = [{key: grads[key] for key in order if key in grads} for grads in self.grads]
            bounded = clipped(self.config, tuple({key: g[i] for key, g in layer.items()} for layer in trained))
            for layer, new in zip(trained, bounded, strict=True):
                for key, g in new.items():
                    layer[key][i] = g

    def _penalise(self, n: int) -> None:
        """Add L2, where it is coupled, and L1 to the gradients, and note the penalty of L2."""
        self.penalty = np.zeros(len(self.members))
        if self.row.l2_form == "coupled":
            for g, w, factor in self._penalised(n):
                g += factor * w
                if self.stopping is not None or self.row.logged_loss == "with penalty":
                    self.penalty += 0.5 * (factor * w * w).reshape(len(w), -1).sum(axis=1)
        l1 = self._numbers(lambda member: member.config.l1)
        if l1.any():
            for grads, layer in zip(self.grads, self.layers, strict=True):
                grads["W"] += l1[:, None, None] * np.sign(layer["W"])

    def weights(self, i: int) -> Weights:
        """A copy of one member's weights as they are now."""
        return tuple({key: value[i].copy() for key, value in layer.items()} for layer in self.layers)

    def results(self) -> list[Replayed]:
        """What came out of each member."""
        results = []
        for i in range(len(self.members)):
            epochs, weights = len(self.logged), self.weights(i)
            if self.stopping is not None and i in self.stopping.stopped:
                epochs, flat = self.stopping.stopped[i]
                layers = self._views(flat[None])
                weights = tuple({key: value[0] for key, value in layer.items()} for layer in layers)
            finite = all(np.isfinite(value).all() for layer in weights for value in layer.values())
            logged = tuple(float(loss[i]) for loss in self.logged[:epochs])
            results.append(Replayed(weights if finite else None, epochs, logged))
        return results


class _Stopping:
    """scikit-learn's early stop: each member's weights are kept as they were when it stopped."""

    def __init__(self, members: int) -> None:
        self.best = np.full(members, np.inf)
        self.waited = np.zeros(members, int)
        self.stopped: dict[int, tuple[int, np.ndarray]] = {}

    def __call__(self, loss: np.ndarray, P: np.ndarray, epoch: int) -> bool:
        """Look at an epoch's loss, `(members,)`; True when every member has stopped."""
        self.waited = np.where(loss > self.best - TOLERANCE, self.waited + 1, 0)
        self.best = np.fmin(self.best, loss)
        for i in np.flatnonzero(self.waited > PATIENCE):
            self.stopped.setdefault(int(i), (epoch, P[i].copy()))
        return len(self.stopped) == len(self.best)
