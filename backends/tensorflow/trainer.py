"""TensorFlow: tensors, `tf.GradientTape` and updates written by hand, as in its classic tutorials, with a member axis.

The members of a stack come first and the rows last: weights are `(members, n_out, n_in)`, activations `(members,
units, rows)`, and all else is `(members, units, 1)`. So the first layer, whose inputs all members share, is one matrix
product as wide as all of them together, its gradient another, and nothing is transposed but the logits.

How the conventions of `harness/reference/trainer.py` were matched:

- The losses are those of `tf.nn`, or plain arithmetic on the error. The tape differentiates each row's, weighted by 1
  over the rows of the batch for the mean, by 1 for the sum; the gradients of the penalties are added to that.
- A shorter batch is padded with its own first row at weight 0, which is exact, so that one graph runs every batch.
- The sigmoid, ELU and SELU are written out: those of `tf.nn` round otherwise where they saturate, or have no alpha.
- Batch normalisation is written out: `tf.nn.batch_normalization` computes `z*s + (beta - mean*s)`, which cancels.
- TensorFlow's fused optimizer kernels put epsilon elsewhere; the updates below are those of the papers.
- Every constant is a float64 number until it is rounded once. `tf.cast(0.9, tf.float64)` would go through float32.

The native mode is in `backends/tensorflow/native.py`.
"""

import functools
import os
from collections.abc import Sequence
from dataclasses import replace

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # `tf.keras`, used by the native optimizers, reads it at import

import numpy as np
import tensorflow as tf

from backends.tensorflow.layers import LAYER, Owned, Step, forward
from backends.tensorflow.losses import LOSS, losses_of_rows
from backends.tensorflow.native import VOCABULARY, NativeNetwork, quiet
from backends.tensorflow.optimizers import UPDATES
from harness import network
from harness.contract import (
    OPTIMIZER_CONSTANTS,
    AfterStackedEpoch,
    Batches,
    Config,
    Epoch,
    NativeFit,
    StackTrainer,
    Weights,
    structure_of,
)

Constants = dict[str, tf.Tensor]


def penalised(config: Config, c: Constants, W: tf.Variable, gradient: tf.Tensor) -> tf.Tensor:
    """The gradient of a weight matrix with those of its penalties, `l2 * W` and `l1 * sign(W)`."""
    gradient += c["l2"] * W
    return gradient + c["l1"] * tf.sign(W) if config.penalty.l1 > 0 else gradient


