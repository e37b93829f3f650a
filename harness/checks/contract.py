"""Checks of what a trainer is: shapes, copies, when it calls back, what it leaves alone, that its work is its own."""

import os
import pkgutil
import random
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from unittest import mock

import numpy as np

from harness.checks.problem import (
    SMALL,
    CheckFailed,
    TrainerClass,
    Unsupported,
    batches_of,
    build,
    disturbed,
    each,
    expect_close,
    expect_logits,
    expect_shapes,
    problem,
    rows_of,
    start_of,
    train,
)
from harness.contract import ACTIVATIONS, DTYPES, OPTIMIZER_CONSTANTS, Config, Diverged, Epoch, Trainer, Weights, vary
from harness.reference.trainer import Reference
from harness.training.floor import train_reference
from harness.training.parity import deviation
from harness.training.trial import is_finite, validate_native_fit


def check_declaration(trainer_class: TrainerClass) -> str:
    """`name`, `requires` and `arithmetic` are what the contract says: a text, and two tuples of texts."""
    if not (isinstance(trainer_class.name, str) and trainer_class.name):
        raise CheckFailed(f"`name` is {trainer_class.name!r}, expected the backend's name")
    for package in _texts(trainer_class, "requires"):
        if not _is_there(package):
            raise CheckFailed(f"`requires` names {package!r}, and there is no such package: it holds import names")
    _texts(trainer_class, "arithmetic")
    if missing := sorted(getattr(trainer_class, "__abstractmethods__", ())):
        raise CheckFailed(f"{', '.join(missing)} not implemented")
    reason = trainer_class.refuses(SMALL)
    if not (reason is None or (isinstance(reason, str) and reason)):
        raise CheckFailed(f"`unsupported` gave {reason!r}, expected None, or the reason as a text")
    return f"{trainer_class.name}, requires {', '.join(trainer_class.requires)}"


def _texts(trainer_class: TrainerClass, key: str) -> tuple[str, ...]:
    """The declared tuple of texts, or a failure that says what stands there."""
    value: tuple[str, ...] = getattr(trainer_class, key)
    if not (isinstance(value, tuple) and all(isinstance(item, str) for item in value)):
        raise CheckFailed(f"`{key}` is {value!r}, expected a tuple of texts")
    return value


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def check_weights_round_trip(trainer_class: TrainerClass) -> str:
    """The start comes back exactly; other weights that are set come back exactly; what comes back is a copy."""
    for dtype in ("float64", "float32"):
        config = vary(SMALL, dtype=dtype)
        trainer, start = build(trainer_class, config), start_of(config)
        expect_shapes(trainer.weights(), config)
        if deviation(trainer.weights(), start) != 0:
            raise CheckFailed("weights() right after construction are not the start")
        other = tuple({key: value * 2 for key, value in layer.items()} for layer in start)
        trainer.set_weights(other)
        if deviation(trainer.weights(), other) != 0:
            raise CheckFailed("weights() are not those given to set_weights()")
        trainer.weights()[0]["W"][:] = 0
        if deviation(trainer.weights(), other) != 0:
            raise CheckFailed("weights() hands out the trainer's own array, not a copy")
    return "start and set weights come back exactly"


def check_logits(trainer_class: TrainerClass) -> str:
    """Before any training the logits equal the reference's, for every activation and dtype."""

    def check(activation: str) -> str:
        for dtype in ("float32", "float64"):
            config = vary(SMALL, activation=(activation,), dtype=dtype)
            off = expect_logits(build(trainer_class, config), config, start_of(config))
        return f"largest difference {off:.1e}"

    return each(ACTIVATIONS, check)


def check_logits_after_training(trainer_class: TrainerClass) -> str:
    """After a training, and after `set_weights`, the logits are those of the weights as they are now."""
    config = vary(SMALL, hidden=(6, 5), activation=("tanh", "tanh"))
    trainer = build(trainer_class, config)
    trainer.train(*problem(), batches_of(config), lambda epoch: False)
    expect_logits(trainer, config, trainer.weights())
    trainer.set_weights(start_of(config))
    return f"largest difference {expect_logits(trainer, config, start_of(config)):.1e}"


def check_set_weights_keeps_the_optimizer(trainer_class: TrainerClass) -> str:
    """Setting the weights to what they are, between epochs, changes nothing: moments and step count stay."""

    def check(config: Config) -> str:
        trainer = build(trainer_class, config)

        def set_again(epoch: int) -> bool:
            trainer.set_weights(trainer.weights())
            return False

        trainer.train(*problem(config), batches_of(config), set_again)
        expected = train_reference(config, start_of(config), batches_of(config), rows_of(config))
        return expect_close(trainer.weights(), expected.weights, expected.floor, config.dtype)

    others: tuple[dict[str, Any], ...] = ({"dtype": "float32"}, {"batch_norm": True}, {"dropout": (0.0, 0.5)})
    config = vary(SMALL, learning_rate=0.02)
    configs = [vary(config, optimizer=optimizer) for optimizer in OPTIMIZER_CONSTANTS]
    configs += [vary(config, optimizer=optimizer, **other) for optimizer in ("momentum", "adam") for other in others]
    return each(configs, check)


