"""NumPy: back propagation by hand, written twice.

Controlled mode is built for speed. All that is trained lives in one flat vector, weight matrices first, so that an
optimizer is a few in-place operations on a whole vector and the penalties are one on its leading part. Activations
and errors stay in buffers that are allocated once for each batch size. Scalars are Python floats: since NumPy 2 a
`np.float64` scalar would lift a float32 array to float64.

Native mode is the classic lecture class, in `backends/lecture.py`.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from backends.lecture import LECTURE, NeuralNetwork
from harness.trainer import SELU_ALPHA, SELU_SCALE, AfterEpoch, Batches, Config, NativeFit, Trainer, Weights

# An activation and what it does to the error on the way back, both in place. The way back may spend `a`.
Forward = Callable[[np.ndarray], object]
Back = Callable[[np.ndarray, np.ndarray], object]


def sigmoid(z: np.ndarray) -> None:
    """`1 / (1 + exp(-z))` in place. Where `exp` overflows the quotient is 0, as it should be."""
    np.negative(z, out=z)
    np.exp(z, out=z)
    z += 1
    np.reciprocal(z, out=z)


def sigmoid_back(delta: np.ndarray, a: np.ndarray) -> None:
    """`delta * a * (1 - a)` in place; `a` is spent."""
    delta *= a
    np.subtract(1, a, out=a)
    delta *= a


def tanh_back(delta: np.ndarray, a: np.ndarray) -> None:
    """`delta * (1 - a**2)` in place; `a` is spent."""
    a *= a
    np.subtract(1, a, out=a)
    delta *= a


def leaky_relu(slope: float) -> tuple[Forward, Back]:
    """`z` where it is positive, else `slope * z`."""

    def forward(z: np.ndarray) -> None:
        np.multiply(z, slope, out=z, where=z <= 0)

    def back(delta: np.ndarray, a: np.ndarray) -> None:
        np.multiply(delta, slope, out=delta, where=a <= 0)

    return forward, back


def elu(alpha: float, scale: float = 1.0) -> tuple[Forward, Back]:
    """`scale * z` where it is positive, else `scale * alpha * (exp(z) - 1)`."""

    def forward(z: np.ndarray) -> None:
        negative = z <= 0
        np.expm1(z, out=z, where=negative)
        np.multiply(z, alpha, out=z, where=negative)
        z *= scale

    def back(delta: np.ndarray, a: np.ndarray) -> None:
        delta *= np.where(a > 0, scale, a + scale * alpha)

    return forward, back


def softmax(z: np.ndarray) -> None:
    """Row-wise softmax in place, shifted by the row's maximum so that `exp` cannot overflow."""
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)


ACTIVATION: dict[str, Callable[[Config], tuple[Forward, Back]]] = {
    "identity": lambda config: (lambda z: None, lambda delta, a: None),
    "sigmoid": lambda config: (sigmoid, sigmoid_back),
    "tanh": lambda config: (lambda z: np.tanh(z, out=z), tanh_back),
    "relu": lambda config: (
        lambda z: np.maximum(z, 0, out=z),
        lambda delta, a: np.multiply(delta, np.sign(a, out=a), out=delta),
    ),
    "leaky_relu": lambda config: leaky_relu(config.leaky_slope),
    "elu": lambda config: elu(config.elu_alpha),
    "selu": lambda config: elu(SELU_ALPHA, SELU_SCALE),
    "softplus": lambda config: (
        lambda z: np.logaddexp(0, z, out=z),  # log(exp(0) + exp(z)), without overflow
        lambda delta, a: np.multiply(delta, -np.expm1(-a), out=delta),
    ),
    # two outputs whose losses know the way back
    "softmax": lambda config: (softmax, lambda delta, a: None),
    "heaviside": lambda config: (lambda z: np.heaviside(z, 0, out=z), lambda delta, a: None),
}


