"""Record a Keras training, step by step, in one NPZ file. It stands alone: copy it beside a script, or import it.

    recorder = KerasRecorder(model, X, y)        # a compiled model
    recorder.fit(batch_size=100, epochs=3)       # in place of model.fit(X, y, batch_size=100, epochs=3)
    recorder.save("run.npz", optimizer="adam", loss="cross_entropy")

For Keras 3 on TensorFlow. `docs/recording.md` says what the file holds.
"""

import json

import keras
import numpy as np

ACTIVATIONS = {
    "linear": "identity",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "leaky_relu": "leaky_relu",
    "elu": "elu",
    "selu": "selu",
    "softplus": "softplus",
    "softmax": "softmax",
}
"""The activations that a `Dense` or `Activation` layer may have: Keras's name -> its name in the settings."""


class KerasRecorder:
    """A compiled `keras.Sequential` of `Dense` layers, and the rows that it is trained on.

    `X` is `(n, n_inputs)`, `y` is `(n,)` or `(n, n_outputs)`. Gradients are noted before any clipping. Raises
    `ValueError` for another model.
    """

    def __init__(self, model: keras.Sequential, X: np.ndarray, y: np.ndarray):
        if keras.backend.backend() != "tensorflow":
            raise ValueError(f"Keras runs on {keras.backend.backend()!r}; the recorder needs KERAS_BACKEND=tensorflow")
        self.model, self.X, self.y = model, X, y
        self.activations = activations_of(model)
        if not model.compiled or model.steps_per_execution != 1:
            raise ValueError("the model must have been compiled, with steps_per_execution=1")
        self.epochs, self.epoch = 0, []
        self.rows, self.learning_rate, self.gradients, self.weights = [], [], [], []

    def fit(self, *, callbacks=(), **options) -> keras.callbacks.History:
        """`model.fit(X, y, **options)`; the numbers of the rows travel as sample weights, which no loss gets to see."""
        own = options.keys() & {"x", "y", "sample_weight", "class_weight", "validation_split"}
        if own:
            raise ValueError(
                f"fit of a recorder has no {', '.join(sorted(own))}: it trains on the rows it was made with"
            )
        model, optimizer, given = self.model, self.model.optimizer, []
        apply, train_step = optimizer.apply, model.train_step

        def noting_apply(gradients, variables=None):
            given[:] = gradients
            return apply(gradients, variables)

        def noting_train_step(data):  # what is noted in a compiled step has to be among its results
            X, y, rows = data
            return {"logs": train_step((X, y)), "rows": rows, "gradients": tuple(given)}

        optimizer.apply, model.train_step = noting_apply, noting_train_step
        try:
            model.make_train_function(force=True)
            run = model.train_function
            model.train_function = lambda batches: self._step(run, batches)
            counter = keras.callbacks.LambdaCallback(on_epoch_begin=self._begin_epoch)
            numbers = np.arange(len(self.X))
            return model.fit(self.X, self.y, sample_weight=numbers, callbacks=[callbacks, counter], **options)
        finally:
            del optimizer.apply, model.train_step
            model.train_function = None  # Keras makes its own anew

    def _begin_epoch(self, epoch, logs=None):
        self.epochs += 1

    def _step(self, run, batches):
        self.weights = self.weights or [self._named(self.model.trainable_weights)]
        learning_rate = float(self.model.optimizer.learning_rate)
        noted = run(batches)
        self.rows.append(np.array(noted["rows"], np.int64))
        self.epoch.append(self.epochs - 1)
        self.learning_rate.append(learning_rate)
        self.gradients.append(self._named(noted["gradients"]))
        self.weights.append(self._named(self.model.trainable_weights))
        return noted["logs"]

    def _named(self, tensors):
        """Copies under the names of the file; Keras has kernel and bias of each layer in turn."""
        return {f"{i // 2}/{'Wb'[i % 2]}": np.array(tensor) for i, tensor in enumerate(tensors)}

    def save(self, path, **settings) -> None:
        """Write all steps until now; `settings` are what else is known, such as `optimizer="adam"`."""
        if not self.rows:
            raise ValueError("no step was recorded: train by recorder.fit(...)")
        *hidden, output = self.activations
        series = {"weights": self.weights, "gradients": self.gradients}
        rows = np.full((len(self.rows), max(map(len, self.rows))), -1)
        for step, numbers in zip(rows, self.rows, strict=True):
            step[: len(numbers)] = numbers
        np.savez_compressed(
            path,
            X=np.asarray(self.X),
            y=np.asarray(self.y),
            rows=rows,
            epoch=self.epoch,
            learning_rate=self.learning_rate,
            settings=json.dumps({"activation": hidden, "output_activation": output, **settings}),
            **{f"{key}/{name}": [step[name] for step in steps] for key, steps in series.items() for name in steps[0]},
        )


def activations_of(model: keras.Sequential) -> list[str]:
    """The activation of each `Dense` layer, its own or that of the layer that follows."""
    if not isinstance(model, keras.Sequential):
        raise ValueError(f"the model is of {type(model).__name__}; a recording is of a keras.Sequential")
    found = []
    for layer in model.layers:
        name = ACTIVATIONS.get(getattr(getattr(layer, "activation", None), "__name__", ""))
        if name and type(layer) is keras.layers.Dense and layer.use_bias and layer.trainable:
            found.append(name)
        elif name and type(layer) is keras.layers.Activation and found and found[-1] == "identity":
            found[-1] = name
        else:
            raise ValueError(
                f"layer {layer.name!r} is {type(layer).__name__}; allowed: trainable Dense layers with a bias, and an "
                f"Activation layer behind one without its own, each with one of {', '.join(ACTIVATIONS)}"
            )
    return found