def check_stops_early(trainer_class: TrainerClass) -> str:
    """`after_epoch` is called with 1, 2, …, sees the weights of that moment, and True ends the training at once."""
    trainer, X, y = build(trainer_class, SMALL), *problem()
    called: list[int] = []
    seen: list[Weights] = []

    def after_epoch(epoch: int) -> bool:
        called.append(epoch)
        seen.append(trainer.weights())
        return epoch == 2

    trainer.train(X, y, batches_of(SMALL), after_epoch)
    if called != [1, 2]:
        raise CheckFailed(f"after_epoch was called with {called}, expected [1, 2] when it returns True at 2")
    for epoch, weights in enumerate([*seen, trainer.weights()], start=1):
        expected = train(Reference, vary(SMALL, epochs=min(epoch, 2)))
        expect_close(weights, expected, 0.0, "float64")
    return "stopped after epoch 2 of 5, with the weights of that moment"


def check_same_result_twice(trainer_class: TrainerClass) -> str:
    """Two trainers with one configuration end with the same bits."""
    if deviation(train(trainer_class, SMALL), train(trainer_class, SMALL)) != 0:
        raise CheckFailed("two trainings of one configuration end with different weights")
    return "the same bits"


def check_two_trainers_at_once(trainer_class: TrainerClass) -> str:
    """A second trainer, of another dtype, leaves the first one undisturbed."""
    first = build(trainer_class, SMALL)
    second = vary(SMALL, dtype="float32", hidden=(3,), learning_rate=0.01)
    each(("sgd", "adam"), lambda optimizer: str(train(trainer_class, vary(second, optimizer=optimizer))))
    first.train(*problem(), batches_of(SMALL), lambda epoch: False)
    return expect_close(first.weights(), train(Reference, SMALL), 0.0, "float64")


def check_inputs_not_mutated(trainer_class: TrainerClass) -> str:
    """Inputs, labels, batches and start are the harness's; a trainer only reads them.

    X, y and the rows are read-only, as they are in every training; an array can be written to behind NumPy's back.
    """
    (X, y), start = problem(), start_of(SMALL)
    epoch = batches_of(SMALL)[0]
    for array in (X, y, epoch.rows):
        array.setflags(write=False)
    before = [X.copy(), y.copy(), epoch.rows.copy(), epoch.learning_rate.copy()]
    kept = tuple({key: value.copy() for key, value in layer.items()} for layer in start)

    class Fixed:
        def __len__(self) -> int:
            return 1

        def __getitem__(self, number: int) -> Epoch:
            return epoch

    build(trainer_class, SMALL)  # asks whether it is supported
    trainer = trainer_class(SMALL, start)
    trainer.train(X, y, Fixed(), lambda number: False)
    trainer.logits(X)
    names = ("X", "y", "batches", "learning rates")
    for name, array, copy in zip(names, (X, y, epoch.rows, epoch.learning_rate), before, strict=True):
        if not np.array_equal(array, copy):
            raise CheckFailed(f"training changed {name}")
    if deviation(start, kept) != 0:
        raise CheckFailed("training changed the start")
    return "X, y, batches and start are as they were"


def check_process_left_alone(trainer_class: TrainerClass) -> str:
    """A training leaves the random states of Python and NumPy, NumPy's error handling and `os.environ` as they are.

    And what the trainer's `switches` read.
    """

    def use() -> None:
        trainer = build(trainer_class, SMALL)
        trainer.train(*problem(), batches_of(SMALL), lambda epoch: False)
        trainer.logits(problem()[0])
        trainer.set_weights(trainer.weights())

    with _unusual_process():  # a framework may set variables for itself when a part of it is first imported
        use()
    with _unusual_process():
        before = _process(trainer_class)
        use()
        after = _process(trainer_class)
    changed = [name for name, value in before.items() if after[name] != value]
    if changed:
        raise CheckFailed(f"training changed {', '.join(changed)}, which the whole process shares")
    return f"{', '.join(before)} are as they were"


def _process(trainer_class: TrainerClass) -> dict[str, object]:
    legacy = np.random.get_state(legacy=False)
    return {
        "the state of random": random.getstate(),
        "the state of numpy.random": repr(legacy),
        "numpy.geterr()": np.geterr(),
        "os.environ": dict(os.environ),
        **{path: _read(path) for path in trainer_class.switches},
    }


