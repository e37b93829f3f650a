"""Training in NumPy under any row of the conventions table; under the harness's own it is the reference, bit for bit.

Members that differ only in numbers (start, constants, rows) are trained as one stack: every array has a leading axis of
members, and all weights lie side by side in one matrix, `(members, n_weights)`. So the hundreds of trainings that an
explanation takes cost a fraction of what they would cost one by one. The mathematics is that of the reference; the
formula of each convention's values stands in `harness/conventions/table.py`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np

from harness.contract import Weights
from harness.conventions.table import CONSTANTS, Row
from harness.network import Dense, Network
from harness.network.activations import Activation, Softplus
from harness.reference.activations import activate, derivative
from harness.reference.layers import (
    PASSES,
    ActivationPass,
    DensePass,
    Masks,
    Owned,
    Pass,
    back_propagate,
    forward,
    hidden_units,
    passes,
)
from harness.reference.trainer import clip
from harness.replay.optimizers import SGD, Optimizer
from harness.replay.outputs import error_of, loss_of, loss_of_answers, softmax_error
from harness.replay.training import Member, constant, numbers, through_float32

TOLERANCE, PATIENCE = 1e-4, 10
"""`stop = "tolerance"`: scikit-learn's defaults of `tol` and `n_iter_no_change`."""

MOST_MEMBERS = 8  # more, and what a step computes no longer fits into a core's cache


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


def effective(weights: Weights, row: Row) -> Weights:
    """Weights as every other network has them: with biases that count for 1."""
    if row.bias_unit == 1:
        return weights
    return tuple({**layer, "b": row.bias_unit * layer["b"]} if "b" in layer else layer for layer in weights)