class Buffers:
    """Where the forward and the backward pass of one batch size write."""

    def __init__(self, n: int, config: Config) -> None:
        layers, dtype = config.layers, config.dtype
        self.row_starts = np.arange(n) * layers[-1]  # where each row of the outputs begins in memory
        self.ones = np.ones(n, dtype)
        self.a = [np.empty((n, units), dtype) for units in layers]  # the inputs, then each z, activated in place
        self.delta = [np.empty((n, units), dtype) for units in layers[1:-1]]
        self.targets = np.empty((n, layers[-1]), dtype)
        self.kept = {k: np.empty((n, layers[k]), dtype) for k in config.dropout_layers}  # 0 or 1 / (1 - rate)
        self.dropped = [np.empty_like(a) if k in self.kept else a for k, a in enumerate(self.a)]  # what layer k reads


class BatchNorm:
    """Batch normalisation of one hidden layer, in place; its beta is the bias that is added afterwards."""

    def __init__(self, config: Config, gamma: np.ndarray, grad_gamma: np.ndarray) -> None:
        self.running_kept, self.epsilon = config.batch_norm_momentum, config.batch_norm_epsilon
        self.gamma, self.grad_gamma = gamma, grad_gamma
        self.mean, self.variance = np.zeros_like(gamma), np.ones_like(gamma)

    def train(self, z: np.ndarray) -> None:
        """`gamma * (z - mean) / sqrt(variance + epsilon)` with the batch's own moments; the running ones follow."""
        mean = z.mean(axis=0)
        z -= mean
        variance = np.square(z).mean(axis=0)
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
        np.einsum("ij,ij->j", delta, self.normalised, out=self.grad_gamma)
        self.normalised *= self.grad_gamma / len(delta)
        delta -= self.normalised
        delta -= grad_beta / len(delta)
        delta *= self.gamma / self.deviation


