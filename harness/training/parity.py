"""What "equal" means: deviation from the reference, judged against the reference's own floor.

The floor is how far the reference moves from itself under a change of rounding only (see `floor.py`). A cell whose
floor is large is chaotic: there no backend can be blamed.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.contract import Batches, Epoch, Weights
from harness.network import Network

Verdict = Literal["agrees", "differs", "chaotic", "unchecked"]

_TOLERANCE = {"float64": 1e-12, "float32": 1e-4}
_CHAOTIC = {"float64": 1e-6, "float32": 1e-2}
_FLOORS = 100


def deviation(weights: Weights | None, reference: Weights | None) -> float | None:
    """Largest absolute difference of two trainings' weights and biases.

    None stands for a training that diverged: `inf` where only one of the two did, None where both did.
    """
    if weights is None and reference is None:
        return None
    if weights is None or reference is None:
        return math.inf
    return max(
        float(np.max(np.abs(layer[key].astype(np.float64) - other[key].astype(np.float64)), initial=0.0))
        for layer, other in zip(weights, reference, strict=True)
        for key in other
    )


def largest(weights: Weights | None) -> float:
    """The largest absolute weight or bias, but at least 1: what a rounding error is measured by."""
    if weights is None:
        return 1.0
    return max(1.0, *(float(np.max(np.abs(value), initial=0.0)) for layer in weights for value in layer.values()))


def tolerance(floor: float | None, dtype: str, scale: float = 1.0) -> float:
    """The largest deviation that still agrees: 100 floors, but at least 1e-12 (float64) or 1e-4 (float32).

    The latter are for weights up to 1; in a training on its way to infinity they are multiplied by the largest weight.
    """
    return max(_FLOORS * (floor or 0.0), _TOLERANCE[dtype] * scale)


def is_chaotic(floor: float | None, dtype: str) -> bool:
    """Whether the reference parts from itself by more than 1e-6 (float64) or 1e-2 (float32)."""
    return floor is not None and floor > _CHAOTIC[dtype]


def judge(status: str, deviation: float | None, floor: float | None, dtype: str, scale: float = 1.0) -> Verdict:
    """The verdict on a controlled trial whose reference is known, `scale` its largest weight.

    Two trainings that both diverge agree.
    """
    if status not in ("ok", "diverged"):
        return "unchecked"
    if is_chaotic(floor, dtype):
        return "chaotic"
    return "agrees" if deviation is None or deviation <= tolerance(floor, dtype, scale) else "differs"


@dataclass(frozen=True)
class ReversedRows:
    """The same batches with the rows inside each of them reversed: other roundings, the same mathematics."""

    batches: Batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, epoch: int) -> Epoch:
        drawn = self.batches[epoch]
        rows = np.full_like(drawn.rows, -1)
        masks = tuple(mask.copy() for mask in drawn.masks)
        for step, batch in enumerate(drawn.batches()):
            rows[step, : len(batch)] = batch[::-1]
            for mask, drawn_mask in zip(masks, drawn.step_masks(step), strict=True):
                mask[step, : len(batch)] = drawn_mask[::-1]
        return Epoch(rows, drawn.learning_rate, masks)


@dataclass(frozen=True)
class ReversedInputs:
    """The same batches for inputs whose columns stand in reversed order: the first `masks`, of these, go with them."""

    batches: Batches
    masks: int

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, epoch: int) -> Epoch:
        drawn = self.batches[epoch]
        masks = tuple(mask[:, :, ::-1] if k < self.masks else mask for k, mask in enumerate(drawn.masks))
        return Epoch(drawn.rows, drawn.learning_rate, masks)


def reverse_inputs(network: Network, weights: Weights) -> Weights:
    """The weights for inputs whose columns stand in reversed order. Applied twice it gives the weights back.

    Those of the layers up to the first that mixes its inputs go with them.
    """
    reversed_weights = list(weights)
    owners = iter(range(len(weights)))
    for layer, before, _ in network.shapes():
        if parameters := layer.parameters(before):
            k = next(owners)
            along = {key: each.inputs for key, each in parameters.items() if each.inputs is not None}
            reversed_weights[k] = weights[k] | {
                key: np.flip(weights[k][key], axis).copy() for key, axis in along.items()
            }
        if layer.mixes:
            break
    return tuple(reversed_weights)