PER_MEMBER = frozenset(
    {
        *CONSTANTS,
        *("learning_rate", "init", "bias", "reduction", "outputs", "l2_factor", "l2_divisor", "l2_tensors"),
        *("constants", "bias_unit", "accuracy", "auc", "metric_rows"),
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
        (config.network.input_shape, *(type(e) if isinstance(e, Activation) else e for e in config.network.layers)),
        (config.task, config.loss, config.dtype, config.clipping),
        "sgd" if config.optimizer.name in SGD else config.optimizer.name,
        (len(member.batches), member.batches[0].rows.shape if len(member.batches) else (), member.X.shape),
    )


class _DenseUnderRow(DensePass):
    """`a W + unit b`, with the gradient of `a W + b`."""

    def __init__(self, layer: Dense, owned: Owned, unit: np.ndarray) -> None:
        super().__init__(layer, owned)
        self.unit = unit

    def forward(self, a: np.ndarray, training: bool) -> np.ndarray:
        self.inputs = a
        z: np.ndarray = a @ self.owned["W"]
        return z + self.unit * self.owned["b"][:, None] if self.layer.use_bias else z


class _SoftplusWithThreshold(ActivationPass):
    """`z` itself where it is above the threshold."""

    def __init__(self, layer: Softplus, owned: Owned, threshold: float) -> None:
        super().__init__(layer, owned)
        self.threshold = threshold

    def forward(self, a: np.ndarray, training: bool) -> np.ndarray:
        self.linear = a > self.threshold
        self.a = np.where(self.linear, a, activate(self.layer, a))
        return self.a

    def back(self, delta: np.ndarray) -> np.ndarray:
        slope = derivative(self.layer, self.a)
        result: np.ndarray = delta * np.where(self.linear, 1, slope).astype(slope.dtype)
        return result


@dataclass(frozen=True)
class _Update:
    """Layers that are updated at once: their place in the matrix of all weights, and their optimizer."""

    layers: tuple[int, ...]
    place: slice
    optimizer: Optimizer


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
        self.updates = self._updates()
        self.losses = np.zeros(len(members))  # of the last step, as the row's framework reports it, the penalty apart
        self.penalty = np.zeros(len(members))  # of the last step, where it is logged or decides when to stop
        self.logged: list[np.ndarray] = []
        self.stopping = _Stopping(len(members)) if self.row.stop == "tolerance" else None
        self.l2 = self._penalties()
        self.passes = self._passes()
        self.owners = [layer for layer in self.passes if layer.owned]

    def _passes(self) -> list[Pass]:
        """The reference's layers on the weights of all members, as the row has them."""
        kinds: dict[Any, Any] = dict(PASSES)
        kinds[Dense] = partial(_DenseUnderRow, unit=self._numbers(lambda member: member.row.bias_unit)[:, None, None])
        if self.row.softplus_threshold is not None:
            kinds[Softplus] = partial(_SoftplusWithThreshold, threshold=self.row.softplus_threshold)
        network = self.config.network
        layers = [self._with_numbers(each) if isinstance(each, Activation) else each for each in network.layers]
        made = passes(Network(network.input_shape, tuple(layers)), tuple(self.layers), kinds)
        for layer, grads in zip((each for each in made if each.owned), self.grads, strict=True):
            layer.grads = {key: grads[key] for key in layer.grads}
        return made

    def _with_numbers(self, activation: Activation) -> Activation:
        """The activation with the constants of all members, `(members, 1, 1)`."""
        numbers = {each.key: constant(self.members, each.key) for each in activation.constants()}
        return activation.with_numbers({key: n.astype(self.dtype)[:, None, None] for key, n in numbers.items()})

    def begin_epoch(self) -> None:
        """To be called before the first step of every epoch."""
        for update in self.updates.values():
            update.optimizer.begin_epoch()

    def _flat(self, weights: Weights) -> np.ndarray:
        return np.concatenate([weights[k][key].ravel() for k, key, _ in self.shapes]).astype(self.dtype)

    def _views(self, flat: np.ndarray, layers: Sequence[int] | None = None) -> list[dict[str, np.ndarray]]:
        """The tensors of each layer, `(members, …)`, as views of the matrix of all weights, or of those of `layers`."""
        views: list[dict[str, np.ndarray]] = [{} for _ in range(self.shapes[-1][0] + 1)]
        end = 0
        for k, key, shape in self.shapes:
            if layers is None or k in layers:
                begin, end = end, end + int(np.prod(shape))
                views[k][key] = flat[:, begin:end].reshape(-1, *shape)
        return views

    def _updates(self) -> dict[int, "_Update"]:
        """For the first of the layers that are updated together, in the order of their gradients: all or each alone."""
        layers = range(self.shapes[-1][0] + 1)
        updates, end = {}, 0
        for together in [(k,) for k in layers] if self.row.update_order == "during" else [tuple(layers)]:
            begin, end = end, end + sum(int(np.prod(shape)) for k, _, shape in self.shapes if k in together)
            tensors = partial(self._views, layers=together)
            optimizer = Optimizer(self.members, self.P[:, begin:end], tensors)
            updates[together[0]] = _Update(together, slice(begin, end), optimizer)
        return updates

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
                "nothing": False,
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
            self.begin_epoch()
            for step, rows in enumerate(zip(*drawn, strict=True)):
                pairs = list(zip(self.members, rows, strict=True))
                X = np.stack([member.X.take(r, axis=0) for member, r in pairs])
                y = np.stack([member.y.take(r, axis=0) for member, r in pairs])
                masks = zip(*(epoch.step_masks(step) for epoch in epochs), strict=True)
                self.step(X, y, rates[:, step], tuple(map(np.stack, masks)))
                seen += self.losses * len(rows[0])
                penalty += self.penalty * len(rows[0])
            n = sum(map(len, drawn[0]))
            logged = seen + penalty if self.row.logged_loss == "with penalty" else seen
            self.logged.append(self._loss_of_answers(drawn) if self.row.logged_loss == "answers" else logged / n)
            if self.stopping is not None and self.stopping((seen + penalty) / n, self.P, e + 1):
                return

    def step(self, X: np.ndarray, y: np.ndarray, learning_rate: np.ndarray, masks: Masks = ()) -> list[np.ndarray]:
        """One step on a batch a member: `X` is `(members, n, n_inputs)`, `learning_rate` `(members,)`.

        Gives the hidden units of each layer and the logits that it computed on the way.
        """
        rate = through_float32(self.members, "learning_rate", learning_rate).astype(self.dtype)[:, None]
        n = y.shape[1]
        with np.errstate(all="ignore"):  # a training that diverges is a result, not a warning
            outputs = self.forward(X, masks)
            if self.row.update_order == "during":
                self.back_propagate(outputs[-1], y, lambda k: self._lower(self.updates[k], rate, n))
            else:
                self.back_propagate(outputs[-1], y)
                self._lower(self.updates[0], rate, n)
            for layer in self.owners:
                layer.end_step()
        return outputs

    def _lower(self, update: _Update, rate: np.ndarray, n: int) -> None:
        """Take a step down the gradients of some layers, which were those of a batch of n rows."""
        if self.row.l2_form == "decoupled":
            for _, w, factor in self._penalised(n, update.layers):
                w -= rate.reshape(-1, *[1] * (w.ndim - 1)) * factor * w
        self.P[:, update.place] -= update.optimizer.step(self.gradient[:, update.place], rate)

    def _loss_of_answers(self, drawn: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
        """What a code logs that looks at all rows of an epoch after it, `(members,)`; of classes at its answers."""
        rows = [np.concatenate(batches) for batches in drawn]
        X = np.stack([member.X.take(r, axis=0) for member, r in zip(self.members, rows, strict=True)])
        y = np.stack([member.y.take(r, axis=0) for member, r in zip(self.members, rows, strict=True)])
        with np.errstate(all="ignore"):
            logits = self.forward(X)[-1]
            if self.config.loss.name in ("cross_entropy", "binary_cross_entropy"):
                return loss_of_answers(self.config, self.row.probabilities, logits, y)
            self._note(loss_of(self.config, logits, y))
        return self.losses

    def _penalised(self, n: int, layers: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(gradient, tensor, factor of the tensor in the gradient for a batch of n rows), of all that L2 touches."""
        divided = np.array([member.row.l2_divisor != "none" for member in self.members])
        for k in layers:
            layer, grads = self.layers[k], self.grads[k]
            for key, factor in self.l2[k].items():
                shaped = (factor / np.where(divided, n, 1)).astype(self.dtype).reshape(-1, *[1] * (layer[key].ndim - 1))
                yield grads[key], layer[key], shaped

    def forward(self, X: np.ndarray, masks: Masks = ()) -> list[np.ndarray]:
        """The hidden units of each layer in training, and the logits, each `(members, n, units)`."""
        outputs = forward(self.passes, X, masks)
        return [*hidden_units(self.passes, outputs), outputs[-1]]

    def _output_error(self, logits: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The derivative of each row's loss by its logits, `(members, n, n_outputs)`; and notes the loss."""
        form = self.row.probabilities
        if self.config.loss.name == "cross_entropy":
            error, self.losses = softmax_error(form, logits, y)
            return error
        error, each = error_of(self.config, form, logits, y)
        self._note(each)
        divisors = {"mean": self.config.network.n_outputs, "sum": 1, "half sum": 2}
        error /= self._numbers(lambda member: divisors[member.row.outputs])[:, None, None]
        return error

    def _note(self, each: np.ndarray) -> None:
        """Note the mean loss of a batch, over outputs as the row says; scikit-learn logs half the mean square."""
        factors = {"mean": 1.0, "sum": self.config.network.n_outputs, "half sum": 0.5}
        factor = numbers(self.members, lambda member: factors[member.row.outputs])
        self.losses = each.astype(np.float64).mean(axis=(1, 2)) * factor

    def back_propagate(self, logits: np.ndarray, y: np.ndarray, filled: Callable[[int], None] | None = None) -> None:
        """Fill the gradients, penalties included, and note the loss that they are the gradient of.

        `filled` is called with the number of each owner of weights, the last one first, when its gradients are there,
        before the error goes back through it.
        """
        n = y.shape[1]
        self.penalty = np.zeros(len(self.members))
        delta = self._output_error(logits, y)
        divisors = {"mean": n, "sum": 1, "mean of n + 1": n + 1}
        delta = delta / self._numbers(lambda member: divisors[member.row.reduction])[:, None, None]
        if filled is None:
            back_propagate(self.passes, delta)
            self._complete(n, range(len(self.owners)))
            return

        def one(layer: Pass) -> None:
            k = self.owners.index(layer)
            self._complete(n, (k,))
            filled(k)

        back_propagate(self.passes, delta, one)

    def _complete(self, n: int, layers: Sequence[int]) -> None:
        """Add the penalties to the gradients of some layers, and bound them; L2 behind that where the row has it so."""
        self._penalise(n, layers)
        if self.config.clipping is not None:
            for i in range(len(self.members)):  # each member's gradient, over all tensors of the layers together
                clip(self.config.clipping, [{key: g[i] for key, g in self.owners[k].grads.items()} for k in layers])
        if self.row.l2_form == "after clipping":
            self._add_l2(n, layers)

    def _penalise(self, n: int, layers: Sequence[int]) -> None:
        """Add L2, where it is coupled, and L1 to the gradients that are clipped, and note the penalty of L2."""
        if self.row.l2_form == "coupled":
            self._add_l2(n, layers)
        l1 = self._numbers(lambda member: member.config.penalty.l1)
        if l1.any():
            for layer in (self.owners[k] for k in layers):
                for key in layer.penalised:
                    w = layer.owned[key]
                    layer.grads[key] += l1.reshape(-1, *[1] * (w.ndim - 1)) * np.sign(w)

    def _add_l2(self, n: int, layers: Sequence[int]) -> None:
        for g, w, factor in self._penalised(n, layers):
            g += factor * w
            if self.stopping is not None or self.row.logged_loss == "with penalty":
                self.penalty += 0.5 * (factor * w * w).reshape(len(w), -1).sum(axis=1)

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
            weights = effective(weights, self.members[i].row)
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
