"""Everything that is left to chance, drawn once by the harness and handed to every backend alike.

Each draw has its own generator, keyed by (experiment seed, role, repeat) and never by a backend's name: all
backends, modes and cells of one repeat share split, start and batches, so their differences are paired.
"""

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy.special import ndtri  # type: ignore[import-untyped]

from harness.trainer import Batches, Config, Epoch, Weights

BATCHES = ("permutation", "independent", "replacement", "in_order", "one_permutation", "bootstrap", "skipping")
LAST_BATCH = ("keep", "drop", "merge")
SCHEDULES: dict[str, tuple[str, ...]] = {
    "constant": (),
    "step": ("decay_rate", "decay_steps"),
    "exponential": ("decay_rate", "decay_steps"),
    "inverse_time": ("decay_rate", "decay_steps"),
    "cosine": ("decay_steps", "final_factor"),
}
"""Every learning-rate schedule, with the constants that it reads."""


@dataclass(frozen=True)
class Recipe:
    """How start, batches and learning rates are drawn: the harness's part of a training, which no trainer sees.

    `init` is the law of the weights, `bias` a constant, `normal(sd)`, "torch_uniform" (±1/sqrt(n_in), what a
    `torch.nn.Linear` keeps when only its weights are drawn anew) or "as_weights", the law of `init`. `batches` is
    "permutation" (a new one each epoch), "independent" (each step draws its rows without replacement, whatever other
    steps drew), "replacement", "in_order", "one_permutation" (drawn before the first epoch, then always that order),
    "bootstrap" (n rows drawn with replacement, likewise) or "skipping" (in order, one row left out after each batch).
    `n_batches`, where given, stands in for a batch size; `last_batch` says whether a shorter one is kept, dropped, or
    merged with the one before it. Under "drop stride", which no experiment file has, a batch of "skipping" is dropped
    unless the row that is left out after it is there.
    """

    init: str = "glorot_uniform"
    bias: float | str = 0.0
    batches: str = "permutation"
    n_batches: int | None = None
    last_batch: str = "keep"
    schedule: str = "constant"
    decay_rate: float | None = None
    decay_steps: int | None = None
    final_factor: float = 0.0


def generator(seed: int, role: str, repeat: int, *parts: int) -> np.random.Generator:
    """The generator for one role in one repeat. Roles are words: "split", "start", "batches"."""
    return np.random.Generator(np.random.PCG64(_entropy(seed, role, repeat, *parts)))


def native_seed(seed: int, repeat: int) -> int:
    """The 31-bit seed that a framework's own fit is given in native mode: the same for every backend."""
    return _entropy(seed, "native", repeat) % 2**31