def _read(path: str) -> str:
    """What a switch says: a value, or what a function without arguments gives."""
    try:
        found = pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError):
        raise CheckFailed(f"`switches` names {path}, which there is not") from None
    return repr(found() if callable(found) else found)


@contextmanager
def _unusual_process() -> Iterator[None]:
    """States that are nobody's default, so that setting the default, or a seed, is seen; then all is put back."""
    states = random.getstate(), np.random.get_state()
    with mock.patch.dict(os.environ), np.errstate(divide="print", over="print", invalid="print"):
        random.seed("unusual")
        np.random.seed(20_251)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def check_divergence_is_reported(trainer_class: TrainerClass) -> str:
    """A training that overflows ends with weights that are not finite, or with `Diverged`; with no other exception."""
    config = vary(SMALL, activation=("relu",), learning_rate=1e200, l2=1.0)
    try:
        weights = train(trainer_class, config)
    except Diverged as error:
        return f"Diverged: {error}"
    if is_finite(weights):
        raise CheckFailed("a learning rate of 1e200 ended with finite weights")
    return "weights not finite"


def check_own_arithmetic(trainer_class: TrainerClass) -> str:
    """Each function named in `arithmetic` is disturbed in turn, and the weights must follow.

    A library may have a function for each precision: each must be used in one dtype at least, and in each dtype one at
    least. An adapter that computes elsewhere, behind a framework's name, does not notice. (This proves that the result
    depends on these functions, not that it depends on nothing else: an adapter made to deceive can pass.)
    """
    arithmetic = _texts(trainer_class, "arithmetic")
    if not arithmetic:
        raise CheckFailed("`arithmetic` names no function of the framework")
    dtypes = [dtype for dtype in DTYPES if trainer_class.refuses(vary(SMALL, dtype=dtype)) is None]
    if not dtypes:
        build(trainer_class, SMALL)  # raises the reason
    used: dict[str, list[str]] = {dtype: [] for dtype in dtypes}
    for number, path in enumerate(arithmetic):
        package = path.split(".")[0]
        if package not in _texts(trainer_class, "requires") or package == trainer_class.__module__.split(".")[0]:
            raise CheckFailed(f"{path} belongs to none of the frameworks that `requires` names")
        for dtype in dtypes:
            # a width used nowhere else, so that no graph traced before the disturbance is at hand
            config = vary(SMALL, hidden=(11 + number,), epochs=2, dtype=dtype)
            with disturbed(path):
                weights = train(trainer_class, config)
            if (deviation(weights, train(Reference, config)) or 0.0) > {"float64": 1e-9, "float32": 1e-5}[dtype]:
                used[dtype].append(path)
        if not any(path in paths for paths in used.values()):
            raise CheckFailed(
                f"disturbing {path} changed no weight, in {' or '.join(dtypes)}: the training does not look it up "
                "there and use it"
            )
    for dtype, paths in used.items():
        if not paths:
            raise CheckFailed(f"no function in `arithmetic` is used in {dtype}: name one that is, beside the others")
    return "; ".join(f"{dtype} follows {', '.join(paths)}" for dtype, paths in used.items())


def check_native(trainer_class: TrainerClass) -> str:
    """The native fit gives finite weights in the contract's shapes, logits that belong to them, and repeats itself."""
    if trainer_class.fit_native is Trainer.fit_native:
        raise Unsupported("no native mode")
    build(trainer_class, SMALL)  # asks whether it is supported
    X, y = problem()
    fits = []
    for _ in range(2):
        trainer = trainer_class(SMALL, None)
        try:
            fit = trainer.fit_native(X, y, 7)
        except NotImplementedError as error:
            raise Unsupported(str(error)) from None
        fits.append(trainer.weights())
        try:
            validate_native_fit(fit, SMALL)
        except ValueError as error:
            raise CheckFailed(str(error)) from None
    if not is_finite(fits[0]):
        raise CheckFailed("fit_native ended with weights that are not finite")
    dtype = str(fits[0][0]["W"].dtype)
    config = vary(SMALL, dtype=dtype)
    expect_shapes(fits[0], config)
    if deviation(fits[0], fits[1]) != 0:
        raise CheckFailed("two native fits with one seed end with different weights")
    off = float(np.abs(trainer.logits(X) - Reference(config, fits[1]).logits(X.astype(dtype))).max())
    if not off <= (1e-10 if dtype == "float64" else 1e-4):
        raise CheckFailed(f"logits after fit_native are off by {off:.2g} from those of its weights")
    return f"repeatable, {dtype}"
