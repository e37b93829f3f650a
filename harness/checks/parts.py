"""Checks of each part beyond the plain training: tasks, losses, penalties, dropout, batch norm, clipping, batches."""

import contextlib
from collections.abc import Callable
from itertools import product

import numpy as np

from harness.checks.problem import (
    N_ROWS,
    SMALL,
    CheckFailed,
    TrainerClass,
    Unsupported,
    batches_of,
    build,
    compare,
    compare_each,
    each,
    expect_logits,
    problem,
    start_of,
    train,
)
from harness.contract import DTYPES, OUTPUT_ACTIVATIONS, REDUCTIONS, TASKS, Batches, Config, Epoch, Weights, vary
from harness.draws.recipe import Recipe
from harness.reference.trainer import Reference
from harness.training.parity import deviation

TWO_LAYERS = vary(SMALL, hidden=(6, 5), activation=("tanh", "tanh"), learning_rate=0.1)
BINARY = vary(
    SMALL, task="binary", loss="binary_cross_entropy", output_activation="sigmoid", n_outputs=1, learning_rate=0.2
)
MULTILABEL = vary(BINARY, task="multilabel", n_outputs=3)
REGRESSION = vary(SMALL, task="regression", loss="mse", output_activation="identity", n_outputs=3, learning_rate=0.05)
OF_TASK = {"multiclass": SMALL, "binary": BINARY, "multilabel": MULTILABEL, "regression": REGRESSION}


def _task(name: str) -> Callable[[TrainerClass], str]:
    def check(trainer_class: TrainerClass) -> str:
        def check_one(config: Config) -> str:
            expect_logits(build(trainer_class, config), config, start_of(config))
            return compare(trainer_class, config)

        settings = product(("sgd", "adam"), REDUCTIONS, DTYPES)
        config = vary(OF_TASK[name], learning_rate=0.02)
        return each((vary(config, optimizer=o, reduction=r, dtype=d) for o, r, d in settings), check_one)

    check.__doc__ = f"The task {name}: its targets, its loss, both reductions, L2, SGD and Adam."
    return check


def _loss(name: str) -> Callable[[TrainerClass], str]:
    def check(trainer_class: TrainerClass) -> str:
        config = vary(REGRESSION, loss=name, huber_delta=0.7, learning_rate=0.02)
        settings = product((1, 3), REDUCTIONS, DTYPES)
        return compare_each(trainer_class, (vary(config, n_outputs=n, reduction=r, dtype=d) for n, r, d in settings))

    check.__doc__ = f"The loss {name}, with one output and with several."
    return check


def _output_activation(name: str) -> Callable[[TrainerClass], str]:
    def check(trainer_class: TrainerClass) -> str:
        def check_one(config: Config) -> str:
            expect_logits(build(trainer_class, config), config, start_of(config))
            return compare(trainer_class, config)

        config = vary(REGRESSION, output_activation=name, huber_delta=0.3, learning_rate=0.02)
        configs = [vary(config, loss=loss) for loss in TASKS["regression"]]
        others = ({"dtype": "float32"}, {"reduction": "sum"}, {"optimizer": "adam"}, {"n_outputs": 1})
        return each((*configs, *(vary(config, **other) for other in others)), check_one)

    check.__doc__ = f"A regression whose outputs go through {name}; `logits` stand before it."
    return check


def check_extreme_logits(trainer_class: TrainerClass) -> str:
    """Losses are computed from the logits: with some thousands they neither overflow nor lose the gradient."""

    def check(config: Config) -> str:
        *hidden, last = start_of(config)
        return compare(trainer_class, config, start=(*hidden, {key: 3000 * value for key, value in last.items()}))

    tasks = [vary(OF_TASK[task], learning_rate=1e-3, l2=0.0, epochs=1) for task in OF_TASK if task != "regression"]
    return each((vary(config, dtype=dtype) for config in tasks for dtype in DTYPES), check)


def check_zero_residual(trainer_class: TrainerClass) -> str:
    """The derivative of the absolute error is 0 where the answer is exact: nothing moves."""

    def check(loss: str) -> str:
        config = vary(REGRESSION, loss=loss, l2=0.0, epochs=1)
        first, last = start_of(config)
        start = (first, {key: np.zeros_like(value) for key, value in last.items()})
        trainer = build(trainer_class, config, start)
        X, y = problem(config)
        trainer.train(X, np.zeros_like(y), batches_of(config), lambda epoch: False)
        if deviation(trainer.weights(), start) != 0:
            raise CheckFailed(f"a network without any error was changed by the loss {loss}")
        return "nothing moved"

    return each(("mae", "huber", "mse"), check)


