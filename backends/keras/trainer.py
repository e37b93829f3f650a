"""Keras 3 on the TensorFlow backend: a `keras.Model` of stacked dense layers, `compile` and `fit`.

How the conventions of `harness/reference/trainer.py` were matched, and several networks in one model:

- Members: every variable has a leading member axis, kernels `(members, n_in, n_out)`, biases `(members, 1, n_out)`,
  so that a number of each member, `(members, 1, 1)`, meets them by broadcasting. The loss is the sum over the members.
- Batches: one `tf.data` pipeline that yields the harness's batches, with the masks of dropout as further inputs, and
  one `fit` over all epochs.
- Learning rate: a `LearningRateSchedule` that looks each step up. L2: a regularizer with the half that Keras's lacks.
- Keras's SGD is ours without momentum. With it, Keras keeps `v = m*v - lr*g`, which forgets no old learning rate; its
  Adam is the paper's "epsilon-hat" form, and its Adagrad and RMSprop have epsilon inside the root. Small subclasses
  override `update_step` with the papers' rules.
- Sigmoid, ELU, SELU, and batch normalisation are written out: TensorFlow's round otherwise (see each).
- Constants are float64 until they are used: a Python float would go through float32 on its way into a float64 tensor.
- What costs is not the training but the model: building and tracing it takes longer than an epoch of a stack. A model
  whose trainer is gone therefore waits for the next stack of its structure and size, which sets all its variables.
"""

import functools
import os
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # read once, when keras is imported

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from backends.keras.layers import LAYER, StackedDropout, activation, layer_of, sigmoid
from backends.keras.layers import elu as elu  # which lines of code have from here
from backends.keras.native import LOSS, VOCABULARY, NativeKeras, precision
from backends.keras.optimizers import OPTIMIZER, EpochTable, paper_optimizer, reset, rounded
from harness import network
from harness.contract import (
    MEMBER_NUMBERS,
    AfterStackedEpoch,
    Batches,
    Config,
    NativeFit,
    StackTrainer,
    Weights,
    structure_of,
)

if keras.backend.backend() != "tensorflow":
    raise RuntimeError(
        f"Keras runs on {keras.backend.backend()!r}, but backend 'keras' is Keras on TensorFlow: "
        "unset KERAS_BACKEND, or set it to 'tensorflow'"
    )


NUMBERS = tuple(name for name in MEMBER_NUMBERS if name not in ("learning_rate", "dropout"))
"""The numbers of a member that the graph reads; learning rates and masks come with the batches."""


class Penalty(keras.regularizers.Regularizer):
    """`(l2/2) * sum(W**2) + l1 * sum(abs(W))`; `keras.regularizers.L2` has no half, and a constant in float32."""

    def __init__(self, l2, l1=None) -> None:
        self.l2, self.l1 = l2, l1

    def __call__(self, W):
        penalty = ops.sum(rounded(self.l2 / 2, W) * ops.square(W))
        return penalty if self.l1 is None else penalty + ops.sum(rounded(self.l1, W) * ops.abs(W))


class StackedNetwork(keras.Model):
    """The networks of a stack: `(rows, n_inputs)`, and the masks of dropout, into `(members, rows, n_outputs)`.

    `numbers` holds L2 and L1 of each member.
    """

    def __init__(self, structure: Config, members: int, numbers: dict[str, tf.Variable]) -> None:
        super().__init__()
        penalty = Penalty(numbers["l2"], numbers["l1"] if structure.penalty.l1 else None)
        shapes = structure.network.shapes()
        self.stacked = [layer_of(layer, members, before, penalty) for layer, before, _ in shapes]
        self.drops = bool(structure.network.dropouts)
        output = structure.loss.output if structure.task == "regression" else network.Identity()
        self.output_activation = activation(output)
        self.built = True  # or Keras would trace `call` once more, to find shapes that are known

    def call(self, inputs, training=None):  # Keras hands `training` on to the layers
        X, *masks = inputs if self.drops else (inputs,)
        return self.output_activation(self.logits(X, masks))

    def logits(self, X, masks=()):
        """What stands before the output activation."""
        kept = iter(masks)
        a = X
        for layer in self.stacked:
            a = layer(a, next(kept, None)) if isinstance(layer, StackedDropout) else layer(a)
        return a

    def named(self) -> list[dict[str, keras.Variable]]:
        """The variables of each layer that has any, under the contract's names."""
        return [{variable.name: variable for variable in layer.weights} for layer in self.stacked if layer.weights]


