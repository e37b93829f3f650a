"""Trainers that are planted in a benchmark. A process of their own imports them, so this module is small."""

import os
from dataclasses import replace

from harness.reference.trainer import Reference


class WrongTrainer(Reference):
    """Its gradient is 1 % too long."""

    def train(self, X, y, batches, after_epoch):
        longer = [replace(batches[e], learning_rate=1.01 * batches[e].learning_rate) for e in range(len(batches))]
        super().train(X, y, longer, after_epoch)


class CrashingTrainer(Reference):
    """Takes its process with it, but only after the parity gate."""

    def train(self, X, y, batches, after_epoch):
        if len(batches) == 1:
            os._exit(3)
        super().train(X, y, batches, after_epoch)


class HastyTrainer(Reference):
    """Stops when it likes."""

    def train(self, X, y, batches, after_epoch):
        super().train(X, y, batches, lambda epoch: after_epoch(epoch) or (len(batches) > 3 and epoch == 4))


class TellingTrainer(Reference):
    """Says under which conditions it was imported."""

    conditions = f"{os.environ['OMP_NUM_THREADS']} {os.environ['TF_NUM_INTRAOP_THREADS']}"

    @classmethod
    def unsupported(cls, config):
        return cls.conditions
