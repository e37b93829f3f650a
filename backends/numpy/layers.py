"""The layers of the NumPy backend at work, for all members of a stack at once: `(members, units, rows)`.

The inputs of the network, which all members share, are `(units, rows)`, and so is what no layer has parted yet.

What a layer writes into is allocated once for each batch size, and wherever the mathematics allows it, it works in
place. `weights` and `gradients` are views of the matrices that the optimizer changes.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from backends.numpy.activations import ACTIVATION
from harness import network

Arrays = dict[str, np.ndarray]


def transposed(a: np.ndarray) -> np.ndarray:
    """The transposed matrix of every member."""
    return a.swapaxes(-1, -2)


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    """`a @ b` for every member; an outer product is three times as fast by multiplication."""
    return np.multiply(a, b, out=out) if a.shape[-1] == 1 else np.matmul(a, b, out=out)


class Pass:
    """A layer at work on `members` networks. `allocate(n)` precedes the first batch of n rows, `use(n)` every one."""

    in_place = True

    def __init__(self, layer: Any, shape: network.Shape, weights: Arrays, gradients: Arrays, members: int, dtype: str):
        self.layer, self.shape, self.weights, self.gradients = layer, shape, weights, gradients
        self.members, self.dtype = members, dtype
        self.buffers: dict[int, Any] = {}

    def empty(self, units: int, n: int) -> np.ndarray:
        """An array for a batch of n rows."""
        return np.empty((self.members, units, n), self.dtype)

    def apart(self, a: np.ndarray) -> np.ndarray:
        """The inputs of each member, where all have the same, `(units, rows)`."""
        return np.repeat(a[None], self.members, axis=0) if a.ndim == 2 else a

    def allocate(self, n: int) -> None:
        """Make what the layer writes into for batches of n rows."""

    def forward(self, a: np.ndarray, n: int) -> np.ndarray:
        """The outputs in training."""
        raise NotImplementedError

    def infer(self, a: np.ndarray) -> np.ndarray:
        """The outputs in inference mode; `a` may be spent."""
        raise NotImplementedError

    def differentiate(self, delta: np.ndarray, n: int) -> None:
        """Fill the gradients, for the derivative of the loss by the outputs."""

    def back(self, delta: np.ndarray, n: int) -> np.ndarray:
        """The derivative of the loss by the inputs."""
        raise NotImplementedError


class DensePass(Pass):
    """`W.T a + b`. Of the first layer the gradient is a product over the rows as they were taken: `rows`."""

    in_place = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.W, self.W_T = self.weights["W"], transposed(self.weights["W"])
        self.b = self.weights.get("b")

    def allocate(self, n: int) -> None:
        z, delta = self.empty(self.layer.units, n), self.empty(self.shape[-1], n)
        self.buffers[n] = z, delta, np.ones((n, 1), self.dtype)

    def forward(self, a: np.ndarray, n: int) -> np.ndarray:
        self.inputs = a
        z = np.matmul(self.W_T, a, out=self.buffers[n][0])
        if self.b is not None:
            z += self.b
        return z

    def infer(self, a: np.ndarray) -> np.ndarray:
        z = np.matmul(self.W_T, a)
        if self.b is not None:
            z += self.b
        return z

    def differentiate(self, delta: np.ndarray, n: int) -> None:
        if self.b is not None:  # the sum over the rows, three times as fast
            np.matmul(delta, self.buffers[n][2], out=self.gradients["b"])
        product(self.inputs, transposed(delta), out=self.gradients["W"])

    def back(self, delta: np.ndarray, n: int) -> np.ndarray:
        return product(self.W, delta, out=self.buffers[n][1])


class BatchNormPass(Pass):
    """`gamma * (z - mean) / sqrt(variance + epsilon) + beta`, in place; all four are `(members, units, 1)`."""

    def allocate(self, n: int) -> None:
        self.buffers[n] = np.ones((n, 1), self.dtype)

    def forward(self, a: np.ndarray, n: int) -> np.ndarray:
        """With the batch's own moments; the running ones follow."""
        a = self.apart(a)
        mean = a.mean(axis=2, keepdims=True)
        a -= mean
        variance = np.square(a).mean(axis=2, keepdims=True)
        self.deviation = np.sqrt(variance + self.layer.epsilon)
        a /= self.deviation
        self.normalised = a.copy()
        a *= self.weights["gamma"]
        kept = self.layer.momentum
        for running, value in ((self.weights["mean"], mean), (self.weights["variance"], variance)):
            running *= kept
            running += (1 - kept) * value
        a += self.weights["beta"]
        return a

    def infer(self, a: np.ndarray) -> np.ndarray:
        a = self.apart(a)
        a -= self.weights["mean"]
        a /= np.sqrt(self.weights["variance"] + self.layer.epsilon)
        a *= self.weights["gamma"]
        a += self.weights["beta"]
        return a

    def differentiate(self, delta: np.ndarray, n: int) -> None:
        np.matmul(delta, self.buffers[n], out=self.gradients["beta"])
        np.einsum("mun,mun->mu", delta, self.normalised, out=self.gradients["gamma"][..., 0])

    def back(self, delta: np.ndarray, n: int) -> np.ndarray:
        """`gamma / deviation * (delta - mean(delta) - normalised * mean(delta * normalised))`.

        The batch's moments depend on every row, so each row's error spreads to all.
        """
        self.normalised *= self.gradients["gamma"] / n
        delta -= self.normalised
        delta -= self.gradients["beta"] / n
        delta *= self.weights["gamma"] / self.deviation
        return delta


