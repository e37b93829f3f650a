"""Checks of a stack: every member ends where it would alone, whatever becomes of the others."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness.checks.parts import BINARY, MULTILABEL, REGRESSION, TWO_LAYERS
from harness.checks.problem import (
    N_ROWS,
    SMALL,
    CheckFailed,
    TrainerClass,
    Unsupported,
    batches_of,
    each,
    expect_close,
    problem,
    rows_of,
    start_of,
)
from harness.contract import (
    DECAYS,
    DTYPES,
    OPTIMIZER_CONSTANTS,
    Config,
    StackedBatches,
    StackTrainer,
    Weights,
    member,
    stacked,
    vary,
)
from harness.draws.recipe import Recipe
from harness.network import CLIPPINGS
from harness.reference.trainer import Reference
from harness.training.floor import ReferenceOutcome, train_reference
from harness.training.parity import deviation


def siblings(config: Config) -> list[Config]:
    """Four configs of one structure that differ in every number in which members may, the first as it is given."""

    def moved(by: float) -> Config:
        changes: dict[str, Any] = {}
        for key in DECAYS:
            changes[key] = max(0.0, 1 - (1 - config.value(key)) * (1 + by))
        for key in CLIPPINGS:
            changes[key] = None if config.value(key) is None else config.value(key) * (1 + by)
        return vary(
            config,
            learning_rate=config.optimizer.learning_rate / (1 + by),
            l2=config.penalty.l2 * (1 + 2 * by),
            l1=config.penalty.l1 * (1 + by),
            dropout=tuple(rate / (1 + by) for rate in config.network.dense["dropout"]),
            epsilon=config.value("epsilon") * (1 + 9 * by),
            initial_accumulator=config.value("initial_accumulator") + by / 10,
            **changes,
        )

    return [config, moved(0.5), vary(moved(0.25), l2=0.0), moved(1.0)]


def start_of_member(config: Config, i: int) -> Weights:
    """The start of the `i`-th member: another for each."""
    return tuple(
        {
            key: (value * (1 + i / 4) if key == "W" else value + i / 10).astype(config.dtype)
            for key, value in layer.items()
        }
        for layer in start_of(config)
    )


class Stack:
    """Members of a stack on the small problem, and what becomes of each when it is trained alone."""

    def __init__(self, trainer_class: TrainerClass, configs: Sequence[Config], recipe: Recipe | None = None) -> None:
        if not issubclass(trainer_class, StackTrainer):
            raise Unsupported(f"{trainer_class.__name__} trains one network at a time: it is no StackTrainer")
        for config in configs:
            reason = trainer_class.refuses(config)
            if reason is not None:
                raise Unsupported(reason)
        self.configs = configs
        self.starts = [start_of_member(config, i) for i, config in enumerate(configs)]
        self.batches = [batches_of(config, recipe or Recipe()) for config in configs]
        self.trainer = trainer_class(configs[0], None)
        self.trainer.build_stack(configs, stacked(self.starts))

    def train(self, leaves_at: dict[int, int] | None = None) -> None:
        """All epochs; `leaves_at` says which member is told to leave after which epoch."""
        leaves_at = leaves_at or {}
        still = list(range(len(self.configs)))

        def after_epoch(epoch: int) -> np.ndarray:
            leave = np.array([leaves_at.get(i) == epoch for i in still])
            still[:] = [i for i, leaves in zip(still, leave, strict=True) if not leaves]
            return leave

        self.trainer.train_stack(*problem(self.configs[0]), StackedBatches(tuple(self.batches)), after_epoch)

    def reference(self, i: int) -> ReferenceOutcome:
        """The `i`-th member trained alone."""
        return train_reference(self.configs[i], self.starts[i], self.batches[i], rows_of(self.configs[i]))

    def weights(self, count: int, when: str) -> Weights:
        """The weights of all members that are held; fail unless there are `count` of them."""
        weights = self.trainer.stack_weights()
        held = {len(value) for layer in weights for value in layer.values()}
        if held != {count}:
            raise CheckFailed(f"stack_weights() holds {', '.join(map(str, sorted(held)))} members {when}, not {count}")
        return weights

    def expect(self, indices: Sequence[int], when: str = "after training") -> str:
        """Fail unless the stack holds just these members, each where it would be alone."""
        weights = self.weights(len(indices), when)
        messages = [self.expect_alone(i, member(weights, k)) for k, i in enumerate(indices)]
        self.expect_logits(indices, weights)
        return messages[0]

    def expect_alone(self, i: int, weights: Weights) -> str:
        """Fail unless the `i`-th member has the weights that it has when it is trained alone."""
        alone = self.reference(i)
        try:
            return expect_close(weights, alone.weights, alone.floor, self.configs[i].dtype)
        except CheckFailed as failure:
            raise CheckFailed(f"member {i + 1} of {len(self.configs)}: {failure}") from None

    def expect_logits(self, indices: Sequence[int], weights: Weights) -> None:
        """Fail unless the logits are those of `weights`, member by member."""
        X, _ = problem(self.configs[0])
        seen = np.asarray(self.trainer.stack_logits(X))
        config = self.configs[0]
        if seen.shape != (len(indices), N_ROWS, config.network.n_outputs):
            raise CheckFailed(
                f"logits have shape {seen.shape}, expected {(len(indices), N_ROWS, config.network.n_outputs)}"
            )
        allowed = {"float64": 1e-11, "float32": 1e-4}[config.dtype]
        for k, i in enumerate(indices):
            off = float(np.abs(seen[k] - Reference(self.configs[i], member(weights, k)).logits(X)).max())
            if not off <= allowed:
                raise CheckFailed(f"logits of member {i + 1} are off by {off:.2g}, allowed {allowed:.2g}")


def _compare(trainer_class: TrainerClass, config: Config, recipe: Recipe | None = None) -> str:
    stack = Stack(trainer_class, siblings(config), recipe)
    stack.train()
    return stack.expect(range(len(stack.configs)))


def check_stack_optimizers(trainer_class: TrainerClass) -> str:
    """Members that differ in learning rate, L2, start and constants end where each would alone, for every optimizer."""
    slow = vary(TWO_LAYERS, learning_rate=0.02)
    configs = [vary(slow, optimizer=name, dtype=dtype) for name in OPTIMIZER_CONSTANTS for dtype in DTYPES]
    return each(configs, lambda config: _compare(trainer_class, config))


def check_stack_tasks(trainer_class: TrainerClass) -> str:
    """The same for every task, with both reductions."""
    configs = [SMALL, BINARY, MULTILABEL, REGRESSION, vary(REGRESSION, loss="huber", output_activation="tanh")]
    slow = [vary(config, learning_rate=0.02, reduction=r) for config in configs for r in ("mean", "sum")]
    return each(slow, lambda config: _compare(trainer_class, config))


def check_stack_regularisers(trainer_class: TrainerClass) -> str:
    """The same with L1, dropout of inputs and units, batch normalisation and clipping, alone and all at once."""
    parts: list[dict[str, Any]] = [
        {"l1": 0.02},
        {"dropout": (0.0, 0.4, 0.2)},
        {"dropout": (0.2, 0.0, 0.3)},
        {"batch_norm": True},
        {"clip_norm": 0.2},
        {"clip_value": 0.02},
    ]
    together: dict[str, Any] = {"l1": 0.01, "dropout": (0.1, 0.4, 0.2), "batch_norm": True, "clip_norm": 0.3}
    slow = vary(TWO_LAYERS, learning_rate=0.02)
    configs = [vary(slow, **part) for part in parts]
    configs += [vary(slow, **together, optimizer=name, dtype=d) for name in ("sgd", "adam") for d in DTYPES]
    return each(configs, lambda config: _compare(trainer_class, config))


def check_stack_batches(trainer_class: TrainerClass) -> str:
    """The same one row at a time, on all rows at once, without hidden layers, and with a schedule."""
    single = vary(SMALL, batch_size=1, epochs=2, learning_rate=0.05)
    configs = [
        single,
        vary(single, optimizer="adam"),
        vary(SMALL, batch_size=N_ROWS),
        vary(SMALL, hidden=(), activation=()),
        vary(SMALL, hidden=(), activation=(), dropout=(0.3,)),
    ]
    _compare(trainer_class, SMALL, Recipe(schedule="exponential", decay_rate=0.5, decay_steps=3))
    return each(configs, lambda config: _compare(trainer_class, config))


def check_stack_member_leaves(trainer_class: TrainerClass) -> str:
    """A member that is told to leave is gone, the others go on as if nothing had happened; then all can be set anew."""

    def check(config: Config) -> str:
        stack = Stack(trainer_class, siblings(config))
        stack.train({1: 2, 3: 3})
        message = stack.expect([0, 2], "when two of four have left")
        stack.trainer.set_stack_weights(stacked(stack.starts))
        if deviation(stack.weights(4, "when all four are set again"), stacked(stack.starts)) != 0:
            raise CheckFailed("set_stack_weights() of all members after two had left: other weights come back")
        stack.expect_logits(range(4), stacked(stack.starts))
        last = Stack(trainer_class, siblings(config))
        last.train({0: 1, 2: 1, 1: 2, 3: 2})
        last.weights(2, "when the last two were told to leave together, and so stay")
        return message

    slow = vary(TWO_LAYERS, learning_rate=0.02)
    adam = {"optimizer": "adam", "dropout": (0.2, 0.3, 0.0)}
    others: tuple[dict[str, Any], ...] = ({}, {"optimizer": "momentum"}, adam, {"batch_norm": True})
    return each((vary(slow, **other) for other in others), check)


def check_stack_member_diverges(trainer_class: TrainerClass) -> str:
    """A member that overflows reaches no other, neither while it is still there nor when it leaves."""

    def check(config: Config) -> str:
        configs = siblings(config)
        configs[1] = vary(configs[1], learning_rate=1e200, l2=1.0)
        stays, leaves = Stack(trainer_class, configs), Stack(trainer_class, configs)
        stays.train()
        weights = stays.weights(4, "when none was told to leave")
        if all(np.isfinite(value[1]).all() for layer in weights for value in layer.values()):
            raise CheckFailed("a learning rate of 1e200 ended with finite weights")
        for i in (0, 2, 3):
            stays.expect_alone(i, member(weights, i))
        leaves.train({1: 1})
        return leaves.expect([0, 2, 3])

    slow = vary(TWO_LAYERS, learning_rate=0.02)
    relu = {"activation": ("relu", "relu"), "clip_norm": 0.3}
    others: tuple[dict[str, Any], ...] = ({}, {"optimizer": "momentum", "dtype": "float32"}, relu)
    return each((vary(slow, **other) for other in others), check)


def check_stack_weights_round_trip(trainer_class: TrainerClass) -> str:
    """The starts come back exactly, member by member; what comes back is a copy."""
    for dtype in DTYPES:
        stack = Stack(trainer_class, siblings(replace(TWO_LAYERS, dtype=dtype)))
        expected = stacked(stack.starts)
        if deviation(stack.trainer.stack_weights(), expected) != 0:
            raise CheckFailed("stack_weights() right after construction are not the starts")
        stack.trainer.stack_weights()[0]["W"][:] = 0
        if deviation(stack.trainer.stack_weights(), expected) != 0:
            raise CheckFailed("stack_weights() hands out the trainer's own arrays, not copies")
        stack.expect_logits(range(4), expected)
    return "starts come back exactly"
