"""Optimizers: one rule for each class of `harness/network/optimizers.py`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.network import Optimizer
from harness.network.optimizers import SGD, Adagrad, AdagradMomentum, Adam, Momentum, Nesterov, Perceptron, RMSprop

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
