"""A start that was given, in place of one that is drawn: weights from an NPZ file."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import numpy as np

from harness.contract import Config, Weights
from harness.draws.starts import initial
from harness.network import Parameter
from harness.network.weights import renumbered
from harness.network.written import network_text
from harness.support.errors import RequestError
from harness.support.npz import read_arrays


@dataclass(frozen=True)
class GivenStart:
    """Weights from a file. `digest` stands for their values in a trial's id."""

    layers: Weights
    digest: str

    def weights(self, config: Config) -> Weights:
        """The weights in the network's dtype."""
        return tuple({key: value.astype(config.dtype) for key, value in layer.items()} for layer in self.layers)


def read_start(name: str, config: Config, source: str) -> GivenStart:
    """The start in an NPZ file: arrays `0/W`, `0/b`, `1/W`, …, or those that `harness dump` writes as `start/0/W`, ….

    A layer's bias may be left out, which means zeros. Raises `RequestError` where the file does not fit the network.
    """
    where = f"{source}: network.init = {Path(name).name!r}"
    try:
        arrays = read_arrays(Path(name), None, where, f"{name} is looked for, beside the experiment file")
    except RequestError:
        raise
    except ValueError as error:
        raise RequestError(f"{where}: not an NPZ file of plain arrays ({error}); write one by numpy.savez") from None
    if not any(key.startswith("0/") for key in arrays):
        arrays = {key.removeprefix("start/"): value for key, value in arrays.items() if key.startswith("start/")}
    if not arrays:
        raise RequestError(f"{where}: holds no weights; expected arrays named 0/W, 0/b, 1/W, …")
    arrays = renumbered(arrays)
    layers = []
    for k, (_, parameters) in enumerate(config.network.owners()):
        layer = initial(parameters)
        for key, parameter in parameters.items():
            if f"{k}/{key}" in arrays:
                layer[key] = _checked(arrays.pop(f"{k}/{key}"), key, parameter, f"{where}: {k}/{key}")
            elif parameter.init == "weights":
                raise RequestError(f"{where}: has no array {k}/{key}; expected shape {parameter.shape}")
        layers.append(layer)
    if arrays:
        known = shorten(", ".join(network_text(config.network.input_shape, config.network.layers)), 200)
        raise RequestError(
            f"{where}: {', '.join(sorted(arrays)[:3])} do not belong to a network of {known}; leave them out"
        )
    digest = hashlib.sha256(b"".join(value.tobytes() for layer in layers for value in layer.values())).hexdigest()
    return GivenStart(tuple(layers), f"file:{digest}")


def _checked(value: np.ndarray, key: str, parameter: Parameter, where: str) -> np.ndarray:
    if value.dtype.kind not in "fiu" or value.shape != parameter.shape:
        raise RequestError(f"{where} has shape {value.shape}, expected numbers of shape {parameter.shape}")
    if not np.isfinite(value).all() or (key == "variance" and (value < 0).any()):
        allowed = "finite numbers" + (" of at least 0" if key == "variance" else "")
        raise RequestError(f"{where} must hold {allowed}")
    return value.astype(np.float64)
