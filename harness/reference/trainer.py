"""The reference: a plain NumPy trainer that defines what every hyperparameter means.

Short and clear before fast. Each backend, our own NumPy one included, is judged by how far its weights end from
these. With `a_0 = X` the network is

    z_k = drop(a_{k-1}) W_k + b_k        a_k = activation(z_k)        o = output_activation(z_last)

or, with batch normalisation, `a_k = activation(gamma * normalised(drop(a_{k-1}) W_k) + beta)` in hidden layers. The
loss of a batch is the mean (or sum) over its rows of a row's loss, plus `(l2/2) * sum(W**2) + l1 * sum(abs(W))`. A
row's loss is `-log softmax(z)[y]`, or the mean over its outputs of one of these, with the error `e = o - y`:

    binary_cross_entropy  -y log(o) - (1 - y) log(1 - o)        mse  e**2        mae  abs(e)
    huber                 e**2 / 2 up to delta, then delta * (abs(e) - delta / 2)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.contract import AfterEpoch, Batches, Config, Trainer, Weights
from harness.network import SELU_ALPHA, SELU_SCALE, Optimizer
from harness.network.optimizers import SGD, Adagrad, AdagradMomentum, Adam, Momentum, Nesterov, Perceptron, RMSprop

Gradients = Weights
Masks = tuple[np.ndarray, ...]


def sigmoid(z: np.ndarray) -> np.ndarray:
    """`1 / (1 + exp(-z))`, written so that neither tail overflows."""
    small = np.exp(-np.abs(z))
    a: np.ndarray = np.where(z >= 0, 1, small) / (1 + small)
    return a


def softplus(z: np.ndarray) -> np.ndarray:
    """`log(1 + exp(z))`, written so that it does not overflow."""
    a: np.ndarray = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
    return a


def softmax(z: np.ndarray) -> np.ndarray:
    """Row-wise `exp(z) / sum(exp(z))`, shifted by the row's maximum, which changes nothing but the range."""
    e: np.ndarray = np.exp(z - z.max(axis=1, keepdims=True))
    e /= e.sum(axis=1, keepdims=True)
    return e


def _elu(z: np.ndarray, alpha: float) -> np.ndarray:
    a: np.ndarray = np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))
    return a


Activation = Callable[[np.ndarray, Config], np.ndarray]

# name -> (activation of z, derivative written with the activation a); at a kink the derivative is the left one
ACTIVATION: dict[str, tuple[Activation, Activation]] = {
    "identity": (lambda z, config: z, lambda a, config: np.ones_like(a)),
    "sigmoid": (lambda z, config: sigmoid(z), lambda a, config: a * (1 - a)),
    "tanh": (lambda z, config: np.tanh(z), lambda a, config: 1 - a * a),
    "relu": (lambda z, config: np.maximum(z, 0), lambda a, config: (a > 0).astype(a.dtype)),
    "leaky_relu": (
        lambda z, config: np.where(z > 0, z, config.leaky_slope * z),
        lambda a, config: np.where(a > 0, 1, config.leaky_slope).astype(a.dtype),
    ),
    "elu": (
        lambda z, config: _elu(z, config.elu_alpha),
        lambda a, config: np.where(a > 0, 1, a + config.elu_alpha).astype(a.dtype),
    ),
    "selu": (
        lambda z, config: SELU_SCALE * _elu(z, SELU_ALPHA),
        lambda a, config: np.where(a > 0, SELU_SCALE, a + SELU_SCALE * SELU_ALPHA).astype(a.dtype),
    ),
    "softplus": (lambda z, config: softplus(z), lambda a, config: -np.expm1(-a)),
    "heaviside": (lambda z, config: (z > 0).astype(z.dtype), lambda a, config: np.zeros_like(a)),
    "softmax": (lambda z, config: softmax(z), lambda a, config: np.full_like(a, np.nan)),  # see `output_error`
}


def output(config: Config, logits: np.ndarray) -> np.ndarray:
    """What the network answers: probabilities, or the values of a regression, `(n, n_outputs)`."""
    o: np.ndarray = ACTIVATION[config.output_activation][0](logits, config)
    return o


@dataclass
class Layer:
    """What one layer computed in the forward pass of a batch, kept for the way back."""

    inputs: np.ndarray  # after dropout
    a: np.ndarray  # the activation; in the last layer the logits
    normalised: np.ndarray | None = None  # with batch normalisation: (z - mean) / deviation
    statistics: tuple[np.ndarray, np.ndarray] | None = None  # and the batch's own mean and variance


