"""A training in Keras as its users write it: `compile`, `fit`, and the recorder in place of the model."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from pathlib import Path
from typing import Any

import keras

from backends.keras_recorder import KerasRecorder
from tests.foreign.data import load
from tests.foreign.draw import Training
from tests.foreign.recorded import keep_only_weights


def train(training: Training, path: Path) -> None:
    """Train, and write the recording. The dtype is Keras's own global setting."""
    t = training.truth
    keras.backend.clear_session()
    keras.config.set_floatx(t["dtype"])
    keras.utils.set_random_seed(training.seed)
    X, y = load(training.data, training.n_outputs)
    X = X.astype(t["dtype"])
    if t["task"] != "multiclass":
        y = y.astype(t["dtype"])
    model = model_of(training, X.shape[1])
    model.compile(optimizer_of(training, model), loss_of(t))
    recorder = KerasRecorder(model, X, y)
    recorder.fit(batch_size=training.batch_size, epochs=training.epochs, shuffle=t["batches"] != "in_order", verbose=0)
    recorder.save(path, **training.recorded["settings"])
    keep_only_weights(path, training)


def model_of(training: Training, width: int) -> keras.Sequential:
    t = training.truth
    regularizer = keras.regularizers.L2(t["l2"]) if t["l2"] and training.way.get("l2") == "regularizer" else None
    on_biases = regularizer if t["l2_tensors"] == "weights and biases" else None
    start = {"kernel_initializer": law(t["init"]), "bias_initializer": law(t["bias"])}
    layers: list[Any] = [keras.Input((width,))]
    for units, activation in zip(training.hidden, t["activation"], strict=True):
        layers.append(
            keras.layers.Dense(units, activation, kernel_regularizer=regularizer, bias_regularizer=on_biases, **start)
        )
    at_last = None if t["l2_tensors"] == "hidden" else regularizer
    layers.append(
        keras.layers.Dense(training.n_outputs, kernel_regularizer=at_last, bias_regularizer=on_biases, **start)
    )
    return keras.Sequential(layers)


def law(name: Any) -> Any:
    if not isinstance(name, str):
        return keras.initializers.Constant(name)
    kind, _, size = name.partition("(")
    if kind == "glorot_uniform":
        return "glorot_uniform"
    kinds = {"normal": keras.initializers.RandomNormal, "truncated_normal": keras.initializers.TruncatedNormal}
    return kinds[kind](stddev=float(size[:-1]))


def loss_of(t: dict[str, Any]) -> keras.losses.Loss:
    how = {} if t["reduction"] == "mean" else {"reduction": "sum"}
    if t["loss"] == "cross_entropy":
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, **how)
    if t["loss"] == "binary_cross_entropy":
        return keras.losses.BinaryCrossentropy(from_logits=True, **how)
    if t["loss"] == "huber":
        return keras.losses.Huber(delta=t["huber_delta"], **how)
    return {"mse": keras.losses.MeanSquaredError, "mae": keras.losses.MeanAbsoluteError}[t["loss"]](**how)


def optimizer_of(training: Training, model: keras.Sequential) -> keras.optimizers.Optimizer:
    t, way, optimizers = training.truth, training.way, keras.optimizers
    options: dict[str, Any] = {"learning_rate": schedule_of(t)}
    if way.get("l2") == "optimizer":
        options["weight_decay"] = t["l2"]
    if t["clip_norm"]:
        options["global_clipnorm"] = t["clip_norm"]
    if t["clip_value"]:
        options["clipvalue"] = t["clip_value"]
    if way["optimizer"] in ("adam", "adamw"):
        kind = optimizers.AdamW if way["optimizer"] == "adamw" else optimizers.Adam
        optimizer = kind(beta_1=t["beta_1"], beta_2=t["beta_2"], epsilon=t["epsilon"], **options)
    elif way["optimizer"] == "rmsprop":
        optimizer = optimizers.RMSprop(rho=t["rho"], epsilon=t["epsilon"], **options)
    elif way["optimizer"] == "adagrad":
        first = t["initial_accumulator"]
        optimizer = optimizers.Adagrad(initial_accumulator_value=first, epsilon=t["epsilon"], **options)
    else:
        optimizer = optimizers.SGD(momentum=t["momentum"], nesterov=t["nesterov"], **options)
    if way.get("l2") == "optimizer" and t["l2_tensors"] == "weights":
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def schedule_of(t: dict[str, Any]) -> Any:
    schedules, lr = keras.optimizers.schedules, t["learning_rate"]
    if t["schedule"] == "constant":
        return lr
    if t["schedule"] == "cosine":
        return schedules.CosineDecay(lr, t["decay_steps"])
    if t["schedule"] == "inverse_time":
        return schedules.InverseTimeDecay(lr, t["decay_steps"], t["decay_rate"])
    return schedules.ExponentialDecay(lr, t["decay_steps"], t["decay_rate"], staircase=t["schedule"] == "step")