def check_l1(trainer_class: TrainerClass) -> str:
    """L1 adds `l1 * sign(W)` to the gradient of the weights alone, whatever the batch; sign(0) is 0."""
    config = vary(SMALL, l1=0.02, learning_rate=0.02)
    settings = product(("sgd", "adam"), REDUCTIONS)
    message = compare_each(trainer_class, (vary(config, optimizer=o, reduction=r) for o, r in settings))
    config = vary(SMALL, l1=0.1, epochs=1, batch_size=N_ROWS)
    first, last = start_of(config)
    compare(trainer_class, config, start=({**first, "W": np.zeros_like(first["W"])}, last))  # sign(0), seen at once
    return message


def check_dropout(trainer_class: TrainerClass) -> str:
    """Units are dropped as the masks say, those kept divided by 1 - rate; in inference nothing is dropped."""
    settings = product(DTYPES, ((0.0, 0.0, 0.4), (0.0, 0.8, 0.0), (0.0, 0.5, 0.3)))
    message = compare_each(trainer_class, (vary(TWO_LAYERS, dropout=rates, dtype=d) for d, rates in settings))
    config = vary(TWO_LAYERS, dropout=(0.0, 0.5, 0.3))
    trainer = build(trainer_class, config)
    trainer.train(*problem(config), batches_of(config), lambda epoch: False)
    expect_logits(trainer, config, trainer.weights())
    return message


def check_input_dropout(trainer_class: TrainerClass) -> str:
    """Inputs are dropped as the masks say, alone and with hidden units; also without a hidden layer."""
    compare(trainer_class, vary(TWO_LAYERS, dropout=(0.2, 0.0, 0.0)))
    compare(trainer_class, vary(SMALL, hidden=(), activation=(), dropout=(0.3,)))
    return compare(trainer_class, vary(TWO_LAYERS, dropout=(0.2, 0.5, 0.3)))


def check_batch_norm(trainer_class: TrainerClass) -> str:
    """Before the activation, biased variance in training and in the running moments, gamma and beta not penalised."""
    config = vary(
        TWO_LAYERS, batch_norm=True, batch_norm_momentum=0.8, batch_norm_epsilon=1e-3, l2=0.1, learning_rate=0.02
    )
    settings = product(DTYPES, ("sgd", "adam"))
    return compare_each(trainer_class, (vary(config, dtype=d, optimizer=o) for d, o in settings))


def check_batch_norm_in_inference(trainer_class: TrainerClass) -> str:
    """`logits` use the running moments, before and after training, and do not change them."""
    config = vary(TWO_LAYERS, batch_norm=True, batch_norm_epsilon=0.1)
    trainer = build(trainer_class, config)
    X, _ = problem(config)
    if not np.allclose(trainer.logits(np.tile(X, (10, 1))), np.tile(trainer.logits(X), (10, 1)), rtol=0, atol=1e-12):
        raise CheckFailed("the logits of a row depend on the rows beside it")
    expect_logits(trainer, config, start_of(config))
    trainer.train(*problem(config), batches_of(config), lambda epoch: False)
    before = trainer.weights()
    expect_logits(trainer, config, before)
    if deviation(trainer.weights(), before) != 0:
        raise CheckFailed("logits() changed the weights or the running moments")
    return "the running moments, unchanged"


def check_batch_norm_of_one_row(trainer_class: TrainerClass) -> str:
    """A batch of a single row has variance 0: what is normalised is 0, and the running moments go on."""
    return compare(trainer_class, vary(TWO_LAYERS, batch_norm=True, batch_size=11, l2=0.0))


def check_clip_norm(trainer_class: TrainerClass) -> str:
    """Clipping by the norm over all tensors together, after the penalties, exactly `g * min(1, c / norm)`."""
    config = vary(TWO_LAYERS, clip_norm=0.3, l2=0.5, learning_rate=0.02)
    settings = product(DTYPES, ("sgd", "adam"))
    message = compare_each(trainer_class, (vary(config, dtype=d, optimizer=o) for d, o in settings))
    compare(trainer_class, vary(TWO_LAYERS, clip_norm=1e6))
    compare(trainer_class, vary(TWO_LAYERS, clip_norm=0.05))
    return message


def check_clip_value(trainer_class: TrainerClass) -> str:
    """Clipping of every element, after the penalties."""
    config = vary(TWO_LAYERS, clip_value=0.02, l2=0.5, learning_rate=0.02)
    settings = product(DTYPES, ("sgd", "momentum"))
    return compare_each(trainer_class, (vary(config, dtype=d, optimizer=o) for d, o in settings))


def check_all_regularisers(trainer_class: TrainerClass) -> str:
    """L1, L2, dropout, batch normalisation and clipping at once, through three hidden layers; then one left out."""
    config = vary(
        SMALL,
        hidden=(6, 5, 4),
        activation=("tanh",) * 3,
        learning_rate=0.02,
        l1=0.01,
        l2=0.01,
        dropout=(0.1, 0.4, 0.2, 0.3),
        batch_norm=True,
        batch_norm_momentum=0.8,
        clip_norm=0.5,
    )
    by_value = vary(config, clip_norm=None, clip_value=0.02)
    compare(trainer_class, vary(by_value, optimizer="adam"))
    compare(trainer_class, by_value)
    compare(trainer_class, vary(by_value, batch_norm=False))
    compare(trainer_class, vary(config, l2=0.0, optimizer="adam"))
    compare(trainer_class, vary(config, batch_norm=False))
    return compare(trainer_class, config)


