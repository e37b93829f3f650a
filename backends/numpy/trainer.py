"""NumPy: back propagation by hand, written twice.

Controlled mode is built for speed. All that a member of a stack trains lies in one row of a matrix `(members,
parameters)`, so that an optimizer is a few in-place operations on whole matrices, the numbers of its members columns
`(members, 1)`. Activations and errors are `(members, units, rows)`, in buffers that are allocated once for each batch
size: so `z = W.T @ a + b` as in the textbooks, and a member's part of every array is one piece of memory.

Native mode is the classic lecture class, in `backends/numpy/native.py`.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from backends.numpy.activations import ACTIVATION
from backends.numpy.native import LECTURE, NeuralNetwork
from backends.numpy.optimizers import RULES, Constants, State, is_plain, plain, step_factors
from harness.contract import AfterStackedEpoch, Batches, Config, Epoch, NativeFit, StackTrainer, Weights, vary

ROWS_AT_ONCE = 1024  # are predicted at once, so that what all members make of them stays near


def transposed(a: np.ndarray) -> np.ndarray:
    """The transposed matrix of every member."""
    return a.swapaxes(-1, -2)


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    """`a @ b` for every member; an outer product is three times as fast by multiplication."""
    return np.multiply(a, b, out=out) if a.shape[-1] == 1 else np.matmul(a, b, out=out)


class Buffers:
    """Where the forward and the backward pass of `members` networks write for batches of `n` rows."""

    def __init__(self, members: int, n: int, config: Config) -> None:
        def empty(units: int) -> np.ndarray:
            return np.empty((members, units, n), config.dtype)

        self.ones = np.ones((n, 1), config.dtype)
        self.rows = np.empty((n, config.n_inputs), config.dtype)  # as they are taken from X, for all members
        self.targets = np.empty((config.n_outputs, n), config.dtype)
        self.turns = members > 1  # a transposed copy of the rows pays where it is read often
        inputs = np.empty((config.n_inputs, n), config.dtype) if self.turns else self.rows.T
        self.a = [inputs, *map(empty, config.layers[1:])]  # the inputs, then each z, activated in place
        self.delta = [*map(empty, config.layers[1:])]
        self.delta_T = [*map(transposed, self.delta)]
        self.kept = {k: empty(config.layers[k]) for k in config.dropout_layers}  # 0 or 1 / (1 - rate)
        self.read = [empty(config.layers[k]) if k in self.kept else a for k, a in enumerate(self.a)]  # by layer k
        # the gradient is a product over the rows, which is faster from the rows as they were taken
        self.read_back = self.read if 0 in self.kept else [self.rows.T, *self.read[1:]]

    def take(self, X: np.ndarray, targets: np.ndarray, rows: np.ndarray) -> None:
        """A batch of inputs and targets, `targets` `(n_outputs, rows of X)`."""
        X.take(rows, axis=0, out=self.rows, mode="clip")  # the default mode would copy twice
        targets.take(rows, axis=1, out=self.targets, mode="clip")
        if self.turns:
            self.a[0][...] = self.rows.T


class BatchNorm:
    """Batch normalisation of one hidden layer, in place; its beta is the bias that is added afterwards.

    `gamma`, its gradient, and the running `mean` and `variance` are `(members, units, 1)`.
    """

    def __init__(self, config: Config, gamma: np.ndarray, grad_gamma: np.ndarray) -> None:
        self.running_kept, self.epsilon = config.batch_norm_momentum, config.batch_norm_epsilon
        self.gamma, self.grad_gamma = gamma, grad_gamma
        self.mean, self.variance = np.zeros_like(gamma), np.ones_like(gamma)

    def train(self, z: np.ndarray) -> None:
        """`gamma * (z - mean) / sqrt(variance + epsilon)` with the batch's own moments; the running ones follow."""
        mean = z.mean(axis=2, keepdims=True)
        z -= mean
        variance = np.square(z).mean(axis=2, keepdims=True)
        self.deviation = np.sqrt(variance + self.epsilon)
        z /= self.deviation
        self.normalised = z.copy()
        z *= self.gamma
        for running, value in ((self.mean, mean), (self.variance, variance)):
            running *= self.running_kept
            running += (1 - self.running_kept) * value

    def infer(self, z: np.ndarray) -> None:
        """The same with the running moments."""
        z -= self.mean
        z /= np.sqrt(self.variance + self.epsilon)
        z *= self.gamma

    def back(self, delta: np.ndarray, grad_beta: np.ndarray) -> None:
        """`gamma / deviation * (delta - mean(delta) - normalised * mean(delta * normalised))`; fills gamma's gradient.

        The batch's moments depend on every row, so each row's error spreads to all.
        """
        n = delta.shape[2]
        np.einsum("mun,mun->mu", delta, self.normalised, out=self.grad_gamma[..., 0])
        self.normalised *= self.grad_gamma / n
        delta -= self.normalised
        delta -= grad_beta / n
        delta *= self.gamma / self.deviation