def forward(
    config: Config, weights: Weights, X: np.ndarray, masks: Masks | None = None, nudged: bool = False
) -> list[Layer]:
    """All layers of the network. Without `masks` in inference mode, with them (`()` where nothing is dropped) in
    training: dropout divides what it keeps by `1 - rate`, and batch normalisation uses the batch's own moments.
    `nudged` moves each activation one unit in the last place towards 0, which is what another `exp` may give.

    Sources: Srivastava et al., 2014 (dropout, here inverted); Ioffe and Szegedy, 2015 (batch normalisation).
    """
    kept = {} if masks is None else dict(zip(config.dropout_layers, masks, strict=True))
    layers: list[Layer] = []
    a = X
    for k, weight in enumerate(weights):
        inputs = a * kept[k] / (1 - config.dropout[k]) if k in kept else a
        layer = Layer(inputs, inputs @ weight["W"])
        if "gamma" in weight:
            layer.a = _normalise(config, weight, layer, training=masks is not None)
        else:
            layer.a = layer.a + weight["b"]
        if k < len(config.hidden):
            a = ACTIVATION[config.activation[k]][0](layer.a, config)
            layer.a = a = np.nextafter(a, 0) if nudged else a
        layers.append(layer)
    return layers


def _normalise(config: Config, weight: dict[str, np.ndarray], layer: Layer, training: bool) -> np.ndarray:
    """`gamma * (z - mean) / sqrt(variance + epsilon) + beta`; the variance is the biased one."""
    mean, variance = weight["mean"], weight["variance"]
    if training:
        mean, variance = layer.statistics = layer.a.mean(axis=0), layer.a.var(axis=0)
    layer.normalised = (layer.a - mean) / np.sqrt(variance + config.batch_norm_epsilon)
    z: np.ndarray = weight["gamma"] * layer.normalised + weight["beta"]
    return z


def output_error(config: Config, logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The derivative of each row's loss by its logits, `(n, n_outputs)`."""
    o = output(config, logits)
    if config.loss.name == "cross_entropy":
        o[np.arange(len(y)), y] -= 1
        return o
    e: np.ndarray = o - y  # which is all for a logistic unit, whose derivative the loss cancels
    if config.loss.name == "mse":
        e = 2 * e
    elif config.loss.name == "mae":
        e = np.sign(e)
    elif config.loss.name == "huber":
        e = np.clip(e, -config.huber_delta, config.huber_delta)
    if config.task == "regression":
        e *= ACTIVATION[config.output_activation][1](o, config)
    e /= config.n_outputs
    return e


def gradients(config: Config, weights: Weights, layers: list[Layer], y: np.ndarray, masks: Masks = ()) -> Gradients:
    """Back propagation through one batch: the derivative of its loss, penalties included, by all that is trained.

    Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.
    """
    kept = dict(zip(config.dropout_layers, masks, strict=True))
    delta = output_error(config, layers[-1].a, y)
    if config.reduction == "mean":
        delta = delta / len(y)
    result = []
    for k in reversed(range(len(weights))):
        weight, layer, grad = weights[k], layers[k], {}
        if layer.normalised is not None:
            grad["gamma"], grad["beta"] = (delta * layer.normalised).sum(axis=0), delta.sum(axis=0)
            delta = _normalise_back(config, weight, layer, delta)
        else:
            grad["b"] = delta.sum(axis=0)
        W = weight["W"]
        grad["W"] = layer.inputs.T @ delta + config.l2 * W + config.l1 * np.sign(W)
        result.append(grad)
        if k > 0:
            delta = delta @ W.T
            if k in kept:
                delta = delta * kept[k] / (1 - config.dropout[k])
            delta = delta * ACTIVATION[config.activation[k - 1]][1](layers[k - 1].a, config)
    return clipped(config, tuple(reversed(result)))


def _normalise_back(config: Config, weight: dict[str, np.ndarray], layer: Layer, delta: np.ndarray) -> np.ndarray:
    """The error before batch normalisation. The batch's moments depend on every row, so each row's error spreads."""
    assert layer.normalised is not None
    assert layer.statistics is not None
    delta = delta * weight["gamma"]
    spread = delta.mean(axis=0) + layer.normalised * (delta * layer.normalised).mean(axis=0)
    result: np.ndarray = (delta - spread) / np.sqrt(layer.statistics[1] + config.batch_norm_epsilon)
    return result


def clipped(config: Config, grads: Gradients) -> Gradients:
    """`g * min(1, c / norm)`, the norm over all tensors together, or every element of `g` within -c and c.

    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013.
    """
    if config.clip_norm is not None:
        norm = np.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for layer in grads for g in layer.values()))
        if norm > config.clip_norm:
            grads = tuple({key: g * float(config.clip_norm / norm) for key, g in layer.items()} for layer in grads)
    if config.clip_value is not None:
        c = config.clip_value
        grads = tuple({key: np.clip(g, -c, c) for key, g in layer.items()} for layer in grads)
    return grads


# An optimizer's rule: (optimizer, state of this tensor, gradient, learning rate, step from 1) -> what to subtract.
State = dict[str, np.ndarray]
Rule = Callable[[Any, State, np.ndarray, float, int], np.ndarray]


def sgd(it: SGD | Perceptron, state: State, g: np.ndarray, learning_rate: float, t: int) -> np.ndarray:
    """`w -= lr * g`. With the loss "perceptron", whose error is the step's, Rosenblatt's rule of 1958."""
    return learning_rate * g


def momentum(it: Momentum, state: State, g: np.ndarray, learning_rate: float, t: int) -> np.ndarray:
    """Heavy ball: `v = m*v + g; w -= lr * v`. Source: Polyak, 1964."""
    state["v"] = it.momentum * state.get("v", np.zeros_like(g)) + g
    return learning_rate * state["v"]


