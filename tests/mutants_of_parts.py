"""Adapters with one fault each in a part beyond the plain training, named after the check that must reject it."""

from itertools import pairwise
from unittest import mock

import numpy as np

from harness.contract import vary
from harness.network import ELU, MAE, SELU, Dropout, Heaviside, LeakyReLU, ReLU, RMSprop, Softmax, Softplus
from harness.reference import trainer as reference
from harness.reference.activations import FUNCTIONS, Function
from harness.reference.layers import ActivationPass, BatchNormPass, forward, passes
from harness.reference.losses import BY_OUTPUT, OfError, output
from harness.reference.optimizers import RULES
from harness.reference.trainer import clip, logits_of
from tests.mutants import Changed, Correct, HandsOutItsOwnArrays, L2OffByTwo, PaddedLastBatch, ReshuffledBatches


class Otherwise(Correct):
    """Trains with other functions in the reference's tables."""

    functions = {}

    def _update(self, X, y, learning_rate, masks=()):
        with mock.patch.dict(FUNCTIONS, self.functions):
            super()._update(X, y, learning_rate, masks)


class TargetsOfPlusMinusOne(Correct):
    """Takes the targets of logistic units for -1 and 1."""

    def _update(self, X, y, learning_rate, masks=()):
        super()._update(X, 2 * y - 1 if self.config.task == "binary" else y, learning_rate, masks)


class SumsOverLabels(Correct):
    """Sums a row's loss over its labels, as scikit-learn has it."""

    def __init__(self, config, start):
        super().__init__(config, start)
        self.factor = config.network.n_outputs if config.task == "multilabel" else 1

    def _update(self, X, y, learning_rate, masks=()):
        super()._update(X, y, learning_rate * self.factor, masks)


class FirstTargetOnly(Correct):
    """Broadcasts the first column of the targets."""

    def _update(self, X, y, learning_rate, masks=()):
        first = np.broadcast_to(y[:, :1], y.shape) if self.config.task == "regression" else y
        super()._update(X, first, learning_rate, masks)


class HalfSquaredError(Correct):
    def _update(self, X, y, learning_rate, masks=()):
        super()._update(X, y, learning_rate / (2 if self.config.loss.name == "mse" else 1), masks)


class SmoothedAbsoluteError(Correct):
    """A Huber loss with a small delta in place of the absolute error."""

    def __init__(self, config, start):
        small = {"loss": "huber", "huber_delta": 0.5} if config.loss.name == "mae" else {}
        super().__init__(vary(config, **small), start)

    def _update(self, X, y, learning_rate, masks=()):
        super()._update(X, y, learning_rate * (2 if self.config.value("huber_delta") == 0.5 else 1), masks)


class HuberDeltaOfOne(Correct):
    def __init__(self, config, start):
        super().__init__(vary(config, huber_delta=1.0), start)


class IgnoresOutputActivation(Correct):
    def __init__(self, config, start):
        regression = {"output_activation": "identity"} if config.task == "regression" else {}
        super().__init__(vary(config, **regression), start)


class LogitsAfterTheOutput(Correct):
    """Gives what the network answers in place of its logits."""

    def logits(self, X):
        return output(self.config, super().logits(X)) if self.config.task == "regression" else super().logits(X)


class RightDerivatives(Correct):
    """Takes the derivative at a kink from the right."""

    def _update(self, X, y, learning_rate, masks=()):
        originals = {kind: FUNCTIONS[kind] for kind in (ReLU, LeakyReLU, ELU, SELU)}

        def right(slope):
            return lambda it, a: np.where(a == 0, 1.0, slope(it, a))

        with mock.patch.dict(FUNCTIONS, {kind: Function(f.value, right(f.slope)) for kind, f in originals.items()}):
            super()._update(X, y, learning_rate, masks)


class DefaultSlopes(Correct):
    def __init__(self, config, start):
        super().__init__(vary(config, leaky_slope=0.01, elu_alpha=1.0), start)


class EpsilonInsideTheRoot(Correct):
    """Adagrad and RMSprop as Keras has them: epsilon under the root."""

    def _update(self, X, y, learning_rate, masks=()):
        def rmsprop(it, state, g, learning_rate, t):
            state["v"] = it.rho * state.get("v", np.zeros_like(g)) + (1 - it.rho) * g * g
            return learning_rate * g / np.sqrt(state["v"] + it.epsilon)

        with mock.patch.dict(RULES, {RMSprop: rmsprop}):
            super()._update(X, y, learning_rate, masks)


