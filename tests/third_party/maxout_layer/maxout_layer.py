"""Maxout, a layer for backend-harness. Source: Goodfellow et al., "Maxout networks", 2013."""

from dataclasses import dataclass
from typing import ClassVar

from harness.network import Layer, Parameter


@dataclass(frozen=True, slots=True)
class Maxout(Layer):
    """The largest of `pieces` affine functions of the inputs, for each unit; of equal ones the first."""

    name: ClassVar = "maxout"
    mixes: ClassVar = True
    parts: ClassVar = {
        "reference": "maxout_reference:MaxoutPass",
        "numpy": "maxout_numpy:MaxoutPass",
        "torch": "maxout_torch:maxout",
    }

    units: int
    pieces: int = 2

    def output_shape(self, shape):
        return (self.units,)

    def parameters(self, shape):
        fans = (shape[-1], self.units)
        outputs = self.units * self.pieces
        return {
            "W": Parameter((shape[-1], outputs), "weights", penalised=True, fans=fans, inputs=0),
            "b": Parameter((outputs,), "biases", fans=fans),
        }
