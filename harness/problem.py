"""The small problem that every conformance check trains, and what it takes for its result to be right."""

import pkgutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np

from harness.draws import Permutations, draw_start, generator
from harness.parity import deviation, tolerance
from harness.reference import Reference
from harness.trainer import Batches, Config, Epoch, Trainer, Weights
from harness.training import train_reference

TrainerClass = type[Trainer]


class CheckFailed(AssertionError):
    """A trainer does not do what the contract says. The message gives what was seen and what was expected."""


class Unsupported(Exception):
    """The backend says that it cannot train this check's network; the message is its reason."""


# 23 rows in batches of 6 leave a last batch of 5; 5 inputs into 5 hidden units make a square matrix, which a
# transposition does not give away by its shape.
SMALL = Config(
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


def problem(dtype: str = "float64", config: Config = SMALL) -> tuple[np.ndarray, np.ndarray]:
    """`N_ROWS` random inputs, and labels of every class that the inputs depend on."""
    rng = generator(0, "check", 0)
    X = rng.normal(size=(N_ROWS, config.n_inputs))
    y = np.arange(N_ROWS) % config.n_outputs
    X += rng.normal(size=(config.n_outputs, config.n_inputs))[y]
    return X.astype(dtype), y


def start_of(config: Config) -> Weights:
    """A start whose biases are not zero: a penalty on them then shows from the first step."""
    rng = generator(0, "check-biases", 0)
    start = draw_start(config.layers, config.init, config.dtype, 0, 0)
    return tuple({**layer, "b": rng.normal(0.0, 0.5, layer["b"].shape).astype(config.dtype)} for layer in start)


def batches_of(config: Config) -> Permutations:
    """A permutation an epoch, the last batch shorter."""
    return Permutations(N_ROWS, config.batch_size, config.epochs, config.learning_rate, 0, 0)


def build(trainer_class: TrainerClass, config: Config) -> Trainer:
    """The trainer on its start; `Unsupported` where the backend says so."""
    reason = trainer_class.unsupported(config)
    if reason is not None:
        raise Unsupported(reason)
    return trainer_class(config, start_of(config))


def train(trainer_class: TrainerClass, config: Config, batches: Batches | None = None) -> Weights:
    """The weights at the end of a training of the small problem."""
    trainer = build(trainer_class, config)
    trainer.train(*problem(config.dtype, config), batches or batches_of(config), lambda epoch: False)
    return trainer.weights()


def compare(trainer_class: TrainerClass, config: Config, batches: Batches | None = None) -> str:
    """Train with backend and reference, and hold the deviation against the floor."""
    batches = batches or batches_of(config)
    weights = train(trainer_class, config, batches)
    reference = train_reference(config, start_of(config), batches, *problem(config.dtype, config))
    expect_shapes(weights, config)
    return expect_close(weights, reference.weights, reference.floor, config.dtype)


def expect_close(weights: Weights, expected: Weights | None, floor: float | None, dtype: str) -> str:
    """Fail when the weights deviate by more than the floor allows."""
    assert expected is not None, "the reference diverged on a check's own problem"
    measured = deviation(weights, expected)
    allowed = tolerance(floor, dtype)
    assert measured is not None
    if not measured <= allowed:
        raise CheckFailed(f"deviation {measured:.2g} from the reference, allowed {allowed:.2g} (floor {floor:.2g})")
    return f"deviation {measured:.1e}, floor {floor:.1e}"


def expect_logits(trainer: Trainer, config: Config, weights: Weights, allowed: float | None = None) -> float:
    """Fail when the trainer's logits are not those of `weights`; gives the largest difference."""
    X, _ = problem(config.dtype, config)
    seen, expected = np.asarray(trainer.logits(X)), Reference(config, weights).logits(X)
    if seen.shape != expected.shape:
        raise CheckFailed(f"logits have shape {seen.shape}, expected {expected.shape}")
    off = float(np.abs(seen - expected).max())
    allowed = allowed or {"float64": 1e-12, "float32": 1e-5}[config.dtype]
    if not off <= allowed:
        raise CheckFailed(f"logits with {', '.join(config.activation)} are off by {off:.2g}, allowed {allowed:.2g}")
    return off


def expect_shapes(weights: Weights, config: Config) -> None:
    """Fail when shapes or dtype are not the contract's."""
    expected = [(n_in, n_out) for n_in, n_out in zip(config.layers[:-1], config.layers[1:], strict=True)]
    seen = [layer["W"].shape for layer in weights]
    if seen != expected or [layer["b"].shape for layer in weights] != [(n_out,) for _, n_out in expected]:
        raise CheckFailed(f"weights have shapes {seen}, expected {expected}, and biases (n_out,)")
    dtypes = {str(value.dtype) for layer in weights for value in layer.values()}
    if dtypes != {config.dtype}:
        raise CheckFailed(f"weights have dtype {', '.join(sorted(dtypes))}, expected {config.dtype}")


@dataclass(frozen=True)
class FallingRate:
    """Batches whose learning rate falls from step to step."""

    batches: Permutations

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, epoch: int) -> Epoch:
        drawn = self.batches[epoch]
        steps = epoch * len(drawn.learning_rate) + np.arange(len(drawn.learning_rate))
        return Epoch(drawn.rows, drawn.learning_rate / (1 + 0.1 * steps))


def each(parts: Iterable[str], check: Callable[[str], str]) -> str:
    """Check every part that the backend supports; `Unsupported` only where it supports none."""
    message, reason = "", ""
    for part in parts:
        try:
            message = check(part)
        except Unsupported as unsupported:
            reason = str(unsupported)
    if not message:
        raise Unsupported(reason)
    return message


@contextmanager
def disturbed(path: str) -> Iterator[None]:
    """Replace a function by one whose result is 1 % too large (or, where it returns nothing, that acts twice)."""
    owner_path, _, name = path.rpartition(".")
    owner = pkgutil.resolve_name(owner_path)
    original = getattr(owner, name)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        return original(*args, **kwargs) if result is None else _enlarged(result, in_place="out" in kwargs)

    with mock.patch.object(owner, name, wrapper):
        yield


def _enlarged(result: Any, in_place: bool) -> Any:
    if isinstance(result, list | tuple):
        return type(result)(_enlarged(item, in_place) for item in result)
    if in_place:
        result *= 1.01
        return result
    return result * 1.01
