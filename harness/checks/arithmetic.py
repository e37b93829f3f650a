"""Checks of the plain training: one network, one loss, batches, L2, depth, every optimizer and activation."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from harness.checks.problem import (
    N_ROWS,
    SMALL,
    CheckFailed,
    TrainerClass,
    batches_of,
    build,
    compare,
    each,
    expect_close,
    expect_logits,
    problem,
    rows_of,
    start_of,
)
from harness.contract import ACTIVATIONS, OPTIMIZER_CONSTANTS, vary
from harness.draws.recipe import Recipe
from harness.training.floor import train_reference


def check_one_step(trainer_class: TrainerClass) -> str:
    """One step of plain gradient descent on one full batch, without penalty."""
    return compare(trainer_class, vary(SMALL, l2=0.0, epochs=1, batch_size=N_ROWS))


def check_partial_last_batch(trainer_class: TrainerClass) -> str:
    """An epoch whose last batch is shorter, also by all but one row: neither dropped nor padded, a mean of its own."""
    compare(trainer_class, vary(SMALL, l2=0.0, epochs=1, batch_size=11))
    return compare(trainer_class, vary(SMALL, l2=0.0, epochs=1))


def check_batch_of_one(trainer_class: TrainerClass) -> str:
    """Batches of a single row."""
    return compare(trainer_class, vary(SMALL, batch_size=1, epochs=2))


def check_batch_order(trainer_class: TrainerClass) -> str:
    """The batches are seen as they were drawn, each epoch's own, in their order."""
    return compare(trainer_class, vary(SMALL, l2=0.0, epochs=3))


def check_l2(trainer_class: TrainerClass) -> str:
    """A strong and a weak L2: gradient `l2 * W`, whatever the batch, with the mean and with the summed loss."""

    def check_weak(optimizer: str) -> str:
        weak = vary(SMALL, optimizer=optimizer, l2=1e-5, learning_rate=0.02)
        compare(trainer_class, weak)
        return compare(trainer_class, replace(weak, reduction="sum"))

    each(OPTIMIZER_CONSTANTS, check_weak)
    compare(trainer_class, vary(SMALL, l2=0.3, reduction="sum", learning_rate=0.05))
    return compare(trainer_class, vary(SMALL, l2=0.3))


def check_biases_not_penalised(trainer_class: TrainerClass) -> str:
    """L2 leaves the biases alone: one step from biases that are not zero."""
    return compare(trainer_class, vary(SMALL, l2=0.3, epochs=1, batch_size=N_ROWS))


def check_no_hidden_layer(trainer_class: TrainerClass) -> str:
    """Multinomial logistic regression: no hidden layer at all."""
    return compare(trainer_class, vary(SMALL, hidden=(), activation=()))


def check_two_hidden_layers(trainer_class: TrainerClass) -> str:
    """Two hidden layers of different width."""
    return compare(trainer_class, vary(SMALL, hidden=(8, 3), activation=("tanh", "tanh")))


def check_mixed_activations(trainer_class: TrainerClass) -> str:
    """Another activation in each hidden layer."""
    config = vary(SMALL, hidden=(6, 5, 4), activation=("relu", "sigmoid", "tanh"))
    expect_logits(build(trainer_class, config), config, start_of(config))
    return compare(trainer_class, config)


def check_many_inputs(trainer_class: TrainerClass) -> str:
    """More inputs than rows, in full precision."""
    return compare(trainer_class, vary(SMALL, n_inputs=40))


def check_larger(trainer_class: TrainerClass) -> str:
    """The largest problem: 1200 rows of 130 inputs in batches of 150, 320 steps of Adam (of SGD where there is none).

    What is right on a few rows can take another path on many: other kernels, blocks, buffers.
    """
    config = vary(SMALL, n_inputs=130, hidden=(12,), optimizer="adam", learning_rate=0.01, batch_size=150, epochs=40)
    if trainer_class.refuses(config) is not None:
        config = vary(config, optimizer="sgd", learning_rate=0.1)
    expect_logits(build(trainer_class, config), config, start_of(config), n_rows=1200)
    return compare(trainer_class, config, n_rows=1200)


def check_saturation(trainer_class: TrainerClass) -> str:
    """Large weights: units and probabilities that are saturated, logits up to some hundreds, unclipped."""

    def check(dtype: str) -> str:
        config = vary(SMALL, activation=("sigmoid",), learning_rate=1e-3, l2=0.0, dtype=dtype)
        start = tuple({key: 40 * value for key, value in layer.items()} for layer in start_of(config))
        trainer = build(trainer_class, config)
        trainer.set_weights(start)
        expect_logits(trainer, config, start, {"float64": 1e-10, "float32": 1e-2}[dtype])
        return compare(trainer_class, config, start=start)

    return each(("float64", "float32"), check)


def check_far_out(trainer_class: TrainerClass) -> str:
    """Units whose input is some thousands: no activation overflows, or bends earlier than it should."""

    def check(activation: str) -> str:
        for factor in (6, 1000):  # inputs between 10 and 40, where approximations set in, and far beyond
            config = vary(SMALL, activation=(activation,), learning_rate=1e-9, l2=0.0, epochs=1)
            first, last = start_of(config)
            start = ({key: factor * value for key, value in first.items()}, last)
            trainer = build(trainer_class, config)
            trainer.set_weights(start)
            expect_logits(trainer, config, start, 1e-13 * factor)
            message = compare(trainer_class, config, start=start)
        return message

    return each(ACTIVATIONS, check)


