"""Adapters whose fault no small training shows: on larger problems, in the process around them, in one precision."""

import os
import random

import numpy as np

from tests.mutants import Correct


class WrongForManyRows(Correct):
    """Takes too long a step where a batch has more than 64 rows, and nowhere else."""

    def _update(self, X, y, learning_rate, masks=()):
        super()._update(X, y, learning_rate * (1.5 if len(X) > 64 else 1), masks)


class WrongForManyInputs(Correct):
    """The same where there are more than 100 inputs."""

    def _update(self, X, y, learning_rate, masks=()):
        super()._update(X, y, learning_rate * (1.5 if X.shape[1] > 100 else 1), masks)


class FrozenBatches(Correct):
    """Sees the rows of the 31st epoch again in all that follow."""

    def train(self, X, y, batches, after_epoch):
        class Frozen:
            def __len__(self):
                return len(batches)

            def __getitem__(self, epoch):
                return batches[min(epoch, 30)]

        super().train(X, y, Frozen(), after_epoch)


class ForgetsBiasCorrection(Correct):
    """Takes Adam for corrected by itself after 50 steps, as if its moments had no memory of the start."""

    def _update(self, X, y, learning_rate, masks=()):
        if self.t >= 50:
            self.t = 10**6
        super()._update(X, y, learning_rate, masks)


class SilentOnManyRows(Correct):
    """Leaves the logits of more than 1000 rows at zero."""

    def logits(self, X):
        return super().logits(X) * (len(X) <= 1000)


class Float32WhenLarge(Correct):
    """Rounds the inputs of more than 1000 rows."""

    def train(self, X, y, batches, after_epoch):
        rounded = X.astype("float32").astype(X.dtype) if len(X) > 1000 else X
        super().train(rounded, y, batches, after_epoch)


class ScalesItsInputsAndBack(Correct):
    """Writes to its inputs, and puts the same numbers back."""

    def train(self, X, y, batches, after_epoch):
        X *= 2
        X /= 2
        super().train(X, y, batches, after_epoch)


def leaving(name, change):
    """Leaves the process changed by a training."""

    def train(self, X, y, batches, after_epoch):
        Correct.train(self, X, y, batches, after_epoch)
        change()

    return type(name, (Correct,), {"train": train})


SeedsPython = leaving("SeedsPython", lambda: random.seed(0))
SeedsNumpy = leaving("SeedsNumpy", lambda: np.random.seed(0))
DrawsFromNumpy = leaving("DrawsFromNumpy", np.random.random)
SetsErrorHandling = leaving("SetsErrorHandling", lambda: np.seterr(all="raise"))
SetsTheEnvironment = leaving("SetsTheEnvironment", lambda: os.environ.update(FOO="1"))


class OneFunctionForEachPrecision(Correct):
    """Right, and a case of its own: `dgemm` works for float64, `sgemm` for float32."""

    requires = ("scipy",)
    arithmetic = ("scipy.linalg.blas.dgemm", "scipy.linalg.blas.sgemm")

    def _update(self, X, y, learning_rate, masks=()):
        from scipy.linalg import blas

        product = blas.dgemm if X.dtype == np.float64 else blas.sgemm
        super()._update(product(1.0, X, np.eye(X.shape[1], dtype=X.dtype)), y, learning_rate, masks)


class NamesOnePrecision(OneFunctionForEachPrecision):
    arithmetic = ("scipy.linalg.blas.dgemm",)


class NamesAFunctionTooMany(OneFunctionForEachPrecision):
    arithmetic = ("scipy.linalg.blas.dgemm", "scipy.linalg.blas.sgemm", "scipy.linalg.blas.dgemv")


# mutant -> the check that must reject it
SWITCH = ["as it was"]


def switch():
    """A switch that a framework has for the whole process."""
    return SWITCH[0]


class LeavesASwitchOn(Correct):
    """Sets a global switch of its framework, and does not put it back."""

    switches = ("tests.mutants_at_large.switch",)

    def train(self, X, y, batches, after_epoch):
        SWITCH[0] = f"{SWITCH[0]}, and on"
        super().train(X, y, batches, after_epoch)


class NamesASwitchThatThereIsNot(Correct):
    switches = ("tests.mutants_at_large.no_such_switch",)


MUTANTS_AT_LARGE = {
    LeavesASwitchOn: "process_left_alone",
    NamesASwitchThatThereIsNot: "process_left_alone",
    NamesOnePrecision: "own_arithmetic",
    NamesAFunctionTooMany: "own_arithmetic",
    WrongForManyRows: "larger",
    WrongForManyInputs: "larger",
    FrozenBatches: "larger",
    ForgetsBiasCorrection: "larger",
    SilentOnManyRows: "larger",
    Float32WhenLarge: "larger",
    ScalesItsInputsAndBack: "inputs_not_mutated",
    SeedsPython: "process_left_alone",
    SeedsNumpy: "process_left_alone",
    DrawsFromNumpy: "process_left_alone",
    SetsErrorHandling: "process_left_alone",
    SetsTheEnvironment: "process_left_alone",
}
