"""Watching a native fit: the adapter's own `fit_native`, unchanged, with notes taken of every step.

Each framework is asked at a place that it looks up anew at every fit, so that nothing of the adapter is repeated here:
the function that fetches the rows of a batch, the optimizer's step, the loss. What is noted inside a traced function is
returned beside its result, which leaves its bits alone even where XLA compiles it.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from unittest.mock import patch

import numpy as np

from harness.contract import Config, Trainer, Weights
from harness.recording.file import Recording, Series
from harness.registry import backend, load_trainer

SETTINGS = ("task", "loss", "activation", "output_activation", "optimizer", "learning_rate", "l2", "batch_size")
"""What every native fit is told; other constants only where `config.written` names them."""


class Tape:
    """What is noted while a training runs: the start, and after every step its weights and all that `step` is given."""

    def __init__(self) -> None:
        self.weights: list[Weights] = []
        self.steps: list[dict] = []

    def before(self, weights: Weights) -> None:
        """The weights that a step finds: those of the first one are the start."""
        if not self.weights:
            self.weights.append(weights)

    def step(self, weights: Weights, **noted) -> None:
        """The weights after a step, with `rows`, `epoch` and `gradients`, and where they are known `logits`, `loss`."""
        self.weights.append(weights)
        self.steps.append(noted)

    def column(self, key: str) -> list | None:
        return [step[key] for step in self.steps] if all(key in step for step in self.steps) else None

    def recording(self, X: np.ndarray, y: np.ndarray, multiclass: bool, settings: dict) -> Recording:
        dtype = self.weights[0][0]["W"].dtype
        loss, logits = self.column("loss"), self.column("logits")
        return Recording(
            X=X.astype(dtype),
            y=y if multiclass else y.astype(dtype),
            rows=padded(self.column("rows"), -1).astype(np.int64),
            epoch=np.array(self.column("epoch"), np.int64),
            weights=stacked(self.weights),
            gradients=stacked(self.column("gradients")),
            logits=None if logits is None else padded(logits, 0),
            loss=None if loss is None else np.array(loss),
            settings=settings,
            name=settings["backend"],
        )


def stacked(weights: list[Weights]) -> Series:
    """Each array with a leading axis of steps."""
    return tuple(
        {key: np.stack([each[k][key] for each in weights]) for key in layer} for k, layer in enumerate(weights[0])
    )


def padded(arrays: list[np.ndarray], value: float) -> np.ndarray:
    """The arrays under each other, each filled up with `value` to the length of the longest."""
    longest = max(map(len, arrays))
    ends = [[(0, longest - len(array)), *[(0, 0)] * (array.ndim - 1)] for array in arrays]
    return np.stack([np.pad(array, end, constant_values=value) for array, end in zip(arrays, ends, strict=True)])


def layers(W: list, b: list) -> Weights:
    """Copies in the contract's form."""
    return tuple({"W": np.array(w), "b": np.array(v)} for w, v in zip(W, b, strict=True))


def watch(backend_name: str, config: Config, X: np.ndarray, y: np.ndarray, seed: int) -> Recording:
    """The native fit of `config`, as it was: what the framework logs is under "logged" in the settings."""
    trainer = load_trainer(backend(backend_name).trainer)(config, None)
    tape = Tape()
    with WATCHERS[backend_name](trainer, tape):
        told = trainer.fit_native(X, y, seed)
    settings = {key: config.value(key) for key in (*SETTINGS, *sorted(config.written))}
    settings |= {"backend": backend_name, "seed": seed, "epochs": told.epochs_run, "logged": told.curves}
    return tape.recording(X, y, config.task == "multiclass", settings)


class NotingGenerator(np.random.Generator):
    """A generator that keeps the batch that it drew last, `rows`, and of how many rows in all, `n`."""

    def choice(self, n, size, replace):
        self.n, self.rows = n, super().choice(n, size, replace)
        return self.rows

    def epoch(self, step: int) -> int:
        """The epoch of a step, both from 0, where an epoch is `n // size` draws."""
        return step // (self.n // len(self.rows))


