"""The conformance suite: what a trainer must do, as small named checks against the reference.

`harness check NAME` runs them, and so do our tests and those of third-party adapters. A check raises `CheckFailed`
with what was seen and what was expected; `CHECKS` holds all of them by name.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from harness.errors import describe
from harness.parity import deviation
from harness.problem import (
    N_ROWS,
    SMALL,
    CheckFailed,
    FallingRate,
    TrainerClass,
    Unsupported,
    batches_of,
    build,
    compare,
    disturbed,
    each,
    expect_close,
    expect_logits,
    expect_shapes,
    problem,
    start_of,
    train,
)
from harness.reference import Reference
from harness.trainer import ACTIVATIONS, OPTIMIZER_CONSTANTS, REDUCTIONS, Diverged, Epoch, Trainer, Weights
from harness.training import is_finite, train_reference, validate_native_fit


@dataclass(frozen=True)
class CheckResult:
    """How one check went; `message` is the failure, the reason, or what was measured."""

    name: str
    status: Literal["passed", "failed", "unsupported"]
    message: str = ""


def check_declaration(trainer_class: TrainerClass) -> str:
    """`name`, `requires` and `arithmetic` are what the contract says: a text, and two tuples of texts."""
    if not (isinstance(trainer_class.name, str) and trainer_class.name):
        raise CheckFailed(f"`name` is {trainer_class.name!r}, expected the backend's name")
    for key in ("requires", "arithmetic"):
        value = getattr(trainer_class, key)
        if not (isinstance(value, tuple) and all(isinstance(item, str) for item in value)):
            raise CheckFailed(f"`{key}` is {value!r}, expected a tuple of texts")
    return f"{trainer_class.name}, requires {', '.join(trainer_class.requires)}"


def check_weights_round_trip(trainer_class: TrainerClass) -> str:
    """The start comes back exactly; other weights that are set come back exactly; what comes back is a copy."""
    for dtype in ("float64", "float32"):
        config = replace(SMALL, dtype=dtype)
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
            config = replace(SMALL, activation=(activation,), dtype=dtype)
            off = expect_logits(build(trainer_class, config), config, start_of(config))
        return f"largest difference {off:.1e}"

    return each(ACTIVATIONS, check)


def check_logits_after_training(trainer_class: TrainerClass) -> str:
    """After a training, and after `set_weights`, the logits are those of the weights as they are now."""
    config = replace(SMALL, hidden=(6, 5), activation=("tanh", "tanh"))
    trainer = build(trainer_class, config)
    trainer.train(*problem(), batches_of(config), lambda epoch: False)
    expect_logits(trainer, config, trainer.weights())
    trainer.set_weights(start_of(config))
    return f"largest difference {expect_logits(trainer, config, start_of(config)):.1e}"


def check_one_step(trainer_class: TrainerClass) -> str:
    """One step of plain gradient descent on one full batch, without penalty."""
    return compare(trainer_class, replace(SMALL, l2=0.0, epochs=1, batch_size=N_ROWS))


def check_partial_last_batch(trainer_class: TrainerClass) -> str:
    """An epoch whose last batch is shorter, also by all but one row: neither dropped nor padded, a mean of its own."""
    compare(trainer_class, replace(SMALL, l2=0.0, epochs=1, batch_size=11))
    return compare(trainer_class, replace(SMALL, l2=0.0, epochs=1))


def check_batch_of_one(trainer_class: TrainerClass) -> str:
    """Batches of a single row."""
    return compare(trainer_class, replace(SMALL, batch_size=1, epochs=2))


def check_batch_order(trainer_class: TrainerClass) -> str:
    """The batches are seen as they were drawn, each epoch's own, in their order."""
    return compare(trainer_class, replace(SMALL, l2=0.0, epochs=3))


def check_l2(trainer_class: TrainerClass) -> str:
    """A strong and a weak L2: gradient `l2 * W`, whatever the batch, with the mean and with the summed loss."""

    def check_weak(optimizer: str) -> str:
        weak = replace(SMALL, optimizer=optimizer, l2=1e-5, learning_rate=0.02)
        compare(trainer_class, weak)
        return compare(trainer_class, replace(weak, reduction="sum"))

    each(OPTIMIZER_CONSTANTS, check_weak)
    compare(trainer_class, replace(SMALL, l2=0.3, reduction="sum", learning_rate=0.05))
    return compare(trainer_class, replace(SMALL, l2=0.3))


def check_biases_not_penalised(trainer_class: TrainerClass) -> str:
    """L2 leaves the biases alone: one step from biases that are not zero."""
    return compare(trainer_class, replace(SMALL, l2=0.3, epochs=1, batch_size=N_ROWS))