class ClippedProbabilities(Correct):
    """Keeps probabilities away from 0 and 1 by 1e-7, as losses computed from them have to."""

    def _update(self, X, y, learning_rate, masks=()):
        softmax = FUNCTIONS[Softmax]
        clipped = Function(lambda it, z: np.clip(softmax.value(it, z), 1e-7, 1 - 1e-7), softmax.slope)
        with mock.patch.dict(FUNCTIONS, {Softmax: clipped}):
            super()._update(X, y, learning_rate, masks)


class L1MovesZeros(Correct):
    """Takes 1 for the sign of 0."""

    def _update(self, X, y, learning_rate, masks=()):
        zeros = [layer["W"] == 0 for layer in self._weights]
        super()._update(X, y, learning_rate, masks)
        for layer, zero in zip(self._weights, zeros, strict=True):
            layer["W"] = layer["W"] - learning_rate * self.config.penalty.l1 * zero


class DropoutNotInverted(Correct):
    """Does not divide what it keeps by 1 - rate."""

    def _update(self, X, y, learning_rate, masks=()):
        rates = [layer.rate for layer in self.config.network.dropouts]
        super()._update(X, y, learning_rate, tuple(m * (1 - r) for m, r in zip(masks, rates, strict=True)))


class DropsInInference(Correct):
    def logits(self, X):
        logits = super().logits(X)
        return logits * 0.5 if self.config.network.dropouts else logits


class KeepsAllInputs(Correct):
    """Ignores the mask of the inputs."""

    def _update(self, X, y, learning_rate, masks=()):
        if isinstance(self.config.network.layers[0], Dropout):
            masks = (np.full_like(masks[0], 1 - self.config.network.dense["dropout"][0], dtype=X.dtype), *masks[1:])
        super()._update(X, y, learning_rate, masks)


class UnbiasedRunningVariance(Correct):
    """Runs the variance divided by n - 1, as torch has it."""

    def _update(self, X, y, learning_rate, masks=()):
        before = [np.copy(layer["variance"]) if "variance" in layer else None for layer in self._weights]
        super()._update(X, y, learning_rate, masks)
        for layer, old in zip(self._weights, before, strict=True):
            if old is not None and len(y) > 1:
                kept = self.config.value("batch_norm_momentum")
                layer["variance"] = layer["variance"] + (layer["variance"] - kept * old) / (len(y) - 1)


class SwappedMomentum(Correct):
    """Takes the running moments' momentum for the share of the new."""

    def __init__(self, config, start):
        super().__init__(vary(config, batch_norm_momentum=1 - config.value("batch_norm_momentum")), start)


class PenalisedGamma(Correct):
    def _update(self, X, y, learning_rate, masks=()):
        for layer in self._weights:
            if "gamma" in layer:
                layer["gamma"] = layer["gamma"] * (1 - learning_rate * self.config.penalty.l2)
        super()._update(X, y, learning_rate, masks)


class BatchMomentsInInference(Correct):
    def logits(self, X):
        return (
            forward(passes(self.config.network, self._weights), X, ())[-1]
            if self.config.network.dense["batch_norm"]
            else super().logits(X)
        )


class RefusesOneRow(Correct):
    def _update(self, X, y, learning_rate, masks=()):
        if self.config.network.dense["batch_norm"] and len(y) == 1:
            raise ValueError("expected more than one value for each unit")
        super()._update(X, y, learning_rate, masks)


class ClipsBeforeThePenalty(Correct):
    """Weight decay in the optimizer, after the gradient was clipped."""

    def _update(self, X, y, learning_rate, masks=()):
        config = self.config
        if config.value("clip_norm") or config.value("clip_value"):
            for layer in self._weights:
                layer["W"] = layer["W"] * (1 - learning_rate * config.penalty.l2)
            self.config = vary(config, l2=0.0)
        super()._update(X, y, learning_rate, masks)
        self.config = config


class ClipsEachTensor(Correct):
    """Takes the norm of each tensor alone."""

    def _update(self, X, y, learning_rate, masks=()):
        def each(clipping, grads):
            for layer in grads:
                for key, g in layer.items():
                    clip(clipping, [{key: g}])

        with mock.patch.object(reference, "clip", each):
            super()._update(X, y, learning_rate, masks)


