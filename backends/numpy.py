"""NumPy: back propagation by hand, written twice.

Controlled mode is built for speed. All weights and biases live in one flat vector, weight matrices first, so that an
optimizer is a few in-place operations on a whole vector and the L2 penalty is one on its leading part. Activations
and errors stay in buffers that are allocated once for each batch size. Scalars are Python floats: since NumPy 2 a
`np.float64` scalar would lift a float32 array to float64.

Native mode is the classic lecture class: gradients summed over the batch, weights from N(0, 1), biases 0.01,
`n // batch_size` steps an epoch, each batch an independent draw without replacement.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from harness.trainer import OPTIMIZER_CONSTANTS, AfterEpoch, Batches, Config, NativeFit, Trainer, Weights


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


def tanh(z: np.ndarray) -> None:
    """Hyperbolic tangent in place."""
    np.tanh(z, out=z)


def tanh_back(delta: np.ndarray, a: np.ndarray) -> None:
    """`delta * (1 - a**2)` in place; `a` is spent."""
    a *= a
    np.subtract(1, a, out=a)
    delta *= a


def relu(z: np.ndarray) -> None:
    """`max(z, 0)` in place."""
    np.maximum(z, 0, out=z)


def relu_back(delta: np.ndarray, a: np.ndarray) -> None:
    """`delta` where the unit was active, else 0, in place; `a` is spent."""
    np.sign(a, out=a)
    delta *= a


def softmax(z: np.ndarray) -> None:
    """Row-wise softmax in place, shifted by the row's maximum so that `exp` cannot overflow."""
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)


# name -> (activation, what it does to the error on the way back)
ACTIVATION: dict[str, tuple[Callable[[np.ndarray], None], Callable[[np.ndarray, np.ndarray], None]]] = {
    "sigmoid": (sigmoid, sigmoid_back),
    "tanh": (tanh, tanh_back),
    "relu": (relu, relu_back),
}


