"""One forward and one backward pass a layer.

A batch is `(…, n, units)`: what stands before the rows are the members of a stack, in the arrays of a layer too, `W`
`(…, n_in, n_out)` and `b` `(…, n_out)`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.contract import Weights
from harness.network import BatchNorm, Dense, Dropout, Layer, Network
from harness.network.activations import Activation
from harness.network.installed import part_of
from harness.reference.activations import FUNCTIONS, activate, derivative

Masks = Sequence[np.ndarray]
Owned = dict[str, np.ndarray]


def _across(a: np.ndarray) -> np.ndarray:
    return a.swapaxes(-1, -2)


def _over_rows(a: np.ndarray) -> np.ndarray:
    """One number a unit, beside the rows of a batch."""
    return a[..., None, :]


class Pass:
    """A layer at work. It keeps of the forward pass what the way back needs.

    `owned` are its arrays, which an update changes; `gradients` fills `grads`, by the trained ones of them. Penalties
    count those that are `penalised`.
    """

    def __init__(self, layer: Any, owned: Owned) -> None:
        self.layer, self.owned = layer, owned
        self.grads: Owned = {}
        self.penalised: tuple[str, ...] = ()

    def forward(self, a: np.ndarray, training: bool) -> np.ndarray:
        """The outputs for the inputs `a`, in training or in inference mode."""
        raise NotImplementedError

    def gradients(self, delta: np.ndarray) -> None:
        """Fill the gradients, for the derivative of the loss by the outputs."""

    def back(self, delta: np.ndarray) -> np.ndarray:
        """The derivative of the loss by the inputs, for that by the outputs."""
        raise NotImplementedError

    def end_step(self) -> None:
        """Called when a step has been taken."""


class DensePass(Pass):
    """`a W + b`."""

    layer: Dense

    def forward(self, a: np.ndarray, training: bool) -> np.ndarray:
        self.inputs = a
        z: np.ndarray = a @ self.owned["W"]
        return z + _over_rows(self.owned["b"]) if self.layer.use_bias else z

    def gradients(self, delta: np.ndarray) -> None:
        if self.layer.use_bias:
            np.sum(delta, axis=-2, out=self.grads["b"])
        np.matmul(_across(self.inputs), delta, out=self.grads["W"])

    def back(self, delta: np.ndarray) -> np.ndarray:
        result: np.ndarray = delta @ _across(self.owned["W"])
        return result


class BatchNormPass(Pass):
    """`gamma * (z - mean) / sqrt(variance + epsilon) + beta`; the variance is the biased one.

    Source: Ioffe and Szegedy, 2015.
    """

    layer: BatchNorm

    def forward(self, a: np.ndarray, training: bool) -> np.ndarray:
        mean, variance = self.owned["mean"], self.owned["variance"]
        if training:
            mean, variance = self.moments = a.mean(axis=-2), a.var(axis=-2)
        self.deviation = _over_rows(np.sqrt(variance + self.layer.epsilon))
        self.normalised = (a - _over_rows(mean)) / self.deviation
        z: np.ndarray = _over_rows(self.owned["gamma"]) * self.normalised + _over_rows(self.owned["beta"])
        return z

    def gradients(self, delta: np.ndarray) -> None:
        np.sum(delta * self.normalised, axis=-2, out=self.grads["gamma"])
        np.sum(delta, axis=-2, out=self.grads["beta"])

    def back(self, delta: np.ndarray) -> np.ndarray:
        """The batch's moments depend on every row, so each row's error spreads."""
        delta = delta * _over_rows(self.owned["gamma"])
        along = _over_rows((delta * self.normalised).mean(axis=-2))
        spread = _over_rows(delta.mean(axis=-2)) + self.normalised * along
        result: np.ndarray = (delta - spread) / self.deviation
        return result

    def end_step(self) -> None:
        kept = self.layer.momentum
        for key, seen in zip(("mean", "variance"), self.moments, strict=True):
            self.owned[key][...] = kept * self.owned[key] + (1 - kept) * seen


class DropoutPass(Pass):
    """What `mask` has no True for is dropped, the rest divided by `1 - rate`. Source: Srivastava et al., 2014."""

    layer: Dropout
    mask: np.ndarray

    def forward(self, a: np.ndarray, training: bool) -> np.ndarray:
        return a * self.mask / (1 - self.layer.rate) if training else a

    def back(self, delta: np.ndarray) -> np.ndarray:
        result: np.ndarray = delta * self.mask / (1 - self.layer.rate)
        return result


class ActivationPass(Pass):
    """`nudged` moves each activation one unit in the last place towards 0, which is what another `exp` may give."""

    layer: Activation
    nudged = False

    def forward(self, a: np.ndarray, training: bool) -> np.ndarray:
        self.a = activate(self.layer, a)
        self.a = np.nextafter(self.a, 0) if self.nudged else self.a
        return self.a

    def back(self, delta: np.ndarray) -> np.ndarray:
        result: np.ndarray = delta * derivative(self.layer, self.a)
        return result


Kinds = Mapping[type[Layer], Callable[[Any, Owned], Pass]]

PASSES: Kinds = {
    **dict.fromkeys(FUNCTIONS, ActivationPass),
    Dense: DensePass,
    BatchNorm: BatchNormPass,
    Dropout: DropoutPass,
}
"""Layer -> how it works."""


def passes(network: Network, weights: Weights, kinds: Kinds = PASSES) -> list[Pass]:
    """The layers of a network at work on these arrays, which they own from now on."""
    owners = iter(weights)
    made = []
    for layer, before, _ in network.shapes():
        parameters = layer.parameters(before)
        kind = kinds.get(type(layer)) or part_of(layer, "reference")
        made.append(kind(layer, next(owners) if parameters else {}))
        trained = (key for key, parameter in parameters.items() if parameter.trainable)
        made[-1].grads = {key: np.zeros_like(made[-1].owned[key]) for key in trained}
        made[-1].penalised = tuple(key for key, parameter in parameters.items() if parameter.penalised)
    return made


def forward(layers: Sequence[Pass], X: np.ndarray, masks: Masks | None = None) -> list[np.ndarray]:
    """The outputs of every layer; the last are the logits. Without `masks` in inference mode.

    Training has a mask for each layer that drops units, `()` where none does.
    """
    if masks is not None:
        dropping = [layer for layer in layers if isinstance(layer, DropoutPass)]
        for layer, mask in zip(dropping, masks, strict=True):
            layer.mask = mask
    outputs, a = [], X
    for each in layers:
        a = each.forward(a, training=masks is not None)
        outputs.append(a)
    return outputs


def hidden_units(layers: Sequence[Pass], outputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Of the outputs of every layer those of the activations."""
    return [a for layer, a in zip(layers, outputs, strict=True) if isinstance(layer, ActivationPass)]


def back_propagate(
    layers: Sequence[Pass], delta: np.ndarray, filled: Callable[[Pass], None] = lambda layer: None
) -> None:
    """Fill the gradients of all layers, for the derivative of the loss by the logits.

    `filled` is called with each layer that has any, the last one first, before the error goes back through it.

    Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.
    """
    first = next(k for k, layer in enumerate(layers) if layer.grads)
    for k in reversed(range(first, len(layers))):
        layers[k].gradients(delta)
        if layers[k].grads:
            filled(layers[k])
        if k > first:
            delta = layers[k].back(delta)