class NumpyTrainer(StackTrainer):
    """Our own fast NumPy networks, and the lecture class for native mode."""

    name = "numpy"
    requires = ("numpy",)
    arithmetic = ("numpy.matmul",)

    def build_stack(self, configs: Sequence[Config], start: Weights) -> None:
        config = self.config = configs[0]
        self._configs = configs
        self._hidden = [ACTIVATION[name](config) for name in config.activation]
        self._output = ACTIVATION[config.output_activation](config)
        self._rule = plain if is_plain(config) else RULES[config.optimizer.name]
        self._lay_out(np.arange(len(configs)))
        self.set_stack_weights(start)

    def _lay_out(self, members: np.ndarray) -> None:
        """A new state for these members of those built, and names for its parts.

        A row of it holds all weight matrices, then all biases (or betas), then all gammas.
        """
        config, self._members, self._t = self.config, members, 0
        self._constants = Constants([self._configs[member] for member in members])
        self._has_l2 = bool(self._constants.exact["l2"].any())
        depth, gammas = len(config.layers) - 1, config.hidden if config.batch_norm else ()
        shapes = [*pairwise(config.layers), *((units, 1) for units in (*config.layers[1:], *gammas))]
        sizes = [math.prod(shape) for shape in shapes]
        state = self._state = State(len(members), sum(sizes), config, self._constants)
        self._matrices = [flat[:, : sum(sizes[:depth])] for flat in (state.w, state.g, state.scratch)]

        def parts(flat: np.ndarray) -> list[np.ndarray]:
            pieces = np.split(flat, np.cumsum(sizes)[:-1], axis=1)
            return [piece.reshape(-1, *shape) for piece, shape in zip(pieces, shapes, strict=True)]

        weights, gradients = parts(state.w), parts(state.g)
        self._W, self._b = weights[:depth], weights[depth : 2 * depth]
        self._W_T = [*map(transposed, self._W)]
        self._grad_W, self._grad_b = gradients[:depth], gradients[depth : 2 * depth]
        scales = zip(weights[2 * depth :], gradients[2 * depth :], strict=True)
        self._norms = [BatchNorm(config, gamma, grad_gamma) for gamma, grad_gamma in scales]
        self._owners: list[dict[str, np.ndarray]] = []  # with the contract's names
        for k, (W, b) in enumerate(zip(self._W, self._b, strict=True)):
            if k < len(self._norms):
                norm = self._norms[k]
                self._owners += [
                    {"W": W},
                    {"gamma": norm.gamma, "beta": b, "mean": norm.mean, "variance": norm.variance},
                ]
            else:
                self._owners.append({"W": W, "b": b})
        self._buffers: dict[int, Buffers] = {}

    def _keep(self, kept: np.ndarray) -> None:
        """Go on with the members where `kept` is True; nothing changes for them."""
        t, state, norms = self._t, self._state, self._norms
        self._lay_out(self._members[kept])
        self._t = t
        self._state.take_over(state, kept)
        for norm, old in zip(self._norms, norms, strict=True):
            norm.mean[...], norm.variance[...] = old.mean[kept], old.variance[kept]

    def train_stack(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterStackedEpoch) -> None:
        config = self.config
        targets = np.eye(config.n_outputs, dtype=config.dtype)[:, y] if config.task == "multiclass" else y.T.copy()
        with np.errstate(all="ignore"):  # a training that diverges is a result, not a warning
            for e in range(len(batches)):
                self._train_epoch(X, targets, batches[e])
                leaving = after_epoch(e + 1)
                if all(leaving):
                    return
                if any(leaving):
                    self._keep(~leaving)

    def _train_epoch(self, X: np.ndarray, targets: np.ndarray, epoch: Epoch) -> None:
        lengths = (epoch.rows >= 0).sum(axis=1)
        rates = epoch.learning_rate[self._members]
        factors = step_factors(self.config, self._constants, rates, lengths, self._t)
        steps = zip(lengths.tolist(), *factors, strict=False)  # factors that stay the same never end
        for step, (n, error, l2, l1, rate, epsilon) in enumerate(steps):
            if n not in self._buffers:
                self._buffers[n] = Buffers(len(self._members), n, self.config)
            buffers = self._buffers[n]
            buffers.take(X, targets, epoch.rows[step, :n])
            if epoch.masks:
                self._drop_out(buffers, epoch.step_masks(step))
            self._feed_forward(buffers)
            self._back_propagate(buffers, error)
            self._penalise(l2, l1)
            self._clip()
            self._rule(self._state, self._constants, rate, epsilon)
        self._t += len(lengths)

    def _drop_out(self, buffers: Buffers, masks: tuple[np.ndarray, ...]) -> None:
        """What each input and unit is multiplied by, for masks `(members that were built, rows, units)`."""
        for kept, mask, factor in zip(buffers.kept.values(), masks, self._constants.dropout_factors, strict=True):
            np.multiply(transposed(mask[self._members]), factor, out=kept)

    def _feed_forward(self, buffers: Buffers) -> None:
        for k, (W_T, b) in enumerate(zip(self._W_T, self._b, strict=True)):
            if k in buffers.kept:
                np.multiply(buffers.a[k], buffers.kept[k], out=buffers.read[k])
            z = np.matmul(W_T, buffers.read[k], out=buffers.a[k + 1])
            if k < len(self._norms):
                self._norms[k].train(z)
            z += b
            if k < len(self._hidden):
                self._hidden[k][0](z)

    def _back_propagate(self, buffers: Buffers, factor: np.ndarray) -> None:
        """Fill the gradient, without the penalties, for a loss whose derivative is multiplied by `factor`."""
        delta = self._output_error(buffers)
        delta *= factor
        for k in reversed(range(len(self._W))):
            np.matmul(delta, buffers.ones, out=self._grad_b[k])  # the sum over the rows, three times as fast
            if k < len(self._norms):
                self._norms[k].back(delta, self._grad_b[k])
            product(buffers.read_back[k], buffers.delta_T[k], out=self._grad_W[k])
            if k > 0:
                delta = product(self._W[k], delta, out=buffers.delta[k - 1])
                if k in buffers.kept:
                    delta *= buffers.kept[k]
                self._hidden[k - 1][1](delta, buffers.a[k])

    def _output_error(self, buffers: Buffers) -> np.ndarray:
        """The derivative of a row's loss by the logits, with the sum over the outputs in place of their mean."""
        config, (activate, back), o, e = self.config, self._output, buffers.a[-1], buffers.delta[-1]
        activate(o)
        np.subtract(o, buffers.targets, out=e)
        if config.loss.name == "mse":
            e *= 2
        elif config.loss.name == "mae":
            np.sign(e, out=e)
        elif config.loss.name == "huber":
            np.clip(e, -config.huber_delta, config.huber_delta, out=e)
        if config.task == "regression":  # elsewhere the loss takes the activation's derivative away
            back(e, o)
        return e

    def _penalise(self, l2: np.ndarray, l1: np.ndarray) -> None:
        """Add the derivative of `(l2 / 2) * sum(W**2) + l1 * sum(abs(W))`."""
        W, gradient, penalty = self._matrices
        if self._has_l2:
            gradient += np.multiply(W, l2, out=penalty)
        if self.config.l1:
            np.sign(W, out=penalty)
            penalty *= l1
            gradient += penalty

    def _clip(self) -> None:
        """`g * min(1, c / norm)` over all that a member trains, or every element within -c and c."""
        g, constants = self._state.g, self._constants
        if self.config.clip_norm is not None:
            norm = np.sqrt(np.square(g, dtype=np.float64).sum(axis=1, keepdims=True))
            g *= np.fmin(1, constants.exact["clip_norm"] / norm).astype(g.dtype)  # 1 where the norm is nan
        if self.config.clip_value is not None:
            np.clip(g, -constants.clip_value, constants.clip_value, out=g)

    def stack_logits(self, X: np.ndarray) -> np.ndarray:
        logits = np.empty((len(self._members), len(X), self.config.n_outputs), self.config.dtype)
        with np.errstate(all="ignore"):
            for first in range(0, len(X), ROWS_AT_ONCE):
                a = np.array(X[first : first + ROWS_AT_ONCE].T, self.config.dtype, order="C")
                for k, (W_T, b) in enumerate(zip(self._W_T, self._b, strict=True)):
                    a = np.matmul(W_T, a)
                    if k < len(self._norms):
                        self._norms[k].infer(a)
                    a += b
                    if k < len(self._hidden):
                        self._hidden[k][0](a)
                logits[:, first : first + ROWS_AT_ONCE] = transposed(a)
        return logits

    def stack_weights(self) -> Weights:
        return tuple(
            {key: (value if key == "W" else value[..., 0]).copy() for key, value in layer.items()}
            for layer in self._owners
        )

    def set_stack_weights(self, weights: Weights) -> None:
        if len(weights[0]["W"]) != len(self._members):  # members that have left are back
            self._lay_out(np.arange(len(self._configs)))
        for layer, given in zip(self._owners, weights, strict=True):
            for key, value in layer.items():
                value[...] = given[key] if key == "W" else given[key][..., None]

    def fit_native(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        unwritten = {name: value for name, value in LECTURE.items() if name not in self.config.written}
        config = vary(self.config, **unwritten)
        network = NeuralNetwork(config, X, np.eye(config.n_outputs)[y] if config.task == "multiclass" else y, seed)
        with np.errstate(all="ignore"):
            network.train()
        layers = zip(network.weights, network.biases, strict=True)
        self.build_stack((config,), tuple({"W": W[None], "b": b[None]} for W, b in layers))
        return NativeFit(epochs_run=config.epochs)
