"""The updates of a stack in TensorFlow, as the papers have them: `c` has the numbers of a step, `(members, 1, 1)`."""

from collections.abc import Callable

import tensorflow as tf

from harness import network


def sgd(w, g, slots, c):
    """`w -= lr * g`."""
    w.assign_sub(c["learning_rate"] * g)


def momentum(w, g, slots, c):
    """Heavy ball: `v = m*v + g; w -= lr * v`."""
    (v,) = slots
    w.assign_sub(c["learning_rate"] * v.assign(c["momentum"] * v + g))


def nesterov(w, g, slots, c):
    """`v = m*v + g; w -= lr * (g + m*v)`."""
    (v,) = slots
    w.assign_sub(c["learning_rate"] * (g + c["momentum"] * v.assign(c["momentum"] * v + g)))


def adagrad_step(g, G, c):
    """`G += g**2`, and `lr * g / (sqrt(G) + epsilon)`."""
    return c["learning_rate"] * g / (tf.sqrt(G.assign_add(g * g)) + c["epsilon"])


def adagrad(w, g, slots, c):
    """Duchi, Hazan and Singer, 2011: `w -= lr * g / (sqrt(G) + epsilon)`."""
    w.assign_sub(adagrad_step(g, slots[0], c))


def adagrad_momentum(w, g, slots, c):
    """Adagrad's step with a memory: `v = m*v + lr * g / (sqrt(G) + epsilon); w -= v`."""
    G, v = slots
    w.assign_sub(v.assign(c["momentum"] * v + adagrad_step(g, G, c)))


def rmsprop(w, g, slots, c):
    """Tieleman and Hinton, 2012: `v = rho*v + (1 - rho)*g**2; w -= lr * g / (sqrt(v) + epsilon)`."""
    (v,) = slots
    v.assign(c["rho"] * v + c["1 - rho"] * g * g)
    w.assign_sub(c["learning_rate"] * g / (tf.sqrt(v) + c["epsilon"]))


def adam(w, g, slots, c):
    """Kingma and Ba, 2015, Algorithm 1: bias-corrected moments, epsilon outside the root."""
    m, v = slots
    m.assign(c["beta_1"] * m + c["1 - beta_1"] * g)
    v.assign(c["beta_2"] * v + c["1 - beta_2"] * g * g)
    m_hat, v_hat = m / c["1 - beta_1**t"], v / c["1 - beta_2**t"]
    w.assign_sub(c["learning_rate"] * m_hat / (tf.sqrt(v_hat) + c["epsilon"]))


UPDATES: dict[type[network.Optimizer], tuple[Callable[..., None], tuple[str, ...]]] = {
    network.SGD: (sgd, ()),
    network.Momentum: (momentum, ("v",)),
    network.Nesterov: (nesterov, ("v",)),
    network.Adagrad: (adagrad, ("G",)),
    network.AdagradMomentum: (adagrad_momentum, ("G", "v")),
    network.RMSprop: (rmsprop, ("v",)),
    network.Adam: (adam, ("m", "v")),
}
"""The update, and the slot variables that it keeps for each weight; "G" starts at `initial_accumulator`."""