def check_adam_epsilon(trainer_class: TrainerClass) -> str:
    """Adam's epsilon stands outside the root, after bias correction: a large epsilon makes other forms visible."""
    return compare(trainer_class, replace(SMALL, optimizer="adam", learning_rate=0.01, epsilon=1e-2))


def check_optimizer_constants(trainer_class: TrainerClass) -> str:
    """Momentum, betas and epsilon are taken from the configuration, in full precision."""
    other = {"momentum": 0.7, "beta_1": 0.8, "beta_2": 0.97, "epsilon": 1e-6}

    def check(optimizer: str) -> str:
        constants: dict[str, Any] = {name: other[name] for name in OPTIMIZER_CONSTANTS[optimizer]}
        return compare(trainer_class, replace(SMALL, optimizer=optimizer, learning_rate=0.02, **constants))

    return each((name for name, constants in OPTIMIZER_CONSTANTS.items() if constants), check)


def check_learning_rate_per_step(trainer_class: TrainerClass) -> str:
    """The learning rate is the schedule's at every step, with every optimizer."""

    def check(optimizer: str) -> str:
        config = replace(SMALL, optimizer=optimizer, learning_rate=0.03)
        return compare(trainer_class, config, FallingRate(batches_of(config)))

    return each(OPTIMIZER_CONSTANTS, check)


def check_no_hidden_layer(trainer_class: TrainerClass) -> str:
    """Multinomial logistic regression: no hidden layer at all."""
    return compare(trainer_class, replace(SMALL, hidden=(), activation=()))


def check_two_hidden_layers(trainer_class: TrainerClass) -> str:
    """Two hidden layers of different width."""
    return compare(trainer_class, replace(SMALL, hidden=(8, 3), activation=("tanh", "tanh")))


def check_mixed_activations(trainer_class: TrainerClass) -> str:
    """Another activation in each hidden layer."""
    config = replace(SMALL, hidden=(6, 5, 4), activation=("relu", "sigmoid", "tanh"))
    expect_logits(build(trainer_class, config), config, start_of(config))
    return compare(trainer_class, config)


def check_many_inputs(trainer_class: TrainerClass) -> str:
    """More inputs than rows, in full precision."""
    return compare(trainer_class, replace(SMALL, n_inputs=40))


def check_saturation(trainer_class: TrainerClass) -> str:
    """Large weights: units and probabilities that are saturated, logits up to some hundreds, unclipped."""
    config = replace(SMALL, activation=("sigmoid",), learning_rate=1e-3, l2=0.0)
    start = tuple({key: 40 * value for key, value in layer.items()} for layer in start_of(config))
    trainer = build(trainer_class, config)
    trainer.set_weights(start)
    expect_logits(trainer, config, start, 1e-10)
    trainer.train(*problem(), batches_of(config), lambda epoch: False)
    expected = train_reference(config, start, batches_of(config), *problem())
    return expect_close(trainer.weights(), expected.weights, expected.floor, "float64")


def check_relu_at_zero(trainer_class: TrainerClass) -> str:
    """The derivative of relu at 0 is 0: a layer that starts at zero gets no gradient."""
    config = replace(SMALL, activation=("relu",), l2=0.0)
    trainer = build(trainer_class, config)
    first, last = start_of(config)
    trainer.set_weights(({key: np.zeros_like(value) for key, value in first.items()}, last))
    trainer.train(*problem(), batches_of(config), lambda epoch: False)
    if np.any(trainer.weights()[0]["W"] != 0):
        raise CheckFailed("a relu layer whose units are exactly 0 was trained; the derivative there is 0")
    return "no gradient at 0"


def check_set_weights_keeps_the_optimizer(trainer_class: TrainerClass) -> str:
    """Setting the weights to what they are, between epochs, changes nothing: moments and step count stay."""

    def check(optimizer: str) -> str:
        config = replace(SMALL, optimizer=optimizer, learning_rate=0.02)
        trainer = build(trainer_class, config)

        def set_again(epoch: int) -> bool:
            trainer.set_weights(trainer.weights())
            return False

        trainer.train(*problem(), batches_of(config), set_again)
        return expect_close(trainer.weights(), train(Reference, config), 0.0, "float64")

    return each(OPTIMIZER_CONSTANTS, check)


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
        expected = train(Reference, replace(SMALL, epochs=min(epoch, 2)))
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
    train(trainer_class, replace(SMALL, dtype="float32", hidden=(3,), optimizer="adam", learning_rate=0.01))
    first.train(*problem(), batches_of(SMALL), lambda epoch: False)
    return expect_close(first.weights(), train(Reference, SMALL), 0.0, "float64")


