"""A network: a list of layers, and the short way to write those that are dense throughout."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

from harness.network.activations import Activation
from harness.network.layers import BatchNorm, Dense, Dropout, Layer, Parameter, Shape


@dataclass(frozen=True)
class Network:
    """A list of layers; the last is the dense one whose outputs are the logits.

    What stands at the output belongs to the loss, not to the network.
    """

    input_shape: Shape
    layers: tuple[Layer, ...]

    def shapes(self) -> Iterator[tuple[Layer, Shape, Shape]]:
        """Each layer with the shapes of one row before and behind it."""
        shape = self.input_shape
        for layer in self.layers:
            before, shape = shape, layer.output_shape(shape)
            yield layer, before, shape

    def owners(self) -> Iterator[tuple[Layer, dict[str, Parameter]]]:
        """Each layer that owns any array, with these: the order of the weights."""
        for layer, before, _ in self.shapes():
            if parameters := layer.parameters(before):
                yield layer, parameters

    def drawn(self) -> Iterator[tuple[tuple[int, ...], Dropout, Shape]]:
        """Each layer that drops units, with the shape before it and the key of its masks.

        That is the number of dense layers before it; where several have the same, the further ones are counted.
        """
        dense = again = 0
        for layer, before, _ in self.shapes():
            if isinstance(layer, Dense):
                dense, again = dense + 1, 0
            elif isinstance(layer, Dropout):
                yield (dense, again) if again else (dense,), layer, before
                again += 1

    @property
    def dropouts(self) -> tuple[Dropout, ...]:
        """The layers that drop units, in the order of `Epoch.masks`."""
        return tuple(layer for layer in self.layers if isinstance(layer, Dropout))

    @property
    def size(self) -> tuple[int, int]:
        """How many weights it has, with a bias for each output of a layer, and how many outputs of a row these are.

        Counted are the layers with weight matrices: what the others hold is little beside it.
        """
        weights = outputs = 0
        for layer, before, behind in self.shapes():
            matrices = [prod(each.shape) for each in layer.parameters(before).values() if each.penalised]
            if matrices:
                weights, outputs = weights + sum(matrices) + prod(behind), outputs + prod(behind)
        return weights, outputs

    @property
    def units(self) -> tuple[int, ...]:
        """The units of the inputs and of every dense layer: `(64, 50, 10)`."""
        return (prod(self.input_shape), *(layer.units for layer in self.layers if isinstance(layer, Dense)))

    @property
    def n_outputs(self) -> int:
        """The number of logits."""
        last = self.layers[-1]
        assert isinstance(last, Dense)
        return last.units

    @cached_property
    def dense(self) -> dict[str, Any]:
        """The keys that write it as dense layers in a row, or an empty dict where they cannot.

        `hidden`, `activation` and `dropout` (the inputs first) as tuples, empty where nothing is dropped; `batch_norm`,
        and the constants of activations and batch normalisation by their keys.
        """
        return _dense(self) or {}


def dense_layers(
    hidden: tuple[int, ...],
    activation: tuple[Activation, ...],
    dropout: tuple[float, ...] = (),
    batch_norm: BatchNorm | None = None,
) -> tuple[Layer, ...]:
    """The layers of a multilayer perceptron before its logits: `drop -> dense -> (normalise) -> activation`.

    `dropout` holds the rate of the inputs and of each hidden layer, or nothing at all.
    """
    rates = dropout or (0.0,) * (len(hidden) + 1)
    layers: list[Layer] = []
    for rate, units, function in zip(rates, hidden, activation, strict=False):
        layers += [Dropout(rate)] if rate > 0 else []
        layers += [Dense(units)] if batch_norm is None else [Dense(units, use_bias=False), batch_norm]
        layers.append(function)
    layers += [Dropout(rates[len(hidden)])] if rates[len(hidden)] > 0 else []
    return tuple(layers)


def _dense(network: Network) -> dict[str, Any] | None:
    dense = [layer for layer in network.layers if isinstance(layer, Dense)]
    activation = tuple(layer for layer in network.layers if isinstance(layer, Activation))
    norms = [layer for layer in network.layers if isinstance(layer, BatchNorm)]
    rates = [0.0]
    for layer in network.layers:
        if isinstance(layer, Dense):
            rates.append(0.0)
        elif isinstance(layer, Dropout):
            rates[-1] = layer.rate
    hidden = tuple(layer.units for layer in dense[:-1])
    dropout = tuple(rates[:-1]) if any(rates) else ()
    numbers: dict[str, Any] = {}
    for entry in (*activation, *norms):
        if any(numbers.setdefault(key, value) != value for key, value in entry.numbers().items()):
            return None
    if len(network.input_shape) != 1 or not dense or len(activation) != len(hidden):
        return None
    norm = norms[0] if norms else None
    if dense_layers(hidden, activation, dropout, norm) != network.layers[:-1]:
        return None
    return {
        "hidden": hidden,
        "activation": tuple(layer.name for layer in activation),
        "dropout": dropout,
        "batch_norm": norm is not None,
        **numbers,
    }
