"""A plain trainer as a stack of one, so that the harness sees stacks only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.contract import AfterStackedEpoch, Batches, Config, Epoch, StackTrainer, Trainer, Weights, member, stacked


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
