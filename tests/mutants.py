"""Adapters with one fault each, made from a correct one; every fault is named after the check that must reject it."""

import numpy as np

from backends.numpy.trainer import NumpyTrainer
from harness.contract import Epoch, NativeFit, vary
from harness.reference.activations import sigmoid
from harness.reference.layers import passes
from harness.reference.trainer import Reference, logits_of


class Correct(Reference):
    """The starting point of every mutant: it passes all checks but `native` (it has none) and `own_arithmetic`."""

    name = "mutant"


class TransposedWeights(Correct):
    """Uses `W.T` where `W` is meant: invisible in the shapes of a square layer."""

    def logits(self, X):
        first, *others = self._weights
        return logits_of(self.config.network, ({**first, "W": first["W"].T}, *others), X)


class HandsOutItsOwnArrays(Correct):
    def weights(self):
        return self._weights


class L2OffByTwo(Correct):
    """`l2 * W**2` without the half, as Keras has it."""

    def __init__(self, config, start):
        super().__init__(vary(config, l2=2 * config.penalty.l2), start)


class PenalisedBiases(Correct):
    """L2 on biases too, as torch's `weight_decay` has it by default."""

    def _update(self, X, y, learning_rate, masks=()):
        for layer in self._weights:
            layer["b"] = layer["b"] * (1 - learning_rate * self.config.penalty.l2)
        super()._update(X, y, learning_rate, masks)


class EpsilonHat(Correct):
    """Adam with epsilon beside the uncorrected root, as scikit-learn and Keras have it."""

    def _update(self, X, y, learning_rate, masks=()):
        config = self.config
        correction = np.sqrt(1 - config.value("beta_2") ** (self.t + 1))
        self.config = vary(config, epsilon=config.value("epsilon") / correction)
        super()._update(X, y, learning_rate, masks)
        self.config = config


class DroppedLastBatch(Correct):
    def train(self, X, y, batches, after_epoch):
        super().train(X, y, Changed(batches, lambda epoch: epoch.rows[(epoch.rows >= 0).all(axis=1)]), after_epoch)


class ReshuffledBatches(Correct):
    """Takes the steps of an epoch in another order: every row is still seen once."""

    def train(self, X, y, batches, after_epoch):
        super().train(X, y, Changed(batches, lambda epoch: epoch.rows[::-1]), after_epoch)


class PaddedLastBatch(Correct):
    """Divides by the full batch size in a batch that is shorter."""

    def _update(self, X, y, learning_rate, masks=()):
        short = self.config.reduction == "mean" and len(y) < self.config.batch_size <= 6
        super()._update(X, y, learning_rate * (len(y) / self.config.batch_size if short else 1), masks)


class FirstLearningRateOnly(Correct):
    def train(self, X, y, batches, after_epoch):
        self.rate = batches[0].learning_rate[0]
        super().train(X, y, batches, after_epoch)

    def _update(self, X, y, learning_rate, masks=()):
        super()._update(X, y, float(self.rate), masks)


class SinglePrecisionConstants(Correct):
    """Sends the optimizer's constants through float32, as Keras does with Python floats."""

    def __init__(self, config, start):
        names = ("momentum", "beta_1", "beta_2", "rho", "epsilon", "initial_accumulator")
        super().__init__(vary(config, **{name: float(np.float32(config.value(name))) for name in names}), start)


class NeverStops(Correct):
    def train(self, X, y, batches, after_epoch):
        super().train(X, y, batches, lambda epoch: after_epoch(epoch) and False)


class CallsBackTooEarly(Correct):
    """Calls `after_epoch` before the epoch's last step."""

    def train(self, X, y, batches, after_epoch):
        for e in range(len(batches)):
            *most, last = zip(batches[e].batches(), batches[e].learning_rate, strict=True)
            for rows, rate in most:
                self._update(X[rows], y[rows], float(rate))
            stop = after_epoch(e + 1)
            self._update(X[last[0]], y[last[0]], float(last[1]))
            if stop:
                return


class ScalesItsInputsInPlace(Correct):
    def train(self, X, y, batches, after_epoch):
        super().train(X, y, batches, after_epoch)
        X *= 2


class RandomStart(Correct):
    """Adds noise of its own to the start."""

    def train(self, X, y, batches, after_epoch):
        for layer in self._weights:
            layer["W"] = layer["W"] + np.random.default_rng().normal(0, 1e-3, layer["W"].shape)
        super().train(X, y, batches, after_epoch)


