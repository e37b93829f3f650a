"""The reference: a plain NumPy trainer that defines what every hyperparameter means.

Short and clear before fast. Each backend, our own NumPy one included, is judged by how far its weights end from
these. With `a_0 = X` the network is

    z_k = a_{k-1} W_k + b_k        a_k = activation(z_k)        p = softmax(z_last)

and the loss of a batch is the mean (or sum) over its rows of `-log p[y]`, plus `(l2/2) * sum(W**2)`.
"""

from collections.abc import Callable

import numpy as np

from harness.trainer import AfterEpoch, Batches, Config, Trainer, Weights

Gradients = Weights


def sigmoid(z: np.ndarray) -> np.ndarray:
    """`1 / (1 + exp(-z))`, written so that neither tail overflows."""
    small = np.exp(-np.abs(z))
    a: np.ndarray = np.where(z >= 0, 1 / (1 + small), small / (1 + small))
    return a


def softmax(z: np.ndarray) -> np.ndarray:
    """Row-wise `exp(z) / sum(exp(z))`, shifted by the row's maximum, which changes nothing but the range."""
    e: np.ndarray = np.exp(z - z.max(axis=1, keepdims=True))
    e /= e.sum(axis=1, keepdims=True)
    return e


# name -> (activation of z, derivative written with the activation a)
ACTIVATION: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "sigmoid": (sigmoid, lambda a: a * (1 - a)),
    "tanh": (np.tanh, lambda a: 1 - a * a),
    "relu": (lambda z: np.maximum(z, 0), lambda a: (a > 0).astype(a.dtype)),
}


def forward(config: Config, weights: Weights, X: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The activations `[X, a_1, …]` of all layers but the last, and the logits."""
    activations = [X]
    for layer, name in zip(weights[:-1], config.activation, strict=True):
        activate, _ = ACTIVATION[name]
        activations.append(activate(activations[-1] @ layer["W"] + layer["b"]))
    return activations, activations[-1] @ weights[-1]["W"] + weights[-1]["b"]


def gradients(config: Config, weights: Weights, X: np.ndarray, y: np.ndarray) -> Gradients:
    """Back propagation through one batch: the derivative of its loss, penalty included, by every weight and bias.

    Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.
    """
    activations, logits = forward(config, weights, X)
    delta = softmax(logits)
    delta[np.arange(len(y)), y] -= 1
    if config.reduction == "mean":
        delta /= len(y)
    result = []
    for k in reversed(range(len(weights))):
        W = weights[k]["W"]
        result.append({"W": activations[k].T @ delta + config.l2 * W, "b": delta.sum(axis=0)})
        if k > 0:
            _, derivative = ACTIVATION[config.activation[k - 1]]
            delta = (delta @ W.T) * derivative(activations[k])
    return tuple(reversed(result))


# An optimizer's rule: (config, state of this tensor, gradient, learning rate, step from 1) -> what to subtract.
State = dict[str, np.ndarray]
Rule = Callable[[Config, State, np.ndarray, float, int], np.ndarray]


def sgd(config: Config, state: State, g: np.ndarray, learning_rate: float, t: int) -> np.ndarray:
    """`w -= lr * g`."""
    return learning_rate * g


def momentum(config: Config, state: State, g: np.ndarray, learning_rate: float, t: int) -> np.ndarray:
    """Heavy ball: `v = m*v + g; w -= lr * v`. Source: Polyak, 1964."""
    state["v"] = config.momentum * state.get("v", np.zeros_like(g)) + g
    return learning_rate * state["v"]


def nesterov(config: Config, state: State, g: np.ndarray, learning_rate: float, t: int) -> np.ndarray:
    """`v = m*v + g; w -= lr * (g + m*v)`. Source: Sutskever et al., 2013, rewritten as Bengio et al., 2013."""
    state["v"] = config.momentum * state.get("v", np.zeros_like(g)) + g
    return learning_rate * (g + config.momentum * state["v"])


def adam(config: Config, state: State, g: np.ndarray, learning_rate: float, t: int) -> np.ndarray:
    """Bias-corrected moments, epsilon outside the root. Source: Kingma and Ba, 2015, Algorithm 1."""
    state["m"] = config.beta_1 * state.get("m", np.zeros_like(g)) + (1 - config.beta_1) * g
    state["v"] = config.beta_2 * state.get("v", np.zeros_like(g)) + (1 - config.beta_2) * g * g
    m_hat = state["m"] / (1 - config.beta_1**t)
    v_hat = state["v"] / (1 - config.beta_2**t)
    return learning_rate * m_hat / (np.sqrt(v_hat) + config.epsilon)


RULES: dict[str, Rule] = {"sgd": sgd, "momentum": momentum, "nesterov": nesterov, "adam": adam}


class Reference(Trainer):
    """The definition, in the shape of a trainer, so that one piece of code trains it and the backends alike."""

    name = "reference"
    requires = ("numpy",)

    def __init__(self, config: Config, start: Weights | None) -> None:
        assert start is not None, "the reference has no native mode"
        self.config = config
        self.set_weights(start)
        self.state: list[dict[str, State]] = [{"W": {}, "b": {}} for _ in start]
        self.t = 0

    def train(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterEpoch) -> None:
        with np.errstate(all="ignore"):  # a training that diverges is a result, not a warning
            for e in range(len(batches)):
                epoch = batches[e]
                for rows, learning_rate in zip(epoch.batches(), epoch.learning_rate, strict=True):
                    self._update(X[rows], y[rows], float(learning_rate))
                if after_epoch(e + 1):
                    return

    def _update(self, X: np.ndarray, y: np.ndarray, learning_rate: float) -> None:
        self.t += 1
        rule = RULES[self.config.optimizer]
        for layer, state, grad in zip(
            self._weights, self.state, gradients(self.config, self._weights, X, y), strict=True
        ):
            for key, g in grad.items():
                layer[key] = layer[key] - rule(self.config, state[key], g, learning_rate, self.t)

    def logits(self, X: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return forward(self.config, self._weights, X)[1]

    def weights(self) -> Weights:
        return tuple({key: value.copy() for key, value in layer.items()} for layer in self._weights)

    def set_weights(self, weights: Weights) -> None:
        dtype = self.config.dtype
        self._weights = tuple({key: np.array(value, dtype) for key, value in layer.items()} for layer in weights)