def _entropy(seed: int, role: str, repeat: int, *parts: int) -> int:
    text = f"{seed}/{role}/{repeat}" + "".join(f"/{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


@dataclass(frozen=True)
class Rows:
    """Which rows of the data set are for training, validation and testing: three `(n,)` int64 arrays."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def draw_split(
    n: int,
    test_fraction: float,
    validation_fraction: float,
    seed: int,
    repeat: int,
    labels: np.ndarray | None = None,
    folds: int | None = None,
    fold: int = 0,
) -> Rows:
    """Test rows are `ceil(test_fraction * n)`, validation rows likewise, the rest is for training.

    With `labels`, `(n,)`, the split is stratified: each class has its share of every part, to one row. With `folds`
    the rows that are not for testing are cut into that many parts of equal length, to one row, and the one with the
    number `fold` is for validation. Rows stand in the order of the dataset.
    """
    order = generator(seed, "split", repeat).permutation(n)
    if labels is None:
        labels = np.zeros(n, np.int64)
    test, rest = _take(order, share(n, test_fraction), labels)
    if folds is None:
        validation, train = _take(rest, share(n, validation_fraction), labels)
    else:
        number = np.empty(len(rest), np.int64)
        number[np.argsort(labels[rest], kind="stable")] = np.arange(len(rest)) % folds
        validation, train = rest[number == fold], rest[number != fold]
    return Rows(train=np.sort(train), validation=np.sort(validation), test=np.sort(test))


def _take(order: np.ndarray, count: int, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`count` of the rows, and the others; from each class alike. The first rows where there is but one class."""
    if len(np.unique(labels)) < 2:
        return order[:count], order[count:]
    by_class = np.argsort(labels[order], kind="stable")
    # rows at equal distances of the list sorted by class: of m in a row, count * m / n are taken, to one
    marks = np.arange(len(order) + 1) * count // max(len(order), 1)
    taken = np.zeros(len(order), bool)
    taken[by_class] = np.diff(marks) > 0
    return order[taken], order[~taken]


def share(n: int, fraction: float) -> int:
    """`ceil(fraction * n)`, after shaving the last bits off the product: 0.1 of 30 rows is 3, not 4."""
    return math.ceil(round(fraction * n, 9))


# name -> standard deviation of one weight, from the layer's (n_in, n_out).
# glorot: Glorot and Bengio, 2010. he: He et al., 2015. lecun: LeCun et al., 1998.
# torch: uniform within 1/sqrt(n_in), torch.nn.Linear's. sklearn: within sqrt(2/(n_in + n_out)), MLPClassifier's for
# "logistic".
_SPREAD: dict[str, Callable[[int, int], float]] = {
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
    for k, (n_in, n_out) in enumerate(pairwise(config.layers)):
        layer = {"W": _weights_of(recipe.init, n_in, n_out, rng.random((n_in, n_out)))}
        if recipe.bias in ("as_weights", "torch_uniform"):
            law = recipe.init if recipe.bias == "as_weights" else str(recipe.bias)
            bias = _weights_of(law, n_in, n_out, bias_rng.random(n_out))
        else:
            bias = _biases_of(recipe.bias, n_out, bias_rng)
        start.append({**layer, **rest_of_layer(config, k, bias)})
    return tuple({key: value.astype(config.dtype) for key, value in layer.items()} for layer in start)


def rest_of_layer(config: Config, k: int, bias: np.ndarray) -> dict[str, np.ndarray]:
    """What layer `k` holds beside its matrix: `bias`, or what batch normalisation has in its place."""
    if not (config.batch_norm and k < len(config.hidden)):
        return {"b": bias}
    ones, zeros = np.ones(len(bias)), np.zeros(len(bias))
    return {"gamma": ones, "beta": zeros, "mean": zeros, "variance": ones}


def _weights_of(init: str, n_in: int, n_out: int, u: np.ndarray) -> np.ndarray:
    """Weights from uniform draws in [0, 1)."""
    name, scale = parse_law(init)
    if name == "zeros":
        return np.zeros_like(u)
    family, _, law = name.rpartition("_")
    if family in _SPREAD:
        scale = _SPREAD[family](n_in, n_out) * (math.sqrt(3) if law == "uniform" else 1)
    if law == "uniform":
        return scale * (2 * u - 1)
    low = 0.022750131948179195 if family == "truncated" else 0.0  # the normal distribution function at -2
    tiny = np.finfo(np.float64).tiny
    normal: np.ndarray = scale * ndtri(np.maximum(low + (1 - 2 * low) * u, tiny))
    return normal


def _biases_of(bias: float | str, n_out: int, rng: np.random.Generator) -> np.ndarray:
    if isinstance(bias, str):
        return rng.normal(0.0, parse_law(bias)[1], n_out)
    return np.full(n_out, float(bias))


def batch_sizes(n: int, batch_size: int, recipe: Recipe) -> list[int]:
    """The rows of every step of an epoch.

    A number of batches is met exactly, with lengths that differ by one row, or, merged, in all but the last by none.
    """
    if recipe.n_batches is not None:
        if recipe.batches == "skipping":  # between two batches one row is left out
            n -= recipe.n_batches - 1
        each = n // recipe.n_batches
        if recipe.last_batch == "merge":
            return [each] * (recipe.n_batches - 1) + [n - each * (recipe.n_batches - 1)]
        return [len(part) for part in np.array_split(np.arange(n), recipe.n_batches)]
    stride = batch_size + 1 if recipe.batches == "skipping" else batch_size
    if recipe.last_batch == "drop stride":
        return [batch_size] * (n // stride)
    sizes = [min(batch_size, n - first) for first in range(0, n, stride)]
    short = sizes[-1] if sizes[-1] < batch_size else 0
    if short and recipe.last_batch == "drop":
        return sizes[:-1]
    if short and recipe.last_batch == "merge" and len(sizes) > 1:
        return [*sizes[:-2], batch_size + short]
    return sizes


def scheduled(config: Config, recipe: Recipe, step: np.ndarray, total: int) -> np.ndarray:
    """The learning rate at each of the steps (0 is the first) of a training of `total` steps.

    With `t` the step, `r` decay_rate, `s` decay_steps and `f` final_factor, the learning rate is multiplied by

        step           r ** floor(t / s)        exponential   r ** (t / s)        inverse_time   1 / (1 + r * t / s)
        cosine         f + (1 - f) * (1 + cos(pi * min(t / s, 1))) / 2, where `s` is the whole training unless given
    """
    if recipe.schedule == "constant":
        return np.full(len(step), config.learning_rate)
    t = step / (recipe.decay_steps or total)
    rate = recipe.decay_rate if recipe.decay_rate is not None else math.nan
    factor: np.ndarray
    if recipe.schedule == "step":
        factor = rate ** np.floor(t)
    elif recipe.schedule == "exponential":
        factor = rate**t
    elif recipe.schedule == "inverse_time":
        factor = 1 / (1 + rate * t)
    else:
        f = recipe.final_factor
        factor = f + (1 - f) * (1 + np.cos(np.pi * np.minimum(t, 1))) / 2
    return config.learning_rate * factor


@dataclass(frozen=True)
class DrawnBatches:
    """The batches of a training on `n` rows, as `recipe` says. Implements `harness.trainer.Batches`."""

    n: int
    config: Config
    recipe: Recipe
    seed: int
    repeat: int

    def __len__(self) -> int:
        return self.config.epochs

    def __getitem__(self, epoch: int) -> Epoch:
        if not 0 <= epoch < len(self):
            raise IndexError(f"epoch {epoch} of {len(self)}")
        rows = self.rows(epoch)
        steps, batch = rows.shape
        numbers = epoch * steps + np.arange(steps)
        learning_rate = scheduled(self.config, self.recipe, numbers, len(self) * steps)
        return Epoch(rows, learning_rate, self._masks(epoch, steps, batch))

    def rows(self, epoch: int) -> np.ndarray:
        """The rows of each step of one epoch, in the form of `Epoch.rows`; not to be changed."""
        sizes = tuple(batch_sizes(self.n, self.config.batch_size, self.recipe))
        law = self.recipe.batches
        drawn_at = 0 if law in ("bootstrap", "one_permutation") else epoch
        return _drawn_once(law, self.n, sizes, self.seed, self.repeat, drawn_at)

    def _masks(self, epoch: int, steps: int, batch: int) -> tuple[np.ndarray, ...]:
        """Which inputs and units are kept in one epoch, in the form of `Epoch.masks`."""
        layers = self.config.dropout_layers
        shapes = tuple((k, (steps, batch, self.config.layers[k])) for k in layers)
        drawn = _uniform_once(shapes, self.seed, self.repeat, epoch)
        return tuple(u >= self.config.dropout[k] for k, u in zip(layers, drawn, strict=True))


# The cells of one repeat share their rows, and what their masks are cut from: each is drawn once for all of them.
@lru_cache(maxsize=64)
def _drawn_once(law: str, n: int, sizes: tuple[int, ...], seed: int, repeat: int, epoch: int) -> np.ndarray:
    return padded(_draw_rows(law, n, sizes, generator(seed, "batches", repeat, epoch)))


@lru_cache(maxsize=1)  # large, and the members of a stack ask for one epoch after the other
def _uniform_once(
    shapes: tuple[tuple[int, tuple[int, ...]], ...], seed: int, repeat: int, epoch: int
) -> list[np.ndarray]:
    return [generator(seed, "dropout", repeat, epoch, k).random(shape) for k, shape in shapes]


def padded(drawn: Sequence[np.ndarray]) -> np.ndarray:
    """The rows of each step as one read-only array, `(steps, batch)`, filled up with -1."""
    rows = np.full((len(drawn), max(map(len, drawn), default=0)), -1, np.int64)
    for step, chosen in enumerate(drawn):
        rows[step, : len(chosen)] = chosen
    rows.setflags(write=False)
    return rows


def _draw_rows(law: str, n: int, sizes: Sequence[int], rng: np.random.Generator) -> list[np.ndarray]:
    if law == "independent":
        return [rng.choice(n, size=size, replace=False) for size in sizes]
    if law == "replacement":
        return [rng.integers(0, n, size=size) for size in sizes]
    if law == "skipping":
        first = np.cumsum([0, *(size + 1 for size in sizes)])[: len(sizes)]
        return [np.arange(begin, begin + size) for begin, size in zip(first, sizes, strict=True)]
    order = np.arange(n)
    if law in ("permutation", "one_permutation"):
        order = rng.permutation(n)
    elif law == "bootstrap":
        order = rng.integers(0, n, size=n)
    return np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1])


def draw_batches(config: Config, recipe: Recipe, n: int, seed: int, repeat: int) -> Batches:
    """The batches that every backend sees when it trains `config` on `n` rows in this repeat."""
    return DrawnBatches(n, config, recipe, seed, repeat)
