"""The small problem that every conformance check trains, and what it takes for its result to be right."""

import pkgutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest import mock

import numpy as np

from harness.contract import Batches, Config, Trainer, Weights
from harness.data.prepared import Part
from harness.draws.batches import draw_batches
from harness.draws.generators import generator
from harness.draws.recipe import Recipe
from harness.draws.starts import draw_start
from harness.reference.activations import sigmoid
from harness.reference.trainer import Reference
from harness.training.floor import train_reference
from harness.training.parity import deviation, largest, tolerance

TrainerClass = type[Trainer]
Part_ = TypeVar("Part_")


class CheckFailed(AssertionError):
    """A trainer does not do what the contract says. The message gives what was seen and what was expected."""


class Unsupported(Exception):
    """The backend says that it cannot train this check's network; the message is its reason."""


# 23 rows in batches of 6 leave a last batch of 5; 5 inputs into 5 hidden units make a square matrix, which a
# transposition does not give away by its shape.
SMALL = Config.of(
    n_inputs=5,
    n_outputs=4,
    hidden=(5,),
    activation=("tanh",),
    optimizer="sgd",
    learning_rate=0.3,
    batch_size=6,
    epochs=5,
    l2=1e-2,
)
N_ROWS = 23
_PLAIN = Recipe()