def check_perceptron(trainer_class: TrainerClass) -> str:
    """The perceptron rule: `w -= lr * (step(z) - y) * x`, where step(0) is 0."""
    config = vary(BINARY, hidden=(), activation=(), optimizer="perceptron", loss="perceptron")
    config = vary(config, output_activation="heaviside", l2=0.0)
    for reduction, task, n_outputs in (("mean", "binary", 1), ("sum", "binary", 1), ("sum", "multilabel", 3)):
        compare(trainer_class, vary(config, reduction=reduction, task=task, n_outputs=n_outputs))
    zeros = tuple({key: np.zeros_like(value) for key, value in layer.items()} for layer in start_of(config))
    return compare(trainer_class, config, start=zeros)


def check_inits(trainer_class: TrainerClass) -> str:
    """Any start is taken as it is given: each law, zeros among them."""
    for init in ("he_uniform", "lecun_normal", "normal(0.5)", "truncated_normal(0.5)", "uniform(0.5)", "zeros"):
        config = vary(SMALL, activation=("sigmoid",))
        message = compare(trainer_class, config, start=start_of(config, Recipe(init=init)))
    return message


def _batches(recipe: Recipe) -> Callable[[TrainerClass], str]:
    def check(trainer_class: TrainerClass) -> str:
        configs = (SMALL, vary(SMALL, optimizer="adam", learning_rate=0.02))
        return compare_each(trainer_class, configs, batches_of(SMALL, recipe))

    length = "as many of equal length as asked for" if recipe.n_batches else "by size"
    check.__doc__ = f"Batches drawn as {recipe.batches}, {length}, the last one {recipe.last_batch}ed."
    return check


def check_full_batch(trainer_class: TrainerClass) -> str:
    """One step an epoch, on all rows."""
    return compare(trainer_class, vary(SMALL, batch_size=N_ROWS))


def check_lengths_that_vary(trainer_class: TrainerClass) -> str:
    """Batches of any length in any order: a short one before a long one, other lengths in the next epoch."""

    class Uneven:
        lengths = ((3, 6, 1, 6), (6, 2, 5, 4), (1, 1, 6, 6))

        def __len__(self) -> int:
            return len(self.lengths)

        def __getitem__(self, epoch: int) -> Epoch:
            rows = np.full((4, 6), -1, np.int64)
            for step, length in enumerate(self.lengths[epoch]):
                rows[step, :length] = (7 * epoch + 5 * step + 3 * np.arange(length)) % N_ROWS
            return Epoch(rows, np.full(4, 0.1))

    batches: Batches = Uneven()
    return compare(trainer_class, vary(SMALL, epochs=3), batches)


def check_early_stopping(trainer_class: TrainerClass) -> str:
    """After a training that was stopped, earlier weights that are set are the ones that it has, and answers with."""

    def check(config: Config) -> str:
        trainer = build(trainer_class, config)
        kept: list[Weights] = []

        def after_epoch(epoch: int) -> bool:
            kept.append(trainer.weights())
            return epoch == 3

        trainer.train(*problem(config), batches_of(config), after_epoch)
        if len(kept) != 3:
            raise CheckFailed(f"after_epoch was called {len(kept)} times, expected 3: it returns True at 3")
        trainer.set_weights(kept[0])
        if deviation(trainer.weights(), kept[0]) != 0:
            raise CheckFailed("the weights of epoch 1 were set after epoch 3, and others came back")
        expected = train(Reference, vary(config, epochs=1))
        off = deviation(kept[0], expected)
        if not (off is not None and off <= 1e-9):
            raise CheckFailed(f"the weights that after_epoch saw after epoch 1 changed later (deviation {off:.2g})")
        return f"restored; largest difference of logits {expect_logits(trainer, config, kept[0]):.1e}"

    message = check(SMALL)
    with contextlib.suppress(Unsupported):
        check(vary(TWO_LAYERS, batch_norm=True))
    return message


PARTS: dict[str, Callable[[TrainerClass], str]] = {
    **{f"task[{name}]": _task(name) for name in TASKS if name != "multiclass"},
    **{f"loss[{name}]": _loss(name) for name in TASKS["regression"]},
    **{f"output_activation[{name}]": _output_activation(name) for name in OUTPUT_ACTIVATIONS if name != "identity"},
    "batches[independent]": _batches(Recipe(batches="independent")),
    "batches[replacement]": _batches(Recipe(batches="replacement")),
    "batches[in_order]": _batches(Recipe(batches="in_order", last_batch="drop")),
    "batches[n_batches]": _batches(Recipe(n_batches=5)),
}
"""The checks that are one for each name."""