class BinaryCrossentropy(keras.losses.BinaryCrossentropy):
    """Keras's own from logits, but with the gradient `o - y`, as exact as TensorFlow's sum of three terms, and rounded
    as ours where an output saturates."""

    def call(self, y, z):
        @ops.custom_gradient
        def losses(z):
            return ops.binary_crossentropy(y, z, from_logits=True), lambda upstream: upstream * (sigmoid(z) - y)

        return ops.mean(losses(z), axis=-1)


STACKED_LOSS = {
    **LOSS,
    network.BinaryCrossEntropy: lambda it, **o: BinaryCrossentropy(from_logits=True, **o),
}


class SumOverMembers(keras.losses.Loss):
    """The loss of a stack, the sum of its members', so that each has the gradient that it would have alone."""

    def __init__(self, config: Config) -> None:
        super().__init__(reduction="sum")
        self.losses = STACKED_LOSS[type(config.loss)](config.loss, reduction="none")
        self.over_rows = {"mean": ops.mean, "sum": ops.sum}[config.reduction]

    def call(self, y, z):
        y = ops.broadcast_to(y, ops.shape(z)[: len(y.shape) + 1])  # the targets are the same for all
        return self.over_rows(self.losses(y, z), axis=1)


def pipeline(X: np.ndarray, y: np.ndarray, batches: Batches, *configs: Config) -> tf.data.Dataset:
    """All steps of all epochs in the harness's order, each batch drawn when it is near; any of them may be shorter."""
    config = configs[0]
    X, y = tf.constant(X, config.dtype), tf.constant(y, tf.int64 if config.task == "multiclass" else config.dtype)
    dropped = [shape[-1] for layer, shape, _ in config.network.shapes() if isinstance(layer, network.Dropout)]
    rates = zip(*(each.network.dropouts for each in configs), strict=True)
    kept = [np.array([1 - layer.rate for layer in same], config.dtype)[:, None, None] for same in rates]

    def draw():
        for e in range(len(batches)):
            epoch = batches[e]
            yield epoch.rows, *(np.moveaxis(mask, 0, 1) for mask in epoch.masks)

    def select(rows, *masks):
        real = rows >= 0
        rows = tf.boolean_mask(rows, real)
        masks = (tf.cast(tf.boolean_mask(mask, real, axis=1), config.dtype) for mask in masks)
        factors = tuple(mask / share for mask, share in zip(masks, kept, strict=True))
        return (tf.gather(X, rows), *factors) if factors else tf.gather(X, rows), tf.gather(y, rows)

    masks = (tf.TensorSpec([None, len(configs), None, units], tf.bool) for units in dropped)
    epochs = tf.data.Dataset.from_generator(draw, output_signature=(tf.TensorSpec([None, None], tf.int64), *masks))
    return epochs.unbatch().map(select)


class EveryEpoch(keras.callbacks.Callback):
    """Hands each epoch's learning rates to the optimizer, and asks the harness after each who has left by now."""

    def __init__(self, batches: Batches, learning_rate: EpochTable, after_epoch: Callable[[int], np.ndarray]) -> None:
        super().__init__()
        self.batches, self.learning_rate, self.after_epoch = batches, learning_rate, after_epoch
        self.left = np.False_

    def on_epoch_begin(self, epoch, logs=None):
        rates = np.where(np.expand_dims(self.left, -1), 0, self.batches[epoch].learning_rate)
        self.learning_rate.begin_epoch(rates, int(self.model.optimizer.iterations))

    def on_epoch_end(self, epoch, logs=None):
        self.left = self.after_epoch(epoch + 1)
        self.model.stop_training = bool(np.all(self.left))


@dataclass(frozen=True)
class Stack:
    """A network, its optimizer, and the numbers that both read, `(members, 1, 1)` float64: all that is traced once."""

    model: StackedNetwork
    optimizer: keras.optimizers.Optimizer
    learning_rate: EpochTable
    numbers: dict[str, tf.Variable]


def built(structure: Config, members: int) -> Stack:
    """A stack whose variables are all 0."""
    with precision(structure.dtype):
        numbers = {name: tf.Variable(np.zeros((members, 1, 1)), trainable=False) for name in NUMBERS}
        learning_rate = EpochTable(structure.dtype)
        model = StackedNetwork(structure, members, numbers)
        optimizer = paper_optimizer(structure, model.trainable_variables, learning_rate, numbers)
    return Stack(model, optimizer, learning_rate, numbers)


