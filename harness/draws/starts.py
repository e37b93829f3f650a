"""Where weights and biases begin: the laws, and the draw."""

import math
import re
from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import ndtri  # type: ignore[import-untyped]

from harness.contract import Config, Weights
from harness.draws.generators import generator
from harness.draws.recipe import Recipe
from harness.network import Dense, Parameter

# name -> standard deviation of one weight, from the layer's (n_in, n_out).
# glorot: Glorot and Bengio, 2010. he: He et al., 2015. lecun: LeCun et al., 1998.
# torch: uniform within 1/sqrt(n_in), torch.nn.Linear's. sklearn: within sqrt(2/(n_in + n_out)), MLPClassifier's for
# "logistic".
SPREAD: dict[str, Callable[[int, int], float]] = {
    "glorot": lambda n_in, n_out: math.sqrt(2 / (n_in + n_out)),
    "he": lambda n_in, n_out: math.sqrt(2 / n_in),
    "lecun": lambda n_in, n_out: math.sqrt(1 / n_in),
    "torch": lambda n_in, n_out: math.sqrt(1 / (3 * n_in)),
    "sklearn": lambda n_in, n_out: math.sqrt(2 / (3 * (n_in + n_out))),
}
_SCALED = ("normal", "truncated_normal", "uniform")
INITS: tuple[str, ...] = (
    *(f"{family}_{law}" for family in ("glorot", "he", "lecun") for law in ("uniform", "normal")),
    "torch_uniform",
    "sklearn_uniform",
    *(f"{law}(number)" for law in _SCALED),
    "zeros",
)
"""Every law of a start; `normal(0.1)` has a standard deviation of 0.1, `uniform(0.1)` lies within ±0.1."""

_PARENTHESIS = re.compile(r"([a-z_]+)(?:\(([^()]*)\))?")


def parse_law(text: str) -> tuple[str, float]:
    """`"normal(0.1)"` as `("normal", 0.1)`; a bare `"normal"` has 1, and `"he_normal"` or `"zeros"` needs no number.

    Raises `ValueError` for a text that is no law.
    """
    match = _PARENTHESIS.fullmatch(text)
    name, number = match.groups() if match else (text, None)
    if name in _SCALED:
        scale = 1.0 if number is None else float(number)
        if not 0 < scale < math.inf:
            raise ValueError(f"{text}: the number must be positive")
        return name, scale
    if number is not None or name not in INITS:
        raise ValueError(f"unknown law {text!r}")
    return name, 1.0


def draw_start(config: Config, recipe: Recipe, seed: int, repeat: int) -> Weights:
    """Initial weights for every layer of the network: drawn in float64, then rounded to its dtype.

    Every law is the image of one uniform draw, so that two starts of one repeat are as alike as their laws allow.
    "uniform" families draw from ±sqrt(3) standard deviations, so that both laws of a family have the same spread; a
    truncated normal is cut at two standard deviations, those of the law before the cut. With batch normalisation
    gamma and the running variance start at 1, beta and the running mean at 0.
    """
    rng = generator(seed, "start", repeat)
    bias_rng = generator(seed, "biases", repeat)
    start = []
    for layer, parameters in config.network.owners():
        owned = initial(parameters)
        for key, each in parameters.items():
            if each.init == "weights":
                owned[key] = _weights_of(recipe.init, *each.fans, rng.random(each.shape))
            elif each.init == "biases":
                owned[key] = _biases_of(recipe, *each.fans, each.shape, bias_rng)
        if isinstance(layer, Dense) and not layer.use_bias:  # what follows begins as it would with one
            _biases_of(recipe, *parameters["W"].fans, (layer.units,), bias_rng)
        start.append(owned)
    return tuple({key: value.astype(config.dtype) for key, value in layer.items()} for layer in start)


def initial(parameters: Mapping[str, Parameter]) -> dict[str, np.ndarray]:
    """The arrays of a layer where each starts at a number: 0 in place of a law."""
    numbers = {key: each.init if isinstance(each.init, float) else 0.0 for key, each in parameters.items()}
    return {key: np.full(each.shape, numbers[key]) for key, each in parameters.items()}


def _weights_of(init: str, n_in: int, n_out: int, u: np.ndarray) -> np.ndarray:
    """Weights from uniform draws in [0, 1)."""
    name, scale = parse_law(init)
    if name == "zeros":
        return np.zeros_like(u)
    family, _, law = name.rpartition("_")
    if family in SPREAD:
        scale = SPREAD[family](n_in, n_out) * (math.sqrt(3) if law == "uniform" else 1)
    if law == "uniform":
        return scale * (2 * u - 1)
    low = 0.022750131948179195 if family == "truncated" else 0.0  # the normal distribution function at -2
    tiny = np.finfo(np.float64).tiny
    normal: np.ndarray = scale * ndtri(np.maximum(low + (1 - 2 * low) * u, tiny))
    return normal


def _biases_of(recipe: Recipe, n_in: int, n_out: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    bias = recipe.bias
    if isinstance(bias, str) and bias in ("as_weights", "torch_uniform"):
        return _weights_of(recipe.init if bias == "as_weights" else bias, n_in, n_out, rng.random(shape))
    if isinstance(bias, str):
        return rng.normal(0.0, parse_law(bias)[1], shape)
    return np.full(shape, float(bias))
