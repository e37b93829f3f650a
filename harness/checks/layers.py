"""Checks of networks that are lists of layers, and those that are made for each layer of an installed package."""

from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, replace
from itertools import product
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
    expect_logits,
    problem,
    rows_of,
    start_of,
)
from harness.contract import DTYPES, Config, StackTrainer, Weights, vary
from harness.data.prepared import Prepared
from harness.network import LAYERS, BatchNorm, Dense, Dropout, Layer, LeakyReLU, Network, Sigmoid, Tanh
from harness.network.installed import layers
from harness.reference.layers import forward, passes
from harness.reference.trainer import gradients
from harness.training.metrics import loss
from harness.training.parity import deviation
from harness.training.trial import train_stack

_IN_ANY_ORDER: dict[str, tuple[Layer, ...]] = {
    "two dense layers in a row": (Dense(6), Dense(5)),
    "an activation of the inputs, and two in a row": (Tanh(), Dense(6), Sigmoid(), LeakyReLU(0.1)),
    "batch normalisation of the inputs, and behind the activation": (
        BatchNorm(),
        Dense(6),
        Tanh(),
        BatchNorm(0.5, 0.1),
    ),
    "dropout before the activation, and twice": (Dense(6), Dropout(0.2), Tanh(), Dropout(0.3), Dropout(0.1)),
    "dense layers without biases": (Dense(6, use_bias=False), Tanh(), Dense(5, use_bias=False), LeakyReLU(0.2)),
}
"""Networks that hidden and activation cannot write."""


def with_layers(before: Sequence[Layer], **changes: Any) -> Config:
    """The small problem's training of a network with these layers before its logits."""
    config = vary(SMALL, learning_rate=0.05, **changes)
    return replace(config, network=Network(config.network.input_shape, (*before, config.network.layers[-1])))


def check_layers_in_any_order(trainer_class: TrainerClass) -> str:
    """A network is a list: layers follow each other as they stand there, whatever the short form could write."""

    def check(config: Config) -> str:
        expect_logits(build(trainer_class, config), config, start_of(config))
        return compare(trainer_class, config)

    settings = product(_IN_ANY_ORDER.values(), ("sgd", "adam"), DTYPES)
    return each((with_layers(network, optimizer=o, dtype=d) for network, o, d in settings), check)


def of_layer(kind: type[Layer]) -> Callable[[TrainerClass], str]:
    """The check of a layer: its reference by itself, then the backend's part of it, and both in a stack."""
    layer = _example(kind)
    networks = [(layer,), (Dense(5), layer, Tanh()), (layer, Tanh(), layer)]

    def check(trainer_class: TrainerClass) -> str:
        def check_one(config: Config) -> str:
            expect_logits(build(trainer_class, config), config, start_of(config))
            return compare(trainer_class, config)

        for before in networks:
            _check_shapes(with_layers(before))
            _check_gradients(with_layers(before))
        settings = product(networks, ("sgd", "adam"), DTYPES)
        configs = [with_layers(network, optimizer=o, dtype=d) for network, o, d in settings]
        message = each(configs, check_one)
        if issubclass(trainer_class, StackTrainer):
            _check_stack(trainer_class, configs[0])
        return message

    check.__doc__ = f"The layer {kind.name}: shapes, central differences, and the backend's part of it."
    return check


def _example(kind: type[Layer]) -> Any:
    """A layer whose fields are at their defaults; 4 for a number without one, or a half."""
    usual: dict[Any, Any] = {int: 4, float: 0.5, bool: True}
    needed = [each for each in fields(kind) if each.default is MISSING]  # type: ignore[arg-type]
    return kind(**{each.name: usual[each.type] for each in needed})


def _check_shapes(config: Config) -> None:
    """What the layers say of their outputs is what the reference gives."""
    a, _ = problem(config)
    pairs = zip(config.network.shapes(), passes(config.network, start_of(config)), strict=True)
    for (layer, _, behind), reference in pairs:
        a = reference.forward(a, training=False)
        if a.shape != (N_ROWS, *behind):
            said = (N_ROWS, *behind)
            raise CheckFailed(f"the outputs of {layer.name} in the reference are {a.shape}, it says {said}")


def _check_gradients(config: Config) -> None:
    """The reference's gradients against central differences of its loss."""
    config = vary(config, l2=0.0)
    weights, (X, y) = start_of(config), problem(config)
    masks = tuple(np.ones((len(y), *shape), bool) for _, _, shape in config.network.drawn())
    grads = gradients(config, weights, X, y, masks)

    def moved(k: int, key: str, index: tuple[int, ...], by: float) -> float:
        changed: Weights = tuple({name: value.copy() for name, value in layer.items()} for layer in weights)
        changed[k][key][index] += by
        return loss(config, forward(passes(config.network, changed), X, masks)[-1], y)

    owners = [owned for _, owned in config.network.owners()]
    trained = (owned for owned in owners if any(each.trainable for each in owned.values()))
    for k, (owned, layer) in enumerate(zip(trained, grads, strict=True)):
        for key, g in layer.items():
            if g.shape != owned[key].shape:
                raise CheckFailed(f"the gradient of {key} has shape {g.shape}, expected {owned[key].shape}")
            for index in np.ndindex(g.shape):
                h = 1e-6
                measured = (moved(k, key, index, h) - moved(k, key, index, -h)) / (2 * h)
                if abs(measured - g[index]) > 1e-6:
                    raise CheckFailed(
                        f"the gradient of {key}{list(index)} of layer {k} is {g[index]:.9g} in the reference, "
                        f"central differences give {measured:.9g}"
                    )


def _check_stack(trainer_class: type[StackTrainer], config: Config) -> None:
    """A member of a stack ends where the same training alone ends."""
    configs = [config, vary(config, learning_rate=0.02, l2=0.1)]
    starts = [start_of(each) for each in configs]
    part, nothing = rows_of(config), rows_of(config, 0)
    prepared = Prepared(part, nothing, nothing)
    drawn = [batches_of(each) for each in configs]
    together = train_stack(trainer_class, configs, starts, drawn, prepared)
    for own, start, batches, outcome in zip(configs, starts, drawn, together, strict=True):
        alone = train_stack(trainer_class, [own], [start], [batches], prepared)[0]
        apart = deviation(outcome.weights, alone.weights)
        if apart is None or not apart <= 1e-9:
            raise CheckFailed(f"a member of a stack deviates by {apart} from the same training alone")


LAYER_CHECKS: dict[str, Callable[[TrainerClass], str]] = {
    f"layer_{name}": of_layer(kind) for name, kind in layers().items() if name not in LAYERS
}
"""A check for each layer of an installed package."""