@functools.lru_cache(maxsize=8)
def idle(structure: Config, members: int) -> list[Stack]:
    """The stacks of one structure and size whose trainers are gone."""
    return []


class KerasTrainer(StackTrainer):
    """A `keras.Model` of stacked dense layers; `NativeKeras` in native mode."""

    name = "keras"
    requires = ("keras", "tensorflow")
    switches = ("keras.config.floatx", "keras.config.dtype_policy")
    native_vocabulary = VOCABULARY
    vocabulary = (*LAYER, *STACKED_LOSS, *OPTIMIZER, *network.CLIPPINGS.values())
    arithmetic = (
        "keras.ops.matmul",
        "keras.src.ops.sparse_categorical_crossentropy",
        "keras.optimizers.SGD.update_step",
    )
    compiles = True
    native: NativeKeras | None = None

    @classmethod
    def unsupported(cls, config: Config) -> str | None:
        reason = "the perceptron rule is no gradient descent: its step has no derivative; only numpy has it"
        return reason if config.optimizer.name == "perceptron" else None

    def build_stack(self, configs: Sequence[Config], start: Weights) -> None:
        self.configs, self.here = configs, np.ones(len(configs), bool)
        structure = structure_of(configs[0])
        waiting = idle(structure, len(configs))
        self.stack = waiting.pop() if waiting else built(structure, len(configs))
        weakref.finalize(self, waiting.append, self.stack)
        for name, variable in self.stack.numbers.items():
            variable.assign(np.reshape([config.value(name) or 0.0 for config in configs], (-1, 1, 1)))
        reset(self.stack.optimizer, self.stack.numbers)
        self.set_stack_weights(start)

    def train_stack(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterStackedEpoch) -> None:
        if len(batches) == 0:
            return
        steps, model, config = len(batches[0].rows), self.stack.model, self.configs[0]

        def who_left(epoch: int) -> np.ndarray:
            left = ~self.here
            left[self.here] = after_epoch(epoch)
            if not left.all() and (left & self.here).any():
                self.here = ~left
                self.silence()
            return left

        with precision(config.dtype):
            if not model.compiled or model.steps_per_execution != steps:
                model.compile(
                    optimizer=self.stack.optimizer,
                    loss=SumOverMembers(config),
                    steps_per_execution=steps,  # an epoch without a return to Python: three times faster
                    jit_compile=False,
                )
            model.fit(
                pipeline(X, y, batches, *self.configs),
                epochs=len(batches),
                steps_per_epoch=steps,
                shuffle=False,
                callbacks=[EveryEpoch(batches, self.stack.learning_rate, who_left)],
                verbose=0,
            )

    def silence(self) -> None:
        """Overwrite those that have left with zeros: numbers that are not finite, or tiny, are slow to compute with."""
        here = self.here[:, None, None]
        for variable in (*self.stack.model.weights, *self.stack.optimizer.variables[1:]):
            variable.assign(np.where(here, variable.numpy(), 0).astype(variable.dtype))

    def stack_logits(self, X: np.ndarray) -> np.ndarray:
        dtype = self.configs[0].dtype
        with precision(dtype):
            return self.stack.model.logits(tf.constant(X, dtype)).numpy()[self.here]

    def stack_weights(self) -> Weights:
        return tuple(
            {
                key: variable.numpy()[self.here] if len(owned[key].shape) > 1 else variable.numpy()[self.here, 0]
                for key, variable in layer.items()
            }
            for layer, (_, owned) in zip(self.stack.model.named(), self.configs[0].network.owners(), strict=True)
        )

    def set_stack_weights(self, weights: Weights) -> None:
        if len(next(iter(weights[0].values()))) == len(self.here):
            self.here[:] = True
        for layer, given in zip(self.stack.model.named(), weights, strict=True):
            for key, variable in layer.items():
                value = variable.numpy().copy()
                value[self.here] = given[key] if given[key].ndim > 2 else given[key][:, None]
                variable.assign(value)

    def fit_native(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        self.native = NativeKeras(self.config)
        return self.native.fit(X, y, seed)

    def logits(self, X: np.ndarray) -> np.ndarray:
        return super().logits(X) if self.native is None else self.native.logits(X)

    def weights(self) -> Weights:
        return super().weights() if self.native is None else self.native.weights()
