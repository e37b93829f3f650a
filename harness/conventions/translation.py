"""How a row of the conventions table reads an experiment: the config and the recipe that it makes of them."""

from dataclasses import replace
from typing import Any

from harness.contract import Config, vary
from harness.conventions.table import CONSTANTS, CONVENTIONS, GIVEN, Row, activations_under, family
from harness.draws.recipe import Recipe


def controlled_row(config: Config, recipe: Recipe) -> Row:
    """The harness's own row, with the numbers of one config."""
    return Row(
        init=recipe.init,
        bias=recipe.bias,
        batches=recipe.batches,
        n_batches=recipe.n_batches,
        last_batch=recipe.last_batch,
        reduction=config.reduction,
        dtype=config.dtype,
        optimizer=family(config.optimizer.name),
        nesterov=config.optimizer.name == "nesterov",
        **{name: config.value(name) for name in CONSTANTS if name != "momentum"},
        momentum=0.0 if config.optimizer.name in ("sgd", "perceptron") else config.value("momentum"),
    )


def config_under(config: Config, row: Row, n_train: int) -> Config:
    """The config that a row makes of the experiment's: its numbers in place of those that the row has of its own."""
    given: dict[str, Any] = {
        name: getattr(row, name) for name in ("hidden", "epochs", "learning_rate") if getattr(row, name) != GIVEN
    }
    sizes = {GIVEN: config.batch_size, "min(200, n)": min(200, n_train), "n": n_train}
    sizes["n // (n // b)"] = n_train // max(1, n_train // config.batch_size)
    optimizer = row.optimizer
    if optimizer == "sgd" and row.momentum > 0:
        optimizer = "nesterov" if row.nesterov else "momentum"
    if config.optimizer.name == "perceptron":
        optimizer = "perceptron"
    return vary(
        config,
        activation=activations_under(config, row),
        batch_size=min(sizes.get(row.batch_size, row.batch_size), n_train),  # type: ignore[arg-type]
        reduction="sum" if row.reduction == "sum" else "mean",
        optimizer=optimizer,
        dtype=row.dtype,
        **{name: getattr(row, name) for name in CONSTANTS},
        **given,
    )


def recipe_under(row: Row, recipe: Recipe) -> Recipe:
    """How start and batches are drawn under a row; the schedule of the learning rate stays the experiment's."""
    return replace(
        recipe,
        init=row.init,
        bias=row.bias,
        batches=row.batches,
        n_batches=row.n_batches,
        last_batch=row.last_batch,
    )


def differing(config: Config, a: Row, b: Row) -> list[str]:
    """The conventions in which two rows differ, and which have an effect on `config` under one of them."""
    return [
        name
        for name, convention in CONVENTIONS.items()
        if getattr(a, name) != getattr(b, name) and (convention.applies(config, a) or convention.applies(config, b))
    ]