def clipped(config: Config, c: Constants, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """`g * min(1, c / norm)`, the norm over all tensors of a member together, then every element within -c and c.

    `tf.clip_by_global_norm` multiplies by `c * min(1 / norm, 1 / c)`, which is not quite 1 for a small gradient.
    """
    if config.value("clip_norm") is not None:
        squares = [tf.square(tf.cast(g, tf.float64)) for g in gradients]
        norm = tf.sqrt(tf.add_n([tf.reduce_sum(square, axis=[1, 2], keepdims=True) for square in squares]))
        factor = tf.cast(tf.minimum(tf.ones_like(norm), c["clip_norm"] / norm), config.dtype)
        gradients = [g * factor for g in gradients]
    if config.value("clip_value") is not None:
        gradients = [tf.clip_by_value(g, -c["clip_value"], c["clip_value"]) for g in gradients]
    return gradients


def numbers_of(configs: Sequence[Config]) -> dict[str, np.ndarray]:
    """What the steps of every member read, `(members, 1, 1)` in float64: 1 - 0.999 loses digits in float32."""
    config = configs[0]
    names = ("l2", "l1", "clip_norm", "clip_value", *OPTIMIZER_CONSTANTS[config.optimizer.name])
    used = [name for name in names if config.value(name) is not None]
    numbers = {name: _of_members([member.value(name) for member in configs]) for name in used}
    numbers |= {f"1 - {name}": 1 - numbers[name] for name in ("beta_1", "beta_2", "rho") if name in numbers}
    members = zip(*(member.network.dropouts for member in configs), strict=True)
    rates = [_of_members([layer.rate for layer in same]) for same in members]
    return numbers | {f"1 - dropout[{k}]": 1 - rate for k, rate in enumerate(rates)}


def _of_members(values: Sequence[float]) -> np.ndarray:
    return np.array(values, np.float64).reshape(-1, 1, 1)


def rounded(numbers: dict[str, np.ndarray], dtype: str) -> Constants:
    """Each number rounded once, and infinite where it is too large; the norm that clips is measured in float64."""
    with np.errstate(all="ignore"):
        return {k: tf.constant(value if k == "clip_norm" else value.astype(dtype)) for k, value in numbers.items()}


@functools.lru_cache(maxsize=64)
def epoch_traced_once(config: Config):
    """One epoch as a `tf.function`, shared by all trainers of one structure: tracing costs more than an epoch.

    `config` comes from `structure_of`. Whatever may differ between such trainers (variables, data, learning rates,
    constants, the number of members) is an argument. XLA gains little, and compiles anew for every number of members.
    """
    update, _ = UPDATES[type(config.optimizer)]

    @tf.function(reduce_retracing=True)
    def run_epoch(owners, slots, X, y, rows, valid, masks, by_step, constants):
        variables = trained(config, owners)
        for step in tf.range(tf.shape(rows)[0]):
            c = constants | {name: values[step] for name, values in by_step.items()}
            dropped = [(mask[step], c[f"1 - dropout[{k}]"]) for k, mask in enumerate(masks)]
            with tf.GradientTape() as tape:
                logits = forward(config, owners, tf.gather(X, rows[step]), Step(iter(dropped), valid[step]))
                losses = losses_of_rows(config, logits, tf.gather(y, rows[step]))
            weight = valid[step] / tf.reduce_sum(valid[step]) if config.reduction == "mean" else valid[step]
            gradients = tape.gradient(losses, [w for _, w in variables], tf.broadcast_to(weight, tf.shape(losses)))
            pairs = zip(variables, gradients, strict=True)
            gradients = clipped(
                config, c, [penalised(config, c, w, g) if each.penalised else g for (each, w), g in pairs]
            )
            for (_, w), g, own in zip(variables, gradients, slots, strict=True):
                update(w, g, own, c)

    return run_epoch


def trained(config: Config, owners: Sequence[Owned]) -> list[tuple[network.Parameter, tf.Variable]]:
    """The variables that have a gradient, and what they are: all but the running moments of batch normalisation."""
    pairs = zip(config.network.owners(), owners, strict=True)
    return [
        (parameters[key], w)
        for (_, parameters), owned in pairs
        for key, w in owned.items()
        if parameters[key].trainable
    ]


def rows_last(value: np.ndarray) -> np.ndarray:
    """A tensor of the contract as it is kept here: a matrix of every member turned, a vector as a column."""
    return value.swapaxes(1, 2) if value.ndim == 3 else value[..., None]


def of_contract(parameter: network.Parameter, value: np.ndarray) -> np.ndarray:
    """The inverse of `rows_last`, always a copy."""
    return np.array(value.swapaxes(1, 2) if len(parameter.shape) == 2 else value[..., 0], order="C")


class TensorFlowTrainer(StackTrainer):
    """Networks of `tf.Variable`s, trained one traced epoch at a time.

    No variable's shape says how many members there are: one trace serves every number, and who leaves is cut out.
    """

    name = "tensorflow"
    requires = ("tensorflow",)
    native_vocabulary = VOCABULARY
    vocabulary = (*LAYER, network.CrossEntropy, *LOSS, *UPDATES, *network.CLIPPINGS.values())
    arithmetic = (
        "tensorflow.matmul",
        "tensorflow.nn.sparse_softmax_cross_entropy_with_logits",
        "tensorflow.GradientTape.gradient",
    )
    native: NativeNetwork | None = None

    @classmethod
    def unsupported(cls, config: Config) -> str | None:
        reason = "the perceptron rule is no gradient descent: its step has no derivative; only numpy has it"
        return reason if config.optimizer.name == "perceptron" else None

    def build_stack(self, configs: Sequence[Config], start: Weights) -> None:
        self.structure = replace(structure_of(configs[0]), batch_size=0, epochs=0)  # which no trace depends on
        self.members = np.arange(len(configs))  # those that are still there
        self.numbers = numbers_of(configs)
        self.owners = [{key: self._variable(rows_last(value)) for key, value in layer.items()} for layer in start]
        _, slots = UPDATES[type(self.structure.optimizer)]
        first = {"G": _of_members([member.value("initial_accumulator") for member in configs])}
        zeros = [np.zeros_like(w) for _, w in trained(self.structure, self.owners)]
        self.slots = [[self._variable(zero + first.get(slot, 0)) for slot in slots] for zero in zeros]
        self.t = 0  # steps taken

    def _variable(self, value: np.ndarray) -> tf.Variable:
        return tf.Variable(value.astype(self.structure.dtype), shape=(None, *value.shape[1:]))

    @quiet()
    def train_stack(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterStackedEpoch) -> None:
        config = self.structure
        run_epoch = epoch_traced_once(config)
        X, y = tf.constant(X, config.dtype), tf.constant(y, tf.int64 if config.task == "multiclass" else config.dtype)
        for e in range(len(batches)):
            epoch = batches[e]
            valid = epoch.rows >= 0
            rows = tf.constant(np.where(valid, epoch.rows, epoch.rows[:, :1]))
            valid = tf.constant(valid.astype(config.dtype))
            constants, by_step = rounded(self.numbers, config.dtype), rounded(self._by_step(epoch), config.dtype)
            masks = [tf.constant(mask[self.members].transpose(1, 0, 3, 2)) for mask in epoch.masks]
            run_epoch(self.owners, self.slots, X, y, rows, valid, masks, by_step, constants)
            self.t += len(epoch.rows)
            self.owners[-1]["b"].numpy()  # an accelerator works on in the background: wait for the last update
            leaving = after_epoch(e + 1)
            if leaving.all():
                return
            if leaving.any():
                self._keep(~leaving)

    def _by_step(self, epoch: Epoch) -> dict[str, np.ndarray]:
        """What changes from step to step, `(steps, members, 1, 1)`: the learning rate, Adam's corrections of bias."""
        t = self.t + np.arange(1, 1 + len(epoch.rows)).reshape(-1, 1, 1, 1)
        betas = {name: beta for name, beta in self.numbers.items() if name in ("beta_1", "beta_2")}
        learning_rate = epoch.learning_rate[self.members].T[:, :, None, None]
        return {"learning_rate": learning_rate, **{f"1 - {name}**t": 1 - beta**t for name, beta in betas.items()}}

    def _keep(self, staying: np.ndarray) -> None:
        """Cut the other members out."""
        self.members = self.members[staying]
        self.numbers = {name: value[staying] for name, value in self.numbers.items()}
        for variable in tf.nest.flatten([self.owners, self.slots]):
            variable.assign(tf.boolean_mask(variable, staying))

    def stack_logits(self, X: np.ndarray) -> np.ndarray:
        return forward(self.structure, self.owners, tf.constant(X, self.structure.dtype)).numpy()

    def stack_weights(self) -> Weights:
        pairs = zip(self.structure.network.owners(), self.owners, strict=True)
        return tuple(
            {key: of_contract(parameters[key], w.numpy()) for key, w in layer.items()}
            for (_, parameters), layer in pairs
        )

    def set_stack_weights(self, weights: Weights) -> None:
        for layer, given in zip(self.owners, weights, strict=True):
            for key, variable in layer.items():
                variable.assign(rows_last(given[key].astype(self.structure.dtype)))

    def fit_native(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        self.native = NativeNetwork(self.config)
        return self.native.fit(X, y, seed)

    def logits(self, X: np.ndarray) -> np.ndarray:
        return super().logits(X) if self.native is None else self.native.logits(X)

    def weights(self) -> Weights:
        return super().weights() if self.native is None else self.native.weights()