class ClipsALittleMore(Correct):
    """Adds 1e-6 to the norm, as torch has it."""

    def __init__(self, config, start):
        norm = config.value("clip_norm")
        super().__init__(vary(config, clip_norm=norm and norm * (1 - 1e-6)), start)


class ForgetsL1BesideDropout(Correct):
    """Right alone, wrong together."""

    def __init__(self, config, start):
        super().__init__(vary(config, l1=0.0 if config.network.dropouts else config.penalty.l1), start)


class StepIsOneAtZero(Otherwise):
    functions = {Heaviside: Function(lambda it, z: (z >= 0).astype(z.dtype), FUNCTIONS[Heaviside].slope)}


class BreaksSymmetry(Correct):
    """Replaces a start of zeros by small random weights."""

    def __init__(self, config, start):
        rng = np.random.default_rng(0)
        noise = [{**w, "W": w["W"] if w["W"].any() else rng.normal(0, 1e-3, w["W"].shape)} for w in start]
        super().__init__(config, tuple(noise))


class SeesARowOnce(Correct):
    """Leaves out a row that stands in a batch twice."""

    def train(self, X, y, batches, after_epoch):
        def without_repeats(epoch):
            rows = np.full_like(epoch.rows, -1)
            for step, batch in enumerate(epoch.batches()):
                once = np.unique(batch)
                rows[step, : len(once)] = once
            return rows

        super().train(X, y, Changed(batches, without_repeats), after_epoch)


class SeesEveryRow(Correct):
    """Sees the rows of the first epoch again, whatever a later one says."""

    def train(self, X, y, batches, after_epoch):
        first = batches[0].rows
        super().train(X, y, Changed(batches, lambda epoch: first), after_epoch)


class SkipsFullBatches(Correct):
    def _update(self, X, y, learning_rate, masks=()):
        if len(y) < 23:
            super()._update(X, y, learning_rate, masks)


class ExpectsTheShortBatchLast(Correct):
    """Takes the padding of all batches but the last for rows."""

    def train(self, X, y, batches, after_epoch):
        for e in range(len(batches)):
            epoch = batches[e]
            for step, (rows, rate) in enumerate(zip(epoch.rows, epoch.learning_rate, strict=True)):
                chosen = rows[rows >= 0] if step == len(epoch.rows) - 1 else rows
                self._update(X[chosen], y[chosen], float(rate))
            if after_epoch(e + 1):
                return


class NeverSure(Correct):
    """Takes 1 for the sign of a residual of 0."""

    def _update(self, X, y, learning_rate, masks=()):
        with mock.patch.dict(
            BY_OUTPUT, {MAE: OfError(BY_OUTPUT[MAE].value, lambda it, e: np.where(e >= 0, 1.0, -1.0))}
        ):
            super()._update(X, y, learning_rate, masks)


class BendsEarly(Correct):
    """Takes softplus for linear above 20, as torch has it."""

    def logits(self, X):
        softplus = FUNCTIONS[Softplus]
        early = Function(lambda it, z: np.where(z > 20, z, softplus.value(it, z)), softplus.slope)
        with mock.patch.dict(FUNCTIONS, {Softplus: early}):
            return super().logits(X)


class Overflows(Correct):
    """A softplus of `log(1 + exp(z))`, as it is written first."""

    def logits(self, X):
        naive = Function(lambda it, z: np.log1p(np.exp(z)), FUNCTIONS[Softplus].slope)
        with mock.patch.dict(FUNCTIONS, {Softplus: naive}):
            return super().logits(X)


class StopsListening(Correct):
    """Hears no stop after the fourth epoch."""

    def train(self, X, y, batches, after_epoch):
        super().train(X, y, batches, lambda epoch: after_epoch(epoch) and epoch < 5)


class TenClasses(Correct):
    """Counts labels up to 9."""

    def _update(self, X, y, learning_rate, masks=()):
        super()._update(X, np.minimum(y, 9) if y.ndim == 1 else y, learning_rate, masks)


class UnshiftedSoftmax(Correct):
    """`exp(z) / sum(exp(z))` as it is written first: it overflows."""

    def _update(self, X, y, learning_rate, masks=()):
        def softmax(it, z):
            e = np.exp(z)
            return e / e.sum(axis=1, keepdims=True)

        with mock.patch.dict(FUNCTIONS, {Softmax: Function(softmax, FUNCTIONS[Softmax].slope)}):
            super()._update(X, y, learning_rate, masks)


