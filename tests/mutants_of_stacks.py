"""Stack trainers with one fault each; every fault is named after the check that must reject it."""

from dataclasses import replace

import numpy as np

from harness.contract import Epoch, StackTrainer, member, stacked, vary
from harness.reference.trainer import Reference


class OneEpoch:
    """One epoch of one member of a stack's batches."""

    def __init__(self, epoch, i):
        self.epoch = Epoch(epoch.rows, epoch.learning_rate[i], tuple(mask[i] for mask in epoch.masks))

    def __len__(self):
        return 1

    def __getitem__(self, number):
        return self.epoch


class CorrectStack(StackTrainer):
    """The starting point: references side by side, an epoch each in turn."""

    name = "mutant"
    requires = ("numpy",)
    vocabulary = Reference.vocabulary

    def build_stack(self, configs, start):
        self.members = [Reference(config, member(start, i)) for i, config in enumerate(configs)]
        self.here = list(range(len(configs)))

    def train_stack(self, X, y, batches, after_epoch):
        for e in range(len(batches)):
            self.one_epoch(X, y, batches[e])
            leave = after_epoch(e + 1)
            if leave.all():
                return
            self.here = [i for i, leaves in zip(self.here, leave, strict=True) if not leaves]

    def one_epoch(self, X, y, epoch):
        for i in self.here:
            self.members[i].train(X, y, OneEpoch(epoch, i), lambda number: False)

    def stack_logits(self, X):
        return np.stack([self.members[i].logits(X) for i in self.here])

    def stack_weights(self):
        return stacked([self.members[i].weights() for i in self.here])

    def set_stack_weights(self, weights):
        if len(weights[0]["W"]) == len(self.members):
            self.here = list(range(len(self.members)))
        for k, i in enumerate(self.here):
            self.members[i].set_weights(member(weights, k))


class OneLearningRate(CorrectStack):
    """Trains all members at the first one's learning rate."""

    def one_epoch(self, X, y, epoch):
        super().one_epoch(X, y, replace(epoch, learning_rate=np.tile(epoch.learning_rate[:1], (len(self.members), 1))))


def one_number(key):
    """Gives all members the first one's number."""

    def build_stack(self, configs, start):
        shared = configs[0].value(key)
        CorrectStack.build_stack(self, [vary(config, **{key: shared}) for config in configs], start)

    return type(f"One_{key}", (CorrectStack,), {"build_stack": build_stack})


class OneMask(CorrectStack):
    """Drops the same units in all members."""

    def one_epoch(self, X, y, epoch):
        masks = tuple(np.tile(mask[:1], (len(mask), 1, 1, 1)) for mask in epoch.masks)
        super().one_epoch(X, y, replace(epoch, masks=masks))


class OneStart(CorrectStack):
    def build_stack(self, configs, start):
        super().build_stack(configs, stacked([member(start, 0)] * len(configs)))


class LeavesNothing(CorrectStack):
    """A member that is told to leave stays."""

    def train_stack(self, X, y, batches, after_epoch):
        present = [True] * len(self.members)

        def deaf(epoch):
            leave = after_epoch(epoch)
            still = [i for i, there in enumerate(present) if there]
            for i, leaves in zip(still, leave, strict=True):
                present[i] = not leaves
            return np.zeros(len(self.members), bool)

        super().train_stack(X, y, batches, deaf)


class ShiftsNumbers(CorrectStack):
    """After a member has left, the others train at their neighbours' learning rates."""

    def one_epoch(self, X, y, epoch):
        for k, i in enumerate(self.here):
            shifted = Epoch(epoch.rows, epoch.learning_rate, epoch.masks)
            self.members[i].train(X, y, OneEpoch(shifted, k), lambda number: False)


class CannotComeBack(CorrectStack):
    """What has left cannot be set again."""

    def set_stack_weights(self, weights):
        for k, i in enumerate(self.here):
            self.members[i].set_weights(member(weights, k))


class Poisoned(CorrectStack):
    """Subtracts the mean over the members of something that is 0 but for a member that is not finite."""

    def one_epoch(self, X, y, epoch):
        super().one_epoch(X, y, epoch)
        total = sum(self.members[i].weights()[0]["W"].sum() for i in self.here)
        with np.errstate(all="ignore"):
            for i in self.here:
                weights = self.members[i].weights()
                weights[0]["W"] += 0 * total
                self.members[i].set_weights(weights)


class FirstRowOnly(CorrectStack):
    """Right for full batches of several rows; a batch of one row is left out."""

    def one_epoch(self, X, y, epoch):
        if epoch.rows.shape[1] > 1:
            super().one_epoch(X, y, epoch)


class StackHandsOutItsOwnArrays(CorrectStack):
    def stack_weights(self):
        if not hasattr(self, "kept"):
            self.kept = super().stack_weights()
        return self.kept


class Logits(CorrectStack):
    """Answers with the first member's logits for all."""

    def stack_logits(self, X):
        return np.stack([self.members[self.here[0]].logits(X)] * len(self.here))


MUTANTS_OF_STACKS = {
    OneLearningRate: ("stack_optimizers", "stack_tasks", "stack_batches"),
    **{one_number(key): "stack_optimizers" for key in ("l2", "momentum", "beta_1", "beta_2", "rho", "epsilon")},
    one_number("initial_accumulator"): "stack_optimizers",
    **{one_number(key): "stack_regularisers" for key in ("l1", "dropout", "clip_norm", "clip_value")},
    OneMask: "stack_regularisers",
    OneStart: ("stack_tasks", "stack_weights_round_trip"),
    LeavesNothing: "stack_member_leaves",
    ShiftsNumbers: "stack_member_leaves",
    CannotComeBack: "stack_member_leaves",
    Poisoned: "stack_member_diverges",
    FirstRowOnly: "stack_batches",
    StackHandsOutItsOwnArrays: "stack_weights_round_trip",
    Logits: ("stack_weights_round_trip", "stack_tasks"),
}