def problem(config: Config = SMALL, n_rows: int = N_ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Random inputs, `(n_rows, n_inputs)`, and targets of the config's task that depend on them.

    Labels of every class; or, for a regression, numbers that lie on both sides of 0 and of a Huber loss's delta, but
    within what its output activation can reach.
    """
    rng = generator(0, "check", 0)
    X = rng.normal(size=(n_rows, config.network.units[0]))
    if config.task == "multiclass":
        y = np.arange(n_rows) % config.network.n_outputs
        X += rng.normal(size=(config.network.n_outputs, config.network.units[0]))[y]
        return X.astype(config.dtype), y
    scores = X @ rng.normal(size=(config.network.units[0], config.network.n_outputs)) + rng.normal(
        size=(n_rows, config.network.n_outputs)
    )
    if config.task in ("binary", "multilabel"):
        return X.astype(config.dtype), (scores > 0).astype(config.dtype)
    if config.loss.output.name in ("sigmoid", "tanh"):
        scores = sigmoid(scores)
    elif config.loss.output.name in ("relu", "softplus"):
        scores = np.abs(scores)
    return X.astype(config.dtype), scores.astype(config.dtype)


def rows_of(config: Config, n_rows: int = N_ROWS) -> Part:
    """The problem as the training rows of a split."""
    return Part(*problem(config, n_rows), np.arange(n_rows))


def start_of(config: Config, recipe: Recipe = _PLAIN) -> Weights:
    """A start in which nothing is at its usual value: a bias that is not zero is seen to be penalised at once."""
    rng = generator(0, "check-biases", 0)
    start = []
    for layer in draw_start(config, recipe, 0, 0):
        moved = {key: value + rng.normal(0.0, 0.5, value.shape) for key, value in layer.items() if key != "W"}
        if "gamma" in moved:
            moved |= {"gamma": 1 + 0.2 * moved["beta"], "variance": np.abs(moved["variance"]) + 0.5}
        start.append({**layer, **moved})
    return tuple({key: value.astype(config.dtype) for key, value in layer.items()} for layer in start)


def batches_of(config: Config, recipe: Recipe = _PLAIN, n_rows: int = N_ROWS) -> Batches:
    """A permutation an epoch, the last batch shorter, unless `recipe` says otherwise."""
    return draw_batches(config, recipe, n_rows, 0, 0)


def build(trainer_class: TrainerClass, config: Config, start: Weights | None = None) -> Trainer:
    """The trainer on a start (`start_of(config)`); `Unsupported` where the backend says so."""
    reason = trainer_class.refuses(config)
    if reason is not None:
        raise Unsupported(reason)
    return trainer_class(config, start or start_of(config))


def train(trainer_class: TrainerClass, config: Config, batches: Batches | None = None) -> Weights:
    """The weights at the end of a training of the small problem."""
    trainer = build(trainer_class, config)
    trainer.train(*problem(config), batches or batches_of(config), lambda epoch: False)
    return trainer.weights()


def compare(
    trainer_class: TrainerClass,
    config: Config,
    batches: Batches | None = None,
    start: Weights | None = None,
    n_rows: int = N_ROWS,
) -> str:
    """Train with backend and reference, and hold the deviation against the floor."""
    batches = batches or batches_of(config, n_rows=n_rows)
    trainer = build(trainer_class, config, start)
    trainer.train(*problem(config, n_rows), batches, lambda epoch: False)
    weights = trainer.weights()
    reference = train_reference(config, start or start_of(config), batches, rows_of(config, n_rows))
    expect_shapes(weights, config)
    return expect_close(weights, reference.weights, reference.floor, config.dtype)


def expect_close(weights: Weights, expected: Weights | None, floor: float | None, dtype: str) -> str:
    """Fail when the weights deviate by more than the floor allows."""
    assert expected is not None, "the reference diverged on a check's own problem"
    measured = deviation(weights, expected)
    allowed = tolerance(floor, dtype, largest(expected))
    assert measured is not None
    if not measured <= allowed:
        raise CheckFailed(f"deviation {measured:.2g} from the reference, allowed {allowed:.2g} (floor {floor:.2g})")
    return f"deviation {measured:.1e}, floor {floor:.1e}"


def expect_logits(
    trainer: Trainer, config: Config, weights: Weights, allowed: float | None = None, n_rows: int = N_ROWS
) -> float:
    """Fail when the trainer's logits are not those of `weights`; gives the largest difference."""
    X, _ = problem(config, n_rows)
    seen, expected = np.asarray(trainer.logits(X)), Reference(config, weights).logits(X)
    if seen.shape != expected.shape:
        raise CheckFailed(f"logits have shape {seen.shape}, expected {expected.shape}")
    off = float(np.abs(seen - expected).max())
    allowed = allowed or {"float64": 1e-12, "float32": 1e-5}[config.dtype]
    if not off <= allowed:
        from harness.linting.findings import double_softmax

        told = "".join(f" ({finding})" for finding in double_softmax(seen, config.task))
        names = ", ".join(layer.name for layer in config.network.layers)
        raise CheckFailed(f"logits behind {names} are off by {off:.2g}, allowed {allowed:.2g}{told}")
    return off


def expect_shapes(weights: Weights, config: Config) -> None:
    """Fail when shapes or dtype are not the contract's."""
    expected = [{key: value.shape for key, value in layer.items()} for layer in start_of(config)]
    seen = [{key: value.shape for key, value in layer.items()} for layer in weights]
    if seen != expected:
        raise CheckFailed(f"weights have shapes {seen}, expected {expected}")
    dtypes = {str(value.dtype) for layer in weights for value in layer.values()}
    if dtypes != {config.dtype}:
        raise CheckFailed(f"weights have dtype {', '.join(sorted(dtypes))}, expected {config.dtype}")


def each(parts: Iterable[Part_], check: Callable[[Part_], str]) -> str:
    """Check every part that the backend supports; `Unsupported` only where it supports none."""
    message, reason = "", ""
    for part in parts:
        try:
            message = check(part)
        except Unsupported as unsupported:
            reason = reason or str(unsupported)
    if not message:
        raise Unsupported(reason)
    return f"{message}; in part: {reason}" if reason else message


def compare_each(trainer_class: TrainerClass, configs: Iterable[Config], batches: Batches | None = None) -> str:
    """Train every configuration that the backend supports, and compare it with the reference."""
    return each(configs, lambda config: compare(trainer_class, config, batches))


@contextmanager
def disturbed(path: str) -> Iterator[None]:
    """Replace a function by one whose result is 1 % too large (or, where it returns nothing, that acts twice)."""
    owner_path, _, name = path.rpartition(".")
    try:
        owner = pkgutil.resolve_name(owner_path)
        original = getattr(owner, name)
    except (ImportError, AttributeError, ValueError):
        raise CheckFailed(f"`arithmetic` names {path}, which there is not") from None

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        return original(*args, **kwargs) if result is None else _enlarged(result, in_place="out" in kwargs)

    with mock.patch.object(owner, name, wrapper):
        yield


def _enlarged(result: Any, in_place: bool) -> Any:
    if isinstance(result, list | tuple):
        return type(result)(_enlarged(item, in_place) for item in result)
    if isinstance(result, dict):
        return {key: _enlarged(item, in_place) for key, item in result.items()}
    if in_place:
        result *= 1.01
        return result
    return result * 1.01