def nesterov(it: Nesterov, state: State, g: np.ndarray, learning_rate: float, t: int) -> np.ndarray:
    """`v = m*v + g; w -= lr * (g + m*v)`. Source: Sutskever et al., 2013, rewritten as Bengio et al., 2013."""
    state["v"] = it.momentum * state.get("v", np.zeros_like(g)) + g
    return learning_rate * (g + it.momentum * state["v"])


def adagrad(it: Adagrad | AdagradMomentum, state: State, g: np.ndarray, learning_rate: float, t: int) -> np.ndarray:
    """`G += g**2; w -= lr * g / (sqrt(G) + epsilon)`. Source: Duchi, Hazan and Singer, 2011."""
    state["G"] = state.get("G", np.full_like(g, it.initial_accumulator)) + g * g
    return learning_rate * g / (np.sqrt(state["G"]) + it.epsilon)


def adagrad_momentum(it: AdagradMomentum, state: State, g: np.ndarray, learning_rate: float, t: int) -> np.ndarray:
    """`v = m*v + lr * g / (sqrt(G) + epsilon); w -= v`: Adagrad's step with a memory, as course notes have it."""
    v = state.get("v", np.zeros_like(g))
    state["v"] = it.momentum * v + adagrad(it, state, g, learning_rate, t)
    return state["v"]


def rmsprop(it: RMSprop, state: State, g: np.ndarray, learning_rate: float, t: int) -> np.ndarray:
    """`v = rho*v + (1 - rho)*g**2; w -= lr * g / (sqrt(v) + epsilon)`. Source: Tieleman and Hinton, 2012."""
    state["v"] = it.rho * state.get("v", np.zeros_like(g)) + (1 - it.rho) * g * g
    return learning_rate * g / (np.sqrt(state["v"]) + it.epsilon)


def adam(it: Adam, state: State, g: np.ndarray, learning_rate: float, t: int) -> np.ndarray:
    """Bias-corrected moments, epsilon outside the root. Source: Kingma and Ba, 2015, Algorithm 1."""
    state["m"] = it.beta_1 * state.get("m", np.zeros_like(g)) + (1 - it.beta_1) * g
    state["v"] = it.beta_2 * state.get("v", np.zeros_like(g)) + (1 - it.beta_2) * g * g
    m_hat = state["m"] / (1 - it.beta_1**t)
    v_hat = state["v"] / (1 - it.beta_2**t)
    return learning_rate * m_hat / (np.sqrt(v_hat) + it.epsilon)


RULES: dict[type[Optimizer], Rule] = {
    SGD: sgd,
    Momentum: momentum,
    Nesterov: nesterov,
    Adagrad: adagrad,
    AdagradMomentum: adagrad_momentum,
    RMSprop: rmsprop,
    Adam: adam,
    Perceptron: sgd,
}


class Reference(Trainer):
    """The definition, in the shape of a trainer, so that one piece of code trains it and the backends alike."""

    name = "reference"
    requires = ("numpy",)

    def __init__(self, config: Config, start: Weights | None, nudged: bool = False) -> None:
        assert start is not None, "the reference has no native mode"
        self.config = config
        self.nudged = nudged
        self.set_weights(start)
        self.state: list[dict[str, State]] = [{key: {} for key in layer} for layer in start]
        self.t = 0

    def train(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterEpoch) -> None:
        with np.errstate(all="ignore"):  # a training that diverges is a result, not a warning
            for e in range(len(batches)):
                epoch = batches[e]
                for step, (rows, learning_rate) in enumerate(zip(epoch.batches(), epoch.learning_rate, strict=True)):
                    self._update(X[rows], y[rows], float(learning_rate), epoch.step_masks(step))
                if after_epoch(e + 1):
                    return

    def _update(self, X: np.ndarray, y: np.ndarray, learning_rate: float, masks: Masks = ()) -> None:
        self.t += 1
        rule = RULES[type(self.config.optimizer)]
        passed = forward(self.config, self._weights, X, masks, self.nudged)
        grads = gradients(self.config, self._weights, passed, y, masks)
        for layer, seen, state, grad in zip(self._weights, passed, self.state, grads, strict=True):
            for key, g in grad.items():
                layer[key] = layer[key] - rule(self.config.optimizer, state[key], g, learning_rate, self.t)
            if seen.statistics is not None:
                kept = self.config.batch_norm_momentum
                for key, value in zip(("mean", "variance"), seen.statistics, strict=True):
                    layer[key] = kept * layer[key] + (1 - kept) * value

    def logits(self, X: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return forward(self.config, self._weights, X, nudged=self.nudged)[-1].a

    def weights(self) -> Weights:
        return tuple({key: value.copy() for key, value in layer.items()} for layer in self._weights)

    def set_weights(self, weights: Weights) -> None:
        dtype = self.config.dtype
        self._weights = tuple({key: np.array(value, dtype) for key, value in layer.items()} for layer in weights)
