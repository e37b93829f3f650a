"""The weights of a network: one dict for each layer that owns any, and their names in files."""

from collections.abc import Mapping, Sequence

import numpy as np

Weights = tuple[dict[str, np.ndarray], ...]
"""One dict for each layer that owns any array, in the order of the layers; `Layer.parameters` says what it holds.

A dense layer has `"W"` `(n_in, n_out)` and, unless it is told to have none, `"b"` `(n_out,)`. Batch normalisation,
behind a dense layer without biases, which it would cancel, has `"gamma"`, `"beta"`, and the running `"mean"` and
`"variance"`, each `(n_out,)`.
"""


def stacked(members: Sequence[Weights]) -> Weights:
    """The weights of several networks of the same shapes, along a leading member axis."""
    layers = zip(*members, strict=True)
    return tuple({key: np.stack([layer[key] for layer in same]) for key in same[0]} for same in layers)


def member(weights: Weights, i: int) -> Weights:
    """The weights of one member of a stack."""
    return tuple({key: value[i] for key, value in layer.items()} for layer in weights)


def flatten(weights: Weights, prefix: str = "") -> dict[str, np.ndarray]:
    """Weights as `{"0/W": …, "0/b": …}`, the layout of every NPZ that we write."""
    return {f"{prefix}{k}/{key}": value for k, layer in enumerate(weights) for key, value in layer.items()}


def unflatten(arrays: Mapping[str, np.ndarray]) -> Weights:
    """The weights that `flatten` flattened, in today's numbers or those of before."""
    layers: dict[int, dict[str, np.ndarray]] = {}
    for name, value in renumbered(arrays).items():
        k, key = name.split("/")
        layers.setdefault(int(k), {})[key] = value
    return tuple(layers[k] for k in sorted(layers))


def renumbered(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Named arrays with batch normalisation as a layer of its own.

    Until version 0.2 its arrays stood beside the `W` before them, under one number: `0/W`, `0/gamma`, ….
    """
    names = [(*name.partition("/")[::2], name) for name in arrays]
    normalised = [int(k) for k, key, name in names if key == "gamma" and f"{k}/W" in arrays]
    if not normalised:
        return dict(arrays)
    result = {}
    for k, key, name in names:
        behind = key in ("gamma", "beta", "mean", "variance")
        moved = f"{int(k) + sum(other < int(k) for other in normalised) + behind}/{key}" if k.isdigit() else name
        result[moved] = arrays[name]
    return result