@contextmanager
def noting_generator() -> Iterator[list[NotingGenerator]]:
    """`np.random.default_rng` hands out generators that keep their choice; they are in the list."""
    made, default_rng = [], np.random.default_rng

    def noting(seed):
        made.append(NotingGenerator(default_rng(seed).bit_generator))
        return made[-1]

    with patch("numpy.random.default_rng", noting):
        yield made


@contextmanager
def watch_numpy(trainer: Trainer, tape: Tape) -> Iterator[None]:
    from backends.numpy.native import NeuralNetwork

    update = NeuralNetwork.update

    def noting(network, weight_gradients, bias_gradients):
        tape.before(layers(network.weights, network.biases))
        noted = {
            "rows": network.rng.rows,
            "epoch": network.rng.epoch(len(tape.steps)),
            "gradients": layers(weight_gradients, bias_gradients),
            "logits": network.a[-2] @ network.weights[-1] + network.biases[-1],
        }
        update(network, weight_gradients, bias_gradients)
        tape.step(layers(network.weights, network.biases), **noted)

    with noting_generator(), patch.object(NeuralNetwork, "update", noting):
        yield


@contextmanager
def watch_sklearn(trainer: Trainer, tape: Tape) -> Iterator[None]:
    """The order of an epoch is a shuffle of the one before, so the rows are noted where each batch is fetched."""
    from sklearn.neural_network import _multilayer_perceptron as module
    from sklearn.neural_network._multilayer_perceptron import BaseMultilayerPerceptron
    from sklearn.neural_network._stochastic_optimizers import BaseOptimizer

    noted = {}
    fetch, backprop, update = module._safe_indexing, BaseMultilayerPerceptron._backprop, BaseOptimizer.update_params

    def noting_fetch(X, rows):
        noted["rows"] = rows.copy()
        return fetch(X, rows)

    def noting_backprop(model, X, y, sample_weight, activations, *buffers):
        loss, *gradients = backprop(model, X, y, sample_weight, activations, *buffers)
        logits = activations[-2] @ model.coefs_[-1] + model.intercepts_[-1]
        noted.update(loss=loss, logits=logits, epoch=model.n_iter_, gradients=layers(*gradients))
        return loss, *gradients

    def noting_update(optimizer, params, grads):
        tape.before(trainer.weights())
        update(optimizer, params, grads)
        tape.step(trainer.weights(), **noted)

    with (
        patch.object(module, "_safe_indexing", noting_fetch),
        patch.object(BaseMultilayerPerceptron, "_backprop", noting_backprop),
        patch.object(BaseOptimizer, "update_params", noting_update),
    ):
        yield


@contextmanager
def watch_torch(trainer: Trainer, tape: Tape) -> Iterator[None]:
    import torch
    from torch.nn.modules.module import register_module_forward_hook
    from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
    from torch.utils.data import DataLoader, TensorDataset

    noted, asked, epochs = {}, [], []
    get, iterate = TensorDataset.__getitem__, DataLoader.__iter__

    def noting_get(dataset, row):
        asked.append(row)
        return get(dataset, row)

    def noting_iterate(loader):
        epochs.append(len(epochs))
        return iterate(loader)

    def after_forward(module, inputs, output):
        if module is trainer.native.model:
            noted["logits"] = output.detach().numpy().copy()
        elif isinstance(module, torch.nn.modules.loss._Loss):
            noted["loss"] = output.item()

    def before_step(optimizer, arguments, options):
        tape.before(trainer.weights())
        parameters = list(trainer.native.model.parameters())
        noted["gradients"] = layers([W.grad.T for W in parameters[::2]], [b.grad for b in parameters[1::2]])

    def after_step(optimizer, arguments, options):
        tape.step(trainer.weights(), rows=np.array(asked), epoch=epochs[-1], **noted)
        asked.clear()

    with ExitStack() as stack:
        stack.enter_context(patch.object(TensorDataset, "__getitem__", noting_get))
        stack.enter_context(patch.object(DataLoader, "__iter__", noting_iterate))
        for handle in (
            register_module_forward_hook(after_forward),
            register_optimizer_step_pre_hook(before_step),
            register_optimizer_step_post_hook(after_step),
        ):
            stack.callback(handle.remove)
        yield