class NumpyTrainer(Trainer):
    """Our own fast NumPy network, and the lecture class for native mode."""

    name = "numpy"
    requires = ("numpy",)
    arithmetic = ("numpy.matmul",)

    def __init__(self, config: Config, start: Weights | None) -> None:
        self._build(config)
        if start is not None:
            self.set_weights(start)

    def _build(self, config: Config) -> None:
        """The flat vectors and the names of their parts: all matrices, all biases (or betas), all gammas."""
        self.config = config
        normalised = config.hidden if config.batch_norm else ()
        shapes = [*pairwise(config.layers), *((units,) for units in (*config.layers[1:], *normalised))]
        sizes = [math.prod(shape) for shape in shapes]
        self._parameters = np.zeros(sum(sizes), config.dtype)
        self._gradient = np.zeros_like(self._parameters)

        def parts(flat: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
            views = [v.reshape(s) for v, s in zip(np.split(flat, np.cumsum(sizes)[:-1]), shapes, strict=True)]
            depth = len(config.layers) - 1
            return views[:depth], views[depth : 2 * depth], views[2 * depth :]

        self._W, self._b, gammas = parts(self._parameters)
        self._grad_W, self._grad_b, grad_gammas = parts(self._gradient)
        self._norms = [BatchNorm(config, *pair) for pair in zip(gammas, grad_gammas, strict=True)]
        self._layers = [{"W": W, "b": b} for W, b in zip(self._W, self._b, strict=True)]  # with the contract's names
        for k, norm in enumerate(self._norms):
            rest = {"gamma": norm.gamma, "beta": self._b[k], "mean": norm.mean, "variance": norm.variance}
            self._layers[k] = {"W": self._W[k], **rest}

        self._velocity, self._squares, self._scratch = (np.zeros_like(self._parameters) for _ in range(3))
        n_weights = sum(W.size for W in self._W)
        self._matrices = [flat[:n_weights] for flat in (self._parameters, self._gradient, self._scratch)]
        if config.optimizer in ("adagrad", "adagrad_momentum"):
            self._squares += config.initial_accumulator
        self._t = 0
        self._buffers: dict[int, Buffers] = {}
        self._hidden = [ACTIVATION[name](config) for name in config.activation]
        self._output = ACTIVATION[config.output_activation](config)
        self._update = getattr(self, f"_{config.optimizer}")

    def train(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterEpoch) -> None:
        with np.errstate(all="ignore"):  # a training that diverges is a result, not a warning
            for e in range(len(batches)):
                epoch = batches[e]
                steps = zip(epoch.batches(), epoch.learning_rate.tolist(), strict=True)
                for step, (rows, learning_rate) in enumerate(steps):
                    self._back_propagate(X, y, rows, epoch.step_masks(step) if epoch.masks else ())
                    self._t += 1
                    self._update(learning_rate)
                if after_epoch(e + 1):
                    return

    def _back_propagate(self, X: np.ndarray, y: np.ndarray, rows: np.ndarray, masks: tuple[np.ndarray, ...]) -> None:
        """Fill the gradient for one batch."""
        if len(rows) not in self._buffers:
            self._buffers[len(rows)] = Buffers(len(rows), self.config)
        buffers = self._buffers[len(rows)]

        X.take(rows, axis=0, out=buffers.a[0], mode="clip")  # the default mode would copy twice
        for k, mask in zip(buffers.kept, masks, strict=True):
            np.multiply(mask, 1 / (1 - self.config.dropout[k]), out=buffers.kept[k])
        self._feed_forward(buffers)
        delta = self._output_error(buffers, y, rows)
        for k in reversed(range(len(self._W))):
            np.matmul(buffers.ones, delta, out=self._grad_b[k])  # the sum over the rows, three times as fast
            if k < len(self._norms):
                self._norms[k].back(delta, self._grad_b[k])
            np.matmul(buffers.dropped[k].T, delta, out=self._grad_W[k])
            if k > 0:
                delta = np.matmul(delta, self._W[k].T, out=buffers.delta[k - 1])
                if k in buffers.kept:
                    delta *= buffers.kept[k]
                self._hidden[k - 1][1](delta, buffers.a[k])
        self._penalise()
        self._clip()

    def _feed_forward(self, buffers: Buffers) -> None:
        for k, (W, b) in enumerate(zip(self._W, self._b, strict=True)):
            if k in buffers.kept:
                np.multiply(buffers.a[k], buffers.kept[k], out=buffers.dropped[k])
            z = np.matmul(buffers.dropped[k], W, out=buffers.a[k + 1])
            if k < len(self._norms):
                self._norms[k].train(z)
            z += b
            if k < len(self._hidden):
                self._hidden[k][0](z)

    def _output_error(self, buffers: Buffers, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The derivative of the batch's loss by the logits, in place of the outputs or of the targets."""
        config, (activate, back), o = self.config, self._output, buffers.a[-1]
        n = len(rows) if config.reduction == "mean" else 1
        activate(o)
        if config.task == "multiclass":
            o.reshape(-1)[buffers.row_starts + y[rows]] -= 1  # three times as fast as with two indices
            if n > 1:
                o /= n
            return o
        e = y.take(rows, axis=0, out=buffers.targets, mode="clip")
        np.subtract(o, e, out=e)
        if config.loss == "mse":
            e *= 2
        elif config.loss == "mae":
            np.sign(e, out=e)
        elif config.loss == "huber":
            np.clip(e, -config.huber_delta, config.huber_delta, out=e)
        if config.task == "regression":  # elsewhere the loss takes the activation's derivative away
            back(e, o)
        e /= n * config.n_outputs
        return e

    def _penalise(self) -> None:
        """Add the derivative of `(l2 / 2) * sum(W**2) + l1 * sum(abs(W))`."""
        W, gradient, penalty = self._matrices
        if self.config.l2:
            gradient += np.multiply(W, self.config.l2, out=penalty)
        if self.config.l1:
            np.sign(W, out=penalty)
            penalty *= self.config.l1
            gradient += penalty

    def _clip(self) -> None:
        """`g * min(1, c / norm)` over the whole vector, or every element within -c and c."""
        gradient, norm_bound, bound = self._gradient, self.config.clip_norm, self.config.clip_value
        if norm_bound is not None:
            norm = math.sqrt(np.square(gradient, dtype=np.float64).sum())
            if norm > norm_bound:
                gradient *= norm_bound / norm
        if bound is not None:
            np.clip(gradient, -bound, bound, out=gradient)

    def _sgd(self, learning_rate: float) -> None:
        """`w -= lr * g`."""
        self._gradient *= learning_rate
        self._parameters -= self._gradient

    _perceptron = _sgd  # the same step along another error: `(z > 0) - y`

    def _momentum(self, learning_rate: float) -> None:
        """`v = m*v + g; w -= lr * v`."""
        self._velocity *= self.config.momentum
        self._velocity += self._gradient
        np.multiply(self._velocity, learning_rate, out=self._scratch)
        self._parameters -= self._scratch

    def _nesterov(self, learning_rate: float) -> None:
        """`v = m*v + g; w -= lr * (g + m*v)`."""
        self._velocity *= self.config.momentum
        self._velocity += self._gradient
        np.multiply(self._velocity, self.config.momentum, out=self._scratch)
        self._scratch += self._gradient
        self._scratch *= learning_rate
        self._parameters -= self._scratch

    def _adagrad(self, learning_rate: float) -> None:
        """`G += g**2; w -= lr * g / (sqrt(G) + epsilon)`; here `G` are the squares."""
        self._squares += np.square(self._gradient, out=self._scratch)
        self._parameters -= self._scaled(learning_rate)

    def _adagrad_momentum(self, learning_rate: float) -> None:
        """`G += g**2; v = m*v + lr * g / (sqrt(G) + epsilon); w -= v`."""
        self._squares += np.square(self._gradient, out=self._scratch)
        self._velocity *= self.config.momentum
        self._velocity += self._scaled(learning_rate)
        self._parameters -= self._velocity

    def _rmsprop(self, learning_rate: float) -> None:
        """`v = rho*v + (1 - rho)*g**2; w -= lr * g / (sqrt(v) + epsilon)`; here `v` are the squares."""
        self._remember_squares(self.config.rho)
        self._parameters -= self._scaled(learning_rate)

    def _adam(self, learning_rate: float) -> None:
        """`w -= lr * m_hat / (sqrt(v_hat) + epsilon)`; here `m` is the velocity and `v` the squares."""
        config, g, scratch = self.config, self._gradient, self._scratch
        self._velocity *= config.beta_1
        self._velocity += np.multiply(g, 1 - config.beta_1, out=scratch)
        self._remember_squares(config.beta_2)
        np.divide(self._squares, 1 - config.beta_2**self._t, out=scratch)
        np.sqrt(scratch, out=scratch)
        scratch += config.epsilon
        np.multiply(self._velocity, learning_rate / (1 - config.beta_1**self._t), out=g)
        g /= scratch
        self._parameters -= g

    def _remember_squares(self, kept: float) -> None:
        """`v = kept*v + (1 - kept)*g**2` in the squares."""
        self._squares *= kept
        np.multiply(self._gradient, 1 - kept, out=self._scratch)
        self._scratch *= self._gradient
        self._squares += self._scratch

    def _scaled(self, learning_rate: float) -> np.ndarray:
        """`lr * g / (sqrt(squares) + epsilon)`, in place of the gradient."""
        np.sqrt(self._squares, out=self._scratch)
        self._scratch += self.config.epsilon
        self._gradient *= learning_rate
        self._gradient /= self._scratch
        return self._gradient

    def logits(self, X: np.ndarray) -> np.ndarray:
        a = np.asarray(X, self.config.dtype)
        with np.errstate(all="ignore"):
            for k, (W, b) in enumerate(zip(self._W, self._b, strict=True)):
                a = np.matmul(a, W)
                if k < len(self._norms):
                    self._norms[k].infer(a)
                a += b
                if k < len(self._hidden):
                    self._hidden[k][0](a)
        return a

    def weights(self) -> Weights:
        return tuple({key: value.copy() for key, value in layer.items()} for layer in self._layers)

    def set_weights(self, weights: Weights) -> None:
        for layer, given in zip(self._layers, weights, strict=True):
            for key, value in layer.items():
                value[...] = given[key]

    def fit_native(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        unwritten = {name: value for name, value in LECTURE.items() if name not in self.config.written}
        config = replace(self.config, **unwritten)
        self._build(config)
        network = NeuralNetwork(config, X, np.eye(config.n_outputs)[y] if config.task == "multiclass" else y, seed)
        with np.errstate(all="ignore"):
            network.train()
        self.set_weights([{"W": W, "b": b} for W, b in zip(network.weights, network.biases, strict=True)])
        return NativeFit(epochs_run=config.epochs)
