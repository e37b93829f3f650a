"""The classic lecture class: what the backend `numpy` trains in native mode.

Gradients summed over the batch and the outputs, half the squared error, weights from N(0, 1), biases 0.01,
`n // batch_size` steps an epoch, each batch an independent draw without replacement.
"""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np

from harness import network
from harness.network import DEFAULTS, SELU_ALPHA, SELU_SCALE

# The constants of the lecture notes, for all that the experiment does not write.
LECTURE = {"dtype": "float64", "leaky_slope": 0.01, "elu_alpha": 1.0, "initial_accumulator": 0.0}
LECTURE |= {"beta_1": 0.9, "beta_2": 0.999, "rho": 0.9, "epsilon": 1e-8}


def _softmax(z):
    exp_term = np.exp(z - z.max(axis=1, keepdims=True))
    return exp_term / exp_term.sum(axis=1, keepdims=True)


def _elu(z, alpha):
    return np.where(z > 0, z, alpha * (np.exp(np.minimum(z, 0)) - 1))


# name -> (the activation of z, its derivative written with the activation a); c holds the constants
LECTURE_ACTIVATION = {
    "identity": (lambda z, c: z, lambda a, c: 1),
    "sigmoid": (lambda z, c: 1 / (1 + np.exp(-z)), lambda a, c: a * (1 - a)),
    "tanh": (lambda z, c: np.tanh(z), lambda a, c: 1 - a**2),
    "relu": (lambda z, c: np.maximum(z, 0), lambda a, c: a > 0),
    "leaky_relu": (lambda z, c: np.where(z > 0, z, c.leaky_slope * z), lambda a, c: np.where(a > 0, 1, c.leaky_slope)),
    "elu": (lambda z, c: _elu(z, c.elu_alpha), lambda a, c: np.where(a > 0, 1, a + c.elu_alpha)),
    "selu": (
        lambda z, c: SELU_SCALE * _elu(z, SELU_ALPHA),
        lambda a, c: np.where(a > 0, SELU_SCALE, a + SELU_SCALE * SELU_ALPHA),
    ),
    "softplus": (lambda z, c: np.logaddexp(0, z), lambda a, c: 1 - np.exp(-a)),
    "softmax": (lambda z, c: _softmax(z), None),
}


VOCABULARY = (
    *(network.Dense, network.CrossEntropy, network.BinaryCrossEntropy, network.MSE, network.MAE, network.Huber),
    *(network.ACTIVATIONS[name] for name in LECTURE_ACTIVATION),
    *(network.SGD, network.Momentum, network.Nesterov, network.Adagrad, network.AdagradMomentum),
    *(network.RMSprop, network.Adam),
)
"""What the class has."""


class NeuralNetwork:
    """The network of the lecture notes, as one writes it first: a few lines of algebra, nothing reused."""

    def __init__(self, config, X, targets, seed):
        self.config = SimpleNamespace(**DEFAULTS | config.keys)  # plain numbers, by the names of an experiment file
        self.X, self.targets = X.astype(config.dtype), targets.astype(config.dtype)
        self.rng = np.random.default_rng(seed)
        self.weights = [
            self.rng.standard_normal(shape).astype(config.dtype) for shape in pairwise(config.network.units)
        ]
        self.biases = [np.full(n_out, 0.01, config.dtype) for n_out in config.network.units[1:]]
        self.m = [np.zeros_like(w) for w in self.weights + self.biases]  # velocity, or first moment
        first = config.value("initial_accumulator") if config.optimizer.name.startswith("adagrad") else 0.0
        self.v = [np.full_like(w, first) for w in self.weights + self.biases]  # sum, or mean, of the squares
        self.t = 0

    def train(self):
        n, batch_size = len(self.X), self.config.batch_size
        for _ in range(self.config.epochs):
            for _ in range(n // batch_size):
                chosen = self.rng.choice(n, size=batch_size, replace=False)
                self.feed_forward(self.X[chosen])
                self.update(*self.back_propagation(self.targets[chosen]))

    def feed_forward(self, X):
        self.a = [X]
        names = (*self.config.activation, self.config.output_activation)
        for W, b, name in zip(self.weights, self.biases, names, strict=True):
            self.a.append(LECTURE_ACTIVATION[name][0](self.a[-1] @ W + b, self.config))

    def back_propagation(self, targets):
        weight_gradients, bias_gradients = [], []
        error = self.output_error(targets)
        for k in reversed(range(len(self.weights))):
            weight_gradients.insert(0, self.a[k].T @ error + self.config.l2 * self.weights[k])
            bias_gradients.insert(0, error.sum(axis=0))
            if k > 0:
                derivative = LECTURE_ACTIVATION[self.config.activation[k - 1]][1](self.a[k], self.config)
                error = error @ self.weights[k].T * derivative
        return weight_gradients, bias_gradients

    def output_error(self, targets):
        error, delta = self.a[-1] - targets, self.config.huber_delta
        if self.config.task != "regression":
            return error  # softmax with cross entropy, or sigmoid with binary cross entropy
        if self.config.loss == "mae":
            error = np.sign(error)
        elif self.config.loss == "huber":
            error = np.clip(error, -delta, delta)
        return error * LECTURE_ACTIVATION[self.config.output_activation][1](self.a[-1], self.config)

    def update(self, weight_gradients, bias_gradients):
        config, eta, name = self.config, self.config.learning_rate, self.config.optimizer
        self.t += 1
        for i, (w, g) in enumerate(zip(self.weights + self.biases, weight_gradients + bias_gradients, strict=True)):
            if name == "sgd":
                w -= eta * g
            elif name == "momentum":
                self.m[i] = config.momentum * self.m[i] + g
                w -= eta * self.m[i]
            elif name == "nesterov":
                self.m[i] = config.momentum * self.m[i] + g
                w -= eta * (g + config.momentum * self.m[i])
            elif name == "adagrad":
                self.v[i] += g**2
                w -= eta * g / (np.sqrt(self.v[i]) + config.epsilon)
            elif name == "adagrad_momentum":
                self.v[i] += g**2
                self.m[i] = config.momentum * self.m[i] + eta * g / (np.sqrt(self.v[i]) + config.epsilon)
                w -= self.m[i]
            elif name == "rmsprop":
                self.v[i] = config.rho * self.v[i] + (1 - config.rho) * g**2
                w -= eta * g / (np.sqrt(self.v[i]) + config.epsilon)
            elif name == "adam":
                self.m[i] = config.beta_1 * self.m[i] + (1 - config.beta_1) * g
                self.v[i] = config.beta_2 * self.v[i] + (1 - config.beta_2) * g**2
                m_hat, v_hat = self.m[i] / (1 - config.beta_1**self.t), self.v[i] / (1 - config.beta_2**self.t)
                w -= eta * m_hat / (np.sqrt(v_hat) + config.epsilon)