def check_inputs_not_mutated(trainer_class: TrainerClass) -> str:
    """Inputs, labels, batches and start are the harness's; a trainer only reads them."""
    (X, y), start = problem(), start_of(SMALL)
    epoch = batches_of(SMALL)[0]
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


def check_divergence_is_reported(trainer_class: TrainerClass) -> str:
    """A training that overflows ends with weights that are not finite, or with `Diverged`; with no other exception."""
    config = replace(SMALL, activation=("relu",), learning_rate=1e200, l2=1.0)
    try:
        weights = train(trainer_class, config)
    except Diverged as error:
        return f"Diverged: {error}"
    if is_finite(weights):
        raise CheckFailed("a learning rate of 1e200 ended with finite weights")
    return "weights not finite"


def check_own_arithmetic(trainer_class: TrainerClass) -> str:
    """Each function named in `arithmetic` is disturbed in turn, and the weights must follow.

    An adapter that computes elsewhere, behind a framework's name, does not notice. (This proves that the result
    depends on these functions, not that it depends on nothing else: an adapter made to deceive can pass.)
    """
    if not trainer_class.arithmetic:
        raise CheckFailed("`arithmetic` names no function of the framework")
    for number, path in enumerate(trainer_class.arithmetic):
        package = path.split(".")[0]
        if package not in trainer_class.requires or package == trainer_class.__module__.split(".")[0]:
            raise CheckFailed(f"{path} belongs to none of the frameworks that `requires` names")
        # a width used nowhere else, so that no graph traced before the disturbance is at hand
        config = replace(SMALL, hidden=(11 + number,), epochs=2)
        with disturbed(path):
            weights = train(trainer_class, config)
        if not (deviation(weights, train(Reference, config)) or 0.0) > 1e-9:
            raise CheckFailed(f"disturbing {path} changed nothing: the training does not look it up there and use it")
    return f"follows {', '.join(trainer_class.arithmetic)}"


def check_native(trainer_class: TrainerClass) -> str:
    """The native fit gives finite weights in the contract's shapes, logits that belong to them, and repeats itself."""
    if trainer_class.fit_native is Trainer.fit_native:
        raise Unsupported("no native mode")
    build(trainer_class, SMALL)  # asks whether it is supported
    X, y = problem()
    fits = []
    for _ in range(2):
        trainer = trainer_class(SMALL, None)
        fit = trainer.fit_native(X, y, 7)
        fits.append(trainer.weights())
        try:
            validate_native_fit(fit, SMALL)
        except ValueError as error:
            raise CheckFailed(str(error)) from None
    if not is_finite(fits[0]):
        raise CheckFailed("fit_native ended with weights that are not finite")
    dtype = str(fits[0][0]["W"].dtype)
    config = replace(SMALL, dtype=dtype)
    expect_shapes(fits[0], config)
    if deviation(fits[0], fits[1]) != 0:
        raise CheckFailed("two native fits with one seed end with different weights")
    off = float(np.abs(trainer.logits(X) - Reference(config, fits[1]).logits(X.astype(dtype))).max())
    if not off <= (1e-10 if dtype == "float64" else 1e-4):
        raise CheckFailed(f"logits after fit_native are off by {off:.2g} from those of its weights")
    return f"repeatable, {dtype}"


def _five_epochs(optimizer: str, activation: str, reduction: str, dtype: str) -> Callable[[TrainerClass], str]:
    rate = {"sgd": 0.3, "momentum": 0.05, "nesterov": 0.05, "adam": 0.01}[optimizer]
    config = replace(
        SMALL,
        optimizer=optimizer,
        activation=(activation,),
        reduction=reduction,
        dtype=dtype,
        learning_rate=rate / (4 if reduction == "sum" else 1),
    )
    return lambda trainer_class: compare(trainer_class, config)


CHECKS: dict[str, Callable[[TrainerClass], str]] = {
    name.removeprefix("check_"): function for name, function in list(globals().items()) if name.startswith("check_")
} | {
    f"five_epochs[{optimizer}-{activation}-{reduction}-{dtype}]": _five_epochs(optimizer, activation, reduction, dtype)
    for optimizer in OPTIMIZER_CONSTANTS
    for activation in ACTIVATIONS
    for reduction in REDUCTIONS
    for dtype in ("float64", "float32")
}
"""Every check by name, in the order in which they are run."""


def run_check(name: str, trainer_class: TrainerClass) -> CheckResult:
    """Run one check; an exception of the adapter's own is a failure of that check."""
    try:
        return CheckResult(name, "passed", CHECKS[name](trainer_class))
    except Unsupported as reason:
        return CheckResult(name, "unsupported", str(reason))
    except CheckFailed as failure:
        return CheckResult(name, "failed", str(failure))
    except Exception as error:
        return CheckResult(name, "failed", describe(error))