def check_many_epochs(trainer_class: TrainerClass) -> str:
    """More epochs than a handful, each of many steps, stopped at the ninth of twelve."""
    config = vary(SMALL, epochs=12, batch_size=1, learning_rate=0.02)
    trainer = build(trainer_class, config)
    called: list[int] = []

    def after_epoch(epoch: int) -> bool:
        called.append(epoch)
        return epoch == 9

    trainer.train(*problem(config), batches_of(config), after_epoch)
    if called != list(range(1, 10)):
        raise CheckFailed(f"after_epoch was called with {called}, expected 1 to 9 when it returns True at 9")
    expected = train_reference(
        vary(config, epochs=9), start_of(config), batches_of(vary(config, epochs=9)), rows_of(config)
    )
    return expect_close(trainer.weights(), expected.weights, expected.floor, config.dtype)


def check_many_outputs(trainer_class: TrainerClass) -> str:
    """More classes than ten, and more units than rows."""
    return compare(trainer_class, vary(SMALL, n_outputs=12, hidden=(40,), batch_size=N_ROWS))


def check_kinks(trainer_class: TrainerClass) -> str:
    """A layer whose units are all exactly 0: the derivative at a kink is the left one, elsewhere the only one."""

    def check(activation: str) -> str:
        config = vary(SMALL, activation=(activation,), leaky_slope=0.3, elu_alpha=0.6, epochs=1, batch_size=N_ROWS)
        first, last = start_of(config)
        start = ({key: np.zeros_like(value) for key, value in first.items()}, last)
        return compare(trainer_class, config, start=start)

    return each(ACTIVATIONS, check)


def check_activation_constants(trainer_class: TrainerClass) -> str:
    """Slope and alpha are taken from the configuration, in full precision."""

    def check(activation: str) -> str:
        for hidden, dtype in (((6, 5), "float64"), ((5,), "float32")):
            names = (activation,) * len(hidden)
            config = vary(SMALL, hidden=hidden, activation=names, leaky_slope=0.3, elu_alpha=0.6, dtype=dtype)
            expect_logits(build(trainer_class, config), config, start_of(config))
            message = compare(trainer_class, config)
        return message

    return each((name for name, constants in ACTIVATIONS.items() if constants), check)


def check_epsilon(trainer_class: TrainerClass) -> str:
    """Epsilon stands outside the root (Adam: after bias correction): a large one makes other forms visible."""

    def check(optimizer: str) -> str:
        config = vary(SMALL, optimizer=optimizer, learning_rate=0.01, epsilon=1e-2)
        return compare(trainer_class, config)

    return each((name for name, constants in OPTIMIZER_CONSTANTS.items() if "epsilon" in constants), check)


def check_optimizer_constants(trainer_class: TrainerClass) -> str:
    """Every constant of an optimizer is taken from the configuration, in full precision; any decay may be 0."""
    other = {"momentum": 0.7, "beta_1": 0.8, "beta_2": 0.97, "rho": 0.8, "epsilon": 1e-6, "initial_accumulator": 0.1}

    def check(optimizer: str) -> str:
        read = OPTIMIZER_CONSTANTS[optimizer]
        zeros: dict[str, Any] = {name: 0.0 for name in read if name != "epsilon"} | {"epsilon": 0.1}
        compare(trainer_class, vary(SMALL, optimizer=optimizer, learning_rate=0.02, **zeros))
        constants: dict[str, Any] = {name: other[name] for name in read}
        return compare(trainer_class, vary(SMALL, optimizer=optimizer, learning_rate=0.02, **constants))

    return each((name for name, constants in OPTIMIZER_CONSTANTS.items() if constants), check)


def check_learning_rate_per_step(trainer_class: TrainerClass) -> str:
    """The learning rate is the schedule's at every step, with every optimizer."""
    falling = Recipe(schedule="inverse_time", decay_rate=0.1, decay_steps=1)

    def check(optimizer: str) -> str:
        config = vary(SMALL, optimizer=optimizer, learning_rate=0.03)
        return compare(trainer_class, config, batches_of(config, falling))

    return each(OPTIMIZER_CONSTANTS, check)


def five_epochs(optimizer: str, activation: str, reduction: str, dtype: str) -> Callable[[TrainerClass], str]:
    """Five epochs of one optimizer with one activation."""
    config = vary(
        SMALL,
        optimizer=optimizer,
        activation=(activation,),
        reduction=reduction,
        dtype=dtype,
        learning_rate=RATES.get(optimizer, 0.01) / (4 if reduction == "sum" else 1),
    )
    return lambda trainer_class: compare(trainer_class, config)


RATES = {
    "sgd": 0.3,
    "momentum": 0.05,
    "nesterov": 0.05,
    "adagrad": 0.05,
    "adagrad_momentum": 0.02,
    "rmsprop": 0.01,
    "adam": 0.01,
}
"""Learning rates at which the small problem trains calmly; that of all others is 0.01."""

FIVE_EPOCHS: dict[str, Callable[[TrainerClass], str]] = {
    f"five_epochs[{'-'.join(case)}]": five_epochs(*case)
    for case in (
        *((name, "tanh", "mean", "float64") for name in OPTIMIZER_CONSTANTS),
        *((name, "sigmoid", "sum", "float32") for name in OPTIMIZER_CONSTANTS),
        *(("sgd", name, "sum", "float64") for name in ACTIVATIONS),
        *(("adam", name, "mean", "float32") for name in ACTIVATIONS),
    )
}
"""Each optimizer and each activation, alone and together with the usual others."""