def layer_views(flat: np.ndarray, layers: tuple[int, ...]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The matrices and the bias vectors inside a flat vector: first all matrices, then all biases."""
    shapes = [*pairwise(layers), *((n_out,) for n_out in layers[1:])]
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    views = [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]
    return views[: len(layers) - 1], views[len(layers) - 1 :]


class Buffers:
    """Where the forward and the backward pass of one batch size write."""

    def __init__(self, n: int, layers: tuple[int, ...], dtype: str) -> None:
        self.rows = np.arange(n)
        self.ones = np.ones(n, dtype)
        self.X = np.empty((n, layers[0]), dtype)
        self.z = [np.empty((n, units), dtype) for units in layers[1:]]  # activated in place
        self.delta = [np.empty((n, units), dtype) for units in layers[1:-1]]  # the last one is made in z[-1]


class NumpyTrainer(Trainer):
    """Our own fast NumPy network, and the lecture class for native mode."""

    name = "numpy"
    requires = ("numpy",)
    arithmetic = ("numpy.matmul",)

    def __init__(self, config: Config, start: Weights | None) -> None:
        self.config = config
        layers = config.layers
        n_weights = sum(n_in * n_out for n_in, n_out in pairwise(layers))
        self._parameters = np.zeros(n_weights + sum(layers[1:]), config.dtype)
        self._gradient = np.zeros_like(self._parameters)
        self._W, self._b = layer_views(self._parameters, layers)
        self._grad_W, self._grad_b = layer_views(self._gradient, layers)
        self._penalised, self._penalty_gradient = self._parameters[:n_weights], self._gradient[:n_weights]
        self._velocity, self._squares, self._scratch = (np.zeros_like(self._parameters) for _ in range(3))
        self._t = 0
        self._buffers: dict[int, Buffers] = {}
        self._update = getattr(self, f"_{config.optimizer}")
        if start is not None:
            self.set_weights(start)

    def train(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterEpoch) -> None:
        with np.errstate(all="ignore"):  # a training that diverges is a result, not a warning
            for e in range(len(batches)):
                epoch = batches[e]
                for rows, learning_rate in zip(epoch.batches(), epoch.learning_rate.tolist(), strict=True):
                    self._back_propagate(X, y, rows)
                    self._t += 1
                    self._update(learning_rate)
                if after_epoch(e + 1):
                    return

    def _back_propagate(self, X: np.ndarray, y: np.ndarray, rows: np.ndarray) -> None:
        """Fill the gradient for one batch."""
        config, n = self.config, len(rows)
        if n not in self._buffers:
            self._buffers[n] = Buffers(n, config.layers, config.dtype)
        buffers = self._buffers[n]

        a = [X.take(rows, axis=0, out=buffers.X, mode="clip"), *buffers.z]  # the default mode would copy twice
        for k, (W, b) in enumerate(zip(self._W, self._b, strict=True)):
            np.matmul(a[k], W, out=a[k + 1])
            a[k + 1] += b
            if k < len(config.hidden):
                ACTIVATION[config.activation[k]][0](a[k + 1])

        delta = buffers.z[-1]
        softmax(delta)
        delta[buffers.rows, y[rows]] -= 1
        if config.reduction == "mean":
            delta /= n

        for k in reversed(range(len(self._W))):
            np.matmul(a[k].T, delta, out=self._grad_W[k])
            np.matmul(buffers.ones, delta, out=self._grad_b[k])  # the sum over the rows, three times as fast
            if k > 0:
                delta = np.matmul(delta, self._W[k].T, out=buffers.delta[k - 1])
                ACTIVATION[config.activation[k - 1]][1](delta, a[k])

        if config.l2:
            penalty = self._scratch[: len(self._penalised)]
            np.multiply(self._penalised, config.l2, out=penalty)
            self._penalty_gradient += penalty

    def _sgd(self, learning_rate: float) -> None:
        """`w -= lr * g`."""
        self._gradient *= learning_rate
        self._parameters -= self._gradient

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

    def _adam(self, learning_rate: float) -> None:
        """`w -= lr * m_hat / (sqrt(v_hat) + epsilon)`; here `m` is the velocity and `v` the squares."""
        config, g, scratch = self.config, self._gradient, self._scratch
        self._velocity *= config.beta_1
        self._velocity += np.multiply(g, 1 - config.beta_1, out=scratch)
        self._squares *= config.beta_2
        np.multiply(g, 1 - config.beta_2, out=scratch)
        scratch *= g
        self._squares += scratch
        np.divide(self._squares, 1 - config.beta_2**self._t, out=scratch)
        np.sqrt(scratch, out=scratch)
        scratch += config.epsilon
        np.multiply(self._velocity, learning_rate / (1 - config.beta_1**self._t), out=g)
        g /= scratch
        self._parameters -= g

    def logits(self, X: np.ndarray) -> np.ndarray:
        a = np.asarray(X, self.config.dtype)
        with np.errstate(all="ignore"):
            for W, b, name in zip(self._W, self._b, (*self.config.activation, None), strict=True):
                a = np.matmul(a, W)
                a += b
                if name is not None:
                    ACTIVATION[name][0](a)
        return a

    def weights(self) -> Weights:
        return tuple({"W": W.copy(), "b": b.copy()} for W, b in zip(self._W, self._b, strict=True))

    def set_weights(self, weights: Weights) -> None:
        for W, b, layer in zip(self._W, self._b, weights, strict=True):
            W[...], b[...] = layer["W"], layer["b"]

    def fit_native(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        config = self.config
        constants = [name for name in OPTIMIZER_CONSTANTS[config.optimizer] if name in config.written]
        network = NeuralNetwork(
            X.astype(config.dtype if "dtype" in config.written else np.float64),
            np.eye(config.n_outputs)[y],
            config.hidden,
            config.activation,
            config.optimizer,
            eta=config.learning_rate,
            lmbd=config.l2,
            batch_size=config.batch_size,
            epochs=config.epochs,
            seed=seed,
            **{name: getattr(config, name) for name in constants},
        )
        with np.errstate(all="ignore"):
            network.train()
        self.set_weights([{"W": W, "b": b} for W, b in zip(network.weights, network.biases, strict=True)])
        return NativeFit(epochs_run=config.epochs)


class NeuralNetwork:
    """The network of the lecture notes, as one writes it first: a few lines of algebra, nothing reused."""

    def __init__(self, X, targets, hidden, activation, optimizer, eta, lmbd, batch_size, epochs, seed, **constants):
        self.X, self.targets, self.activation, self.optimizer = X, targets.astype(X.dtype), activation, optimizer
        self.eta, self.lmbd, self.batch_size, self.epochs = eta, lmbd, batch_size, epochs
        self.constants = {"momentum": 0.9, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8} | constants
        self.rng = np.random.default_rng(seed)
        layers = (X.shape[1], *hidden, targets.shape[1])
        self.weights = [self.rng.standard_normal(shape).astype(X.dtype) for shape in pairwise(layers)]
        self.biases = [np.full(n_out, 0.01, X.dtype) for n_out in layers[1:]]
        self.m = [np.zeros_like(w) for w in self.weights + self.biases]  # velocity, or first moment
        self.v = [np.zeros_like(w) for w in self.weights + self.biases]  # second moment
        self.t = 0

    def train(self):
        n = len(self.X)
        for _ in range(self.epochs):
            for _ in range(n // self.batch_size):
                chosen = self.rng.choice(n, size=self.batch_size, replace=False)
                self.feed_forward(self.X[chosen])
                self.update(*self.back_propagation(self.targets[chosen]))

    def feed_forward(self, X):
        self.a = [X]
        for W, b, name in zip(self.weights, self.biases, (*self.activation, "softmax"), strict=True):
            z = self.a[-1] @ W + b
            if name == "sigmoid":
                self.a.append(1 / (1 + np.exp(-z)))
            elif name == "tanh":
                self.a.append(np.tanh(z))
            elif name == "relu":
                self.a.append(np.maximum(z, 0))
            else:
                exp_term = np.exp(z - z.max(axis=1, keepdims=True))
                self.a.append(exp_term / exp_term.sum(axis=1, keepdims=True))

    def back_propagation(self, targets):
        error = self.a[-1] - targets
        weight_gradients, bias_gradients = [], []
        for k in reversed(range(len(self.weights))):
            weight_gradients.insert(0, self.a[k].T @ error + self.lmbd * self.weights[k])
            bias_gradients.insert(0, error.sum(axis=0))
            if k > 0:
                a, name = self.a[k], self.activation[k - 1]
                derivative = {"sigmoid": a * (1 - a), "tanh": 1 - a**2, "relu": a > 0}[name]
                error = error @ self.weights[k].T * derivative
        return weight_gradients, bias_gradients

    def update(self, weight_gradients, bias_gradients):
        eta, momentum, beta_1, beta_2, epsilon = self.eta, *self.constants.values()
        self.t += 1
        for i, (w, g) in enumerate(zip(self.weights + self.biases, weight_gradients + bias_gradients, strict=True)):
            if self.optimizer == "sgd":
                w -= eta * g
            elif self.optimizer == "momentum":
                self.m[i] = momentum * self.m[i] + g
                w -= eta * self.m[i]
            elif self.optimizer == "nesterov":
                self.m[i] = momentum * self.m[i] + g
                w -= eta * (g + momentum * self.m[i])
            elif self.optimizer == "adam":
                self.m[i] = beta_1 * self.m[i] + (1 - beta_1) * g
                self.v[i] = beta_2 * self.v[i] + (1 - beta_2) * g**2
                m_hat, v_hat = self.m[i] / (1 - beta_1**self.t), self.v[i] / (1 - beta_2**self.t)
                w -= eta * m_hat / (np.sqrt(v_hat) + epsilon)