def noting_apply(noted: dict) -> AbstractContextManager:
    """Every optimizer of Keras leaves the gradients that it is given in `noted`, W and b of each layer in turn."""
    import keras

    apply = keras.optimizers.Optimizer.apply

    def noting(optimizer, gradients, variables=None):
        noted["gradients"] = tuple(gradients)  # Keras takes a list of outputs for one tensor
        return apply(optimizer, gradients, variables)

    return patch.object(keras.optimizers.Optimizer, "apply", noting)


def as_arrays(noted: dict) -> dict:
    """What came out of a traced function."""
    gradients = noted["gradients"]
    plain = {key: np.array(value) for key, value in noted.items() if key != "gradients"}
    return plain | {"gradients": layers(gradients[::2], gradients[1::2])}


@contextmanager
def watch_tensorflow(trainer: Trainer, tape: Tape) -> Iterator[None]:
    import tensorflow as tf

    import backends.tensorflow.native as module

    noted = {}
    forward, function = module.forward, tf.function

    def noting_forward(*arguments):
        noted["logits"] = forward(*arguments)
        return noted["logits"]

    def noting_function(step):
        @function
        def with_notes(X, y):
            loss = step(X, y)
            return {"loss": loss, **noted}

        def run(X, y):
            tape.before(trainer.weights())
            outputs = with_notes(X, y)
            (rng,) = made
            tape.step(trainer.weights(), rows=rng.rows, epoch=rng.epoch(len(tape.steps)), **as_arrays(outputs))
            return outputs["loss"]

        return run

    with (
        noting_generator() as made,
        noting_apply(noted),
        patch.object(module, "forward", noting_forward),
        patch.object(tf, "function", noting_function),
    ):
        yield


@contextmanager
def watch_keras(trainer: Trainer, tape: Tape) -> Iterator[None]:
    """The row numbers travel as sample weights, and out of the compiled step among its logs."""
    import keras

    noted, epochs = {}, []
    Model = keras.Model
    fit, train_step, compute_loss, make = Model.fit, Model.train_step, Model.compute_loss, Model.make_train_function

    def noting_fit(model, X, y, **options):
        count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))
        return fit(model, X, y, sample_weight=np.arange(len(X)), callbacks=[count], **options)

    def noting_loss(model, x, y, y_pred, sample_weight, training):
        noted["loss"] = compute_loss(model, x, y, y_pred, sample_weight, training)
        if model is trainer.native.network:  # else an activation follows on the logits
            noted["logits"] = y_pred
        return noted["loss"]

    def noting_train_step(model, data):
        X, y, rows = data
        logs = train_step(model, (X, y))
        return {"logs": logs, "noted": {"rows": rows, **noted}}

    def noting_make(model, force=False):
        make(model, force)
        run = model.train_function

        def noting_run(iterator):
            tape.before(trainer.weights())
            outputs = run(iterator)
            tape.step(trainer.weights(), epoch=epochs[-1], **as_arrays(outputs["noted"]))
            return outputs["logs"]

        model.train_function = noting_run

    with (
        noting_apply(noted),
        patch.object(Model, "fit", noting_fit),
        patch.object(Model, "train_step", noting_train_step),
        patch.object(Model, "compute_loss", noting_loss),
        patch.object(Model, "make_train_function", noting_make),
    ):
        yield


WATCHERS: dict[str, Callable[[Trainer, Tape], AbstractContextManager]] = {
    "numpy": watch_numpy,
    "sklearn": watch_sklearn,
    "tensorflow": watch_tensorflow,
    "keras": watch_keras,
    "torch": watch_torch,
}