class DropoutPass(Pass):
    """Multiplies by `kept`: 0, or `1 / (1 - rate)`."""

    in_place = False

    def allocate(self, n: int) -> None:
        self.buffers[n] = self.empty(self.shape[-1], n), self.empty(self.shape[-1], n)

    def draw(self, mask: np.ndarray, factor: np.ndarray, n: int) -> None:
        """What each unit is multiplied by, for masks `(members, rows, units)`."""
        np.multiply(transposed(mask), factor, out=self.buffers[n][0])

    def forward(self, a: np.ndarray, n: int) -> np.ndarray:
        kept, out = self.buffers[n]
        return np.multiply(a, kept, out=out)

    def infer(self, a: np.ndarray) -> np.ndarray:
        return a

    def back(self, delta: np.ndarray, n: int) -> np.ndarray:
        delta *= self.buffers[n][0]
        return delta


class ActivationPass(Pass):
    """An activation in place; its way back may spend what it gave, which nobody after it may change: see `keeps`."""

    keeps = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.activate, self.activate_back = ACTIVATION[type(self.layer)](self.layer)

    def forward(self, a: np.ndarray, n: int) -> np.ndarray:
        self.activate(a)
        self.a = a.copy() if self.keeps else a
        return a

    def infer(self, a: np.ndarray) -> np.ndarray:
        self.activate(a)
        return a

    def back(self, delta: np.ndarray, n: int) -> np.ndarray:
        self.activate_back(delta, self.a)
        return delta


PASSES: dict[type[network.Layer], Callable[..., Pass]] = {
    network.Dense: DensePass,
    network.BatchNorm: BatchNormPass,
    network.Dropout: DropoutPass,
    **dict.fromkeys(ACTIVATION, ActivationPass),
}
"""Layer -> how it works."""


def passes(
    net: network.Network, weights: Sequence[Arrays], gradients: Sequence[Arrays], members: int, dtype: str
) -> list[Pass]:
    """The layers of a stack at work on these arrays, one dict for each layer that owns any."""
    owners = iter(zip(weights, gradients, strict=True))
    made: list[Pass] = []
    for layer, shape, _ in net.shapes():
        owned = next(owners) if layer.parameters(shape) else ({}, {})
        part = PASSES.get(type(layer)) or network.part_of(layer, "numpy")
        made.append(part(layer, shape, *owned, members, dtype))
    for each, following in pairwise(made):
        if isinstance(each, ActivationPass):
            each.keeps = following.in_place
    return made