class SharedState(Correct):
    """Keeps its network in the class: the next trainer takes it over."""

    def __init__(self, config, start):
        super().__init__(config, start)
        SharedState.latest = self

    def train(self, X, y, batches, after_epoch):
        latest = SharedState.latest
        Correct.train(latest, X.astype(latest.config.dtype), y, batches, after_epoch)
        if latest is not self and latest.config.network.units != self.config.network.units:
            return


class RaisesOnOverflow(Correct):
    def train(self, X, y, batches, after_epoch):
        super().train(X, y, batches, after_epoch)
        if not np.isfinite(self._weights[0]["W"]).all():
            raise OverflowError("numbers too large")


class NumpyBehindTorch(Reference):
    """Bears a framework's name, imports it, and computes in NumPy."""

    name = "torch"
    requires = ("torch",)
    arithmetic = ("torch.nn.functional.linear", "torch.optim.SGD.step")


class DummyCall(NumpyBehindTorch):
    """As above, and calls the framework once, throwing the result away."""

    arithmetic = ("torch.nn.functional.linear",)

    def logits(self, X):
        import torch

        torch.nn.functional.linear(torch.zeros(1, 1), torch.zeros(1, 1))
        return super().logits(X)


class FlooredSoftmax(Correct):
    """A sigmoid clipped away from 0 and 1, as some course codes have it."""

    def logits(self, X):
        logits = super().logits(X)
        return (
            np.log(np.clip(sigmoid(logits), 1e-3, 1 - 1e-3))
            if self.config.network.dense["activation"] == ("sigmoid",)
            else logits
        )


class UnseededNative(NumpyTrainer):
    def fit_native(self, X, y, seed):
        return super().fit_native(X, y, np.random.SeedSequence().entropy % 2**31)


class Float32Inside(Correct):
    """Computes in float32 whatever the configuration says, and hands float64 back."""

    def _update(self, X, y, learning_rate, masks=()):
        super()._update(X.astype("float32").astype(X.dtype), y, learning_rate, masks)


class IgnoresMean(Correct):
    """Sums the loss whatever the reduction."""

    def __init__(self, config, start):
        super().__init__(vary(config, reduction="sum"), start)


class StaleLogits(Correct):
    """Answers with the logits of the start for ever."""

    def __init__(self, config, start):
        super().__init__(config, start)
        self.start = Reference(config, start)

    def logits(self, X):
        return self.start.logits(X)


class FirstActivationOnly(Correct):
    """Computes the logits with the first layer's activation everywhere."""

    def logits(self, X):
        config = vary(
            self.config,
            activation=self.config.network.dense["activation"][:1] * len(self.config.network.dense["hidden"]),
        )
        return Reference(config, self.weights()).logits(X)


class SkipsBatchesOfOne(Correct):
    def _update(self, X, y, learning_rate, masks=()):
        if len(y) > 1:
            super()._update(X, y, learning_rate, masks)


class ForgetsMomentsWithWeights(Correct):
    """`set_weights` starts the optimizer anew."""

    def set_weights(self, weights):
        super().set_weights(weights)
        self.state, self.t = [{"W": {}, "b": {}} for _ in weights], 0


class Float32WhenWide(Correct):
    def _update(self, X, y, learning_rate, masks=()):
        super()._update(X.astype("float32").astype(X.dtype) if X.shape[1] > 8 else X, y, learning_rate, masks)


class IgnoresSmallL2(Correct):
    def __init__(self, config, start):
        super().__init__(vary(config, l2=config.penalty.l2 if config.penalty.l2 >= 1e-3 else 0.0), start)


class ClippedLogits(Correct):
    def logits(self, X):
        return np.clip(super().logits(X), -15, 15)


class SinglePrecisionLogits(Correct):
    """Rounds its logits to half precision where float32 was asked for."""

    def logits(self, X):
        logits = super().logits(X)
        return logits.astype("float16").astype("float32") if self.config.dtype == "float32" else logits


class StringForATuple(Correct):
    requires = "numpy"


class WrongShapes(Correct):
    """Gives biases as a column."""

    def weights(self):
        return tuple({**layer, "b": layer["b"][:, None]} for layer in super().weights())


class WrongDtype(Correct):
    def weights(self):
        return tuple({key: value.astype("float64") for key, value in layer.items()} for layer in super().weights())


class IgnoresSetWeights(Correct):
    def set_weights(self, weights):
        if not hasattr(self, "_weights"):
            super().set_weights(weights)