class NoVelocityAtZero(Correct):
    """Does nothing at a momentum of 0, as if there were no velocity to keep."""

    def _update(self, X, y, learning_rate, masks=()):
        if self.config.optimizer.name != "nesterov" or self.config.value("momentum"):
            super()._update(X, y, learning_rate, masks)


class L1WithoutClipping(Correct):
    def __init__(self, config, start):
        super().__init__(vary(config, l1=config.penalty.l1 if config.value("clip_value") is None else 0.0), start)


class DefaultEpsilonInInference(Correct):
    def logits(self, X):
        return logits_of(vary(self.config, batch_norm_epsilon=1e-5).network, self._weights, X)


class ForgetsMomentsOfBatchNorm(Correct):
    """`set_weights` starts the optimizer anew where there is batch normalisation."""

    def set_weights(self, weights):
        super().set_weights(weights)
        if self.config.network.dense["batch_norm"]:
            self.state, self.t = [{key: {} for key in layer} for layer in weights], 0


class HardlyAnyDropout(Correct):
    """Bounds rates by one half."""

    def __init__(self, config, start):
        super().__init__(vary(config, dropout=tuple(min(rate, 0.5) for rate in config.network.dense["dropout"])), start)


# mutant -> the check that must reject it
class NormalisesBeforeTheActivation(Correct):
    """Batch normalisation stands before an activation wherever the list has it behind one."""

    def __init__(self, config, start):
        super().__init__(config, start)
        for k, (first, second) in enumerate(pairwise(self.layers)):
            if isinstance(first, ActivationPass) and isinstance(second, BatchNormPass):
                self.layers[k : k + 2] = second, first


class OneMaskForAll(Correct):
    """Layers that drop units one after the other drop the same."""

    def _update(self, X, y, learning_rate, masks=()):
        super()._update(X, y, learning_rate, [masks[0] if masks[0].shape == m.shape else m for m in masks])


MUTANTS_OF_PARTS = {
    NormalisesBeforeTheActivation: "layers_in_any_order",
    OneMaskForAll: "layers_in_any_order",
    NeverSure: "zero_residual",
    BendsEarly: "far_out",
    Overflows: "far_out",
    StopsListening: "many_epochs",
    TenClasses: "many_outputs",
    UnshiftedSoftmax: "extreme_logits",
    NoVelocityAtZero: "optimizer_constants",
    L1WithoutClipping: "all_regularisers",
    DefaultEpsilonInInference: "batch_norm_in_inference",
    ForgetsMomentsOfBatchNorm: "set_weights_keeps_the_optimizer",
    HardlyAnyDropout: "dropout",
    TargetsOfPlusMinusOne: "task[binary]",
    SumsOverLabels: "task[multilabel]",
    FirstTargetOnly: "task[regression]",
    HalfSquaredError: "loss[mse]",
    SmoothedAbsoluteError: "loss[mae]",
    HuberDeltaOfOne: "loss[huber]",
    IgnoresOutputActivation: ("output_activation[relu]", "output_activation[softplus]", "output_activation[tanh]"),
    LogitsAfterTheOutput: "output_activation[sigmoid]",
    RightDerivatives: "kinks",
    DefaultSlopes: "activation_constants",
    EpsilonInsideTheRoot: "epsilon",
    ClippedProbabilities: "extreme_logits",
    L1MovesZeros: "l1",
    DropoutNotInverted: "dropout",
    DropsInInference: "dropout",
    KeepsAllInputs: "input_dropout",
    UnbiasedRunningVariance: "batch_norm",
    SwappedMomentum: "batch_norm",
    PenalisedGamma: "batch_norm",
    BatchMomentsInInference: "batch_norm_in_inference",
    RefusesOneRow: "batch_norm_of_one_row",
    ClipsBeforeThePenalty: ("clip_norm", "clip_value"),
    ClipsEachTensor: "clip_norm",
    ClipsALittleMore: "clip_norm",
    ForgetsL1BesideDropout: "all_regularisers",
    StepIsOneAtZero: "perceptron",
    BreaksSymmetry: "inits",
    SeesARowOnce: "batches[replacement]",
    SeesEveryRow: "batches[independent]",
    ReshuffledBatches: "batches[in_order]",
    PaddedLastBatch: "batches[n_batches]",
    SkipsFullBatches: "full_batch",
    ExpectsTheShortBatchLast: "lengths_that_vary",
    HandsOutItsOwnArrays: "early_stopping",
    L2OffByTwo: "all_regularisers",
}
