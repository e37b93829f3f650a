"""Between single networks and stacks: the batches of several members, and a plain trainer as a stack of one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.trainer import AfterStackedEpoch, Batches, Config, Epoch, StackTrainer, Trainer, Weights


def stacked(members: Sequence[Weights]) -> Weights:
    """The weights of several networks of the same shapes, along a leading member axis."""
    layers = zip(*members, strict=True)
    return tuple({key: np.stack([layer[key] for layer in same]) for key in same[0]} for same in layers)


def member(weights: Weights, i: int) -> Weights:
    """The weights of one member of a stack."""
    return tuple({key: value[i] for key, value in layer.items()} for layer in weights)


@dataclass(frozen=True)
class StackedBatches:
    """The batches of members that share their rows: learning rates and masks have a leading member axis."""

    members: tuple[Batches, ...]

    def __len__(self) -> int:
        return len(self.members[0])

    def __getitem__(self, epoch: int) -> Epoch:
        drawn = [batches[epoch] for batches in self.members]
        masks = zip(*(each.masks for each in drawn), strict=True)
        return Epoch(drawn[0].rows, np.stack([each.learning_rate for each in drawn]), tuple(map(np.stack, masks)))


def lifted(trainer_class: type[Trainer]) -> type[StackTrainer]:
    """The class itself where it trains stacks, else one that trains stacks of one with it."""
    if issubclass(trainer_class, StackTrainer):
        return trainer_class
    return type(f"Lifted{trainer_class.__name__}", (_StackOfOne,), {"plain": trainer_class})


class _StackOfOne(StackTrainer):
    """A plain trainer behind the methods of a stack."""

    plain: type[Trainer]

    def build_stack(self, configs: Sequence[Config], start: Weights) -> None:
        (config,) = configs
        self.trainer = self.plain(config, member(start, 0))

    def train_stack(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterStackedEpoch) -> None:
        self.trainer.train(X, y, _FirstOf(batches), lambda epoch: bool(after_epoch(epoch)[0]))

    def stack_logits(self, X: np.ndarray) -> np.ndarray:
        return self.trainer.logits(X)[None]

    def stack_weights(self) -> Weights:
        return stacked([self.trainer.weights()])

    def set_stack_weights(self, weights: Weights) -> None:
        self.trainer.set_weights(member(weights, 0))


@dataclass(frozen=True)
class _FirstOf:
    """The batches of the first member."""

    batches: Batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, epoch: int) -> Epoch:
        drawn = self.batches[epoch]
        return Epoch(drawn.rows, drawn.learning_rate[0], tuple(mask[0] for mask in drawn.masks))