class DividesL2InSums(Correct):
    """Divides the penalty by the rows of the batch where the loss is summed."""

    def _update(self, X, y, learning_rate, masks=()):
        config = self.config
        if config.reduction == "sum":
            self.config = vary(config, l2=config.penalty.l2 / len(y))
        super()._update(X, y, learning_rate, masks)
        self.config = config


class TrainsTheStartInPlace(Correct):
    def __init__(self, config, start):
        super().__init__(config, start)
        self.layers = passes(config.network, start)


class HidesOverflow(Correct):
    """Replaces what is not finite by zero."""

    def weights(self):
        return tuple({key: np.nan_to_num(value) for key, value in layer.items()} for layer in super().weights())


class TextAsArithmetic(Correct):
    arithmetic = "numpy.matmul"


class RequiresNothingThereIs(Correct):
    requires = ("numpyy",)


class ForeignArithmetic(Correct):
    requires = ("torch",)
    arithmetic = ("numpy.exp",)


class OwnFunctionAsArithmetic(Correct):
    requires = ("tests",)
    arithmetic = ("tests.mutants.sigmoid",)


class NativeCountsWrong(NumpyTrainer):
    def fit_native(self, X, y, seed):
        return NativeFit(super().fit_native(X, y, seed).epochs_run + 1)


class NativeGivesNothing(NumpyTrainer):
    def fit_native(self, X, y, seed):
        super().fit_native(X, y, seed)


class NativeOfNoIdiom(NumpyTrainer):
    """No mutant: `fit_native` may say that the framework has no idiom of its own."""

    def fit_native(self, X, y, seed):
        raise NotImplementedError("this framework has no idiom for that")


class NativeCurveTooShort(NumpyTrainer):
    def fit_native(self, X, y, seed):
        return NativeFit(super().fit_native(X, y, seed).epochs_run, {"loss": [1.0]})


class NativeLogitsOfOthers(NumpyTrainer):
    def logits(self, X):
        return super().logits(X) * 1.001


# mutant -> the check that must reject it
MUTANTS = {
    TransposedWeights: "logits",
    FlooredSoftmax: "logits",
    StringForATuple: "declaration",
    TextAsArithmetic: ("declaration", "own_arithmetic"),
    RequiresNothingThereIs: "declaration",
    WrongShapes: "one_step",
    WrongDtype: "weights_round_trip",
    IgnoresSetWeights: "weights_round_trip",
    DividesL2InSums: "l2",
    TrainsTheStartInPlace: "inputs_not_mutated",
    HidesOverflow: "divergence_is_reported",
    ForeignArithmetic: "own_arithmetic",
    OwnFunctionAsArithmetic: "own_arithmetic",
    NativeCountsWrong: "native",
    NativeGivesNothing: "native",
    NativeCurveTooShort: "native",
    NativeLogitsOfOthers: "native",
    SinglePrecisionLogits: "logits",
    StaleLogits: "logits_after_training",
    FirstActivationOnly: "mixed_activations",
    SkipsBatchesOfOne: "partial_last_batch",
    ForgetsMomentsWithWeights: "set_weights_keeps_the_optimizer",
    Float32WhenWide: "many_inputs",
    IgnoresSmallL2: "l2",
    ClippedLogits: "saturation",
    HandsOutItsOwnArrays: "weights_round_trip",
    L2OffByTwo: "l2",
    PenalisedBiases: "biases_not_penalised",
    EpsilonHat: "epsilon",
    SinglePrecisionConstants: "optimizer_constants",
    DroppedLastBatch: "partial_last_batch",
    PaddedLastBatch: "partial_last_batch",
    ReshuffledBatches: "batch_order",
    FirstLearningRateOnly: "learning_rate_per_step",
    NeverStops: "stops_early",
    CallsBackTooEarly: "stops_early",
    ScalesItsInputsInPlace: "inputs_not_mutated",
    RandomStart: "same_result_twice",
    SharedState: "two_trainers_at_once",
    RaisesOnOverflow: "divergence_is_reported",
    NumpyBehindTorch: "own_arithmetic",
    DummyCall: "own_arithmetic",
    UnseededNative: "native",
    Float32Inside: "one_step",
    IgnoresMean: "five_epochs[sgd-tanh-mean-float64]",
}


class Changed:
    """Batches whose rows went through a function."""

    def __init__(self, batches, change):
        self.batches, self.change = batches, change

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, epoch):
        drawn = self.batches[epoch]
        rows = self.change(drawn)
        return Epoch(rows, drawn.learning_rate[: len(rows)])
