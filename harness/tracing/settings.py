"""What a recording says of itself: its settings as a config, its targets in the shape of the task."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from harness.contract import ACTIVATIONS, DECAYS, KEYS, OPTIMIZER_CONSTANTS, REDUCTIONS, TASKS, Config, vary
from harness.conventions.table import CONSTANTS, Row
from harness.conventions.translation import controlled_row
from harness.draws.recipe import Recipe
from harness.recording.file import Recording
from harness.support.errors import RequestError, short, unknown
from harness.tracing.start_and_batches import computed_in
from harness.training.trial import is_finite


def config_of(recording: Recording, base: Config | None = None) -> Config:
    """The config of a recording: its settings, and where it says nothing those of `base`.

    Raises `RequestError` for settings that are missing or cannot be.
    """
    where, told = recording.name, dict(recording.settings)
    layers = recording.layers
    _check_settings(where, told)
    if base is not None and base.network.units != layers:
        raise RequestError(
            f"{where}: a network {layers}, and the experiment's is {base.network.units}; choose another --cell"
        )
    loss = told.get("loss", base.loss.name if base else None)
    task = told.get("task", base.task if base else None) or _task_of(recording, loss)
    if task not in TASKS:
        raise RequestError(f"{where}: settings: {unknown('task', task, TASKS)}")
    loss = loss or TASKS[task][0]
    if loss not in TASKS[task]:
        raise RequestError(f"{where}: settings: {unknown(f'loss of the task {task}', loss, TASKS[task])}")
    activation = told.get("activation", base.network.dense["activation"] if base else ())
    if isinstance(activation, str):
        activation = (activation,) * (len(layers) - 2)
    if not isinstance(activation, list | tuple) or not all(isinstance(each, str) for each in activation):
        raise RequestError(f"{where}: settings: activation = {short(activation)}: must be a name, or a list of names")
    activation = tuple(activation)
    if len(activation) != len(layers) - 2 or set(activation) - set(ACTIVATIONS):
        raise RequestError(
            f"{where}: settings: activation {list(activation)}; expected one for each of the "
            f"{len(layers) - 2} hidden layers, of {', '.join(ACTIVATIONS)}"
        )
    outputs = {"multiclass": "softmax", "binary": "sigmoid", "multilabel": "sigmoid"}
    given: dict[str, Any] = {}
    for key in sorted(_TOLD & set(told)):
        given[key] = _setting(where, key, told[key])
    if given.get("optimizer") == "adamw":
        given["optimizer"] = "adam"
    if "weight_decay" in told:  # what both frameworks call the L2 of "adamw"
        given["l2"] = _setting(where, "weight_decay", told["weight_decay"])
    rates = recording.learning_rate
    plain = Config.of(
        layers[0],
        layers[-1],
        layers[1:-1],
        activation,
        optimizer="sgd",
        learning_rate=UNKNOWN_RATE,
        batch_size=1,
        epochs=1,
    )
    config = vary(base or plain, **given) if given or base else plain
    regression_output = told.get("output_activation", base.loss.output.name if base else "identity")
    return vary(
        config,
        activation=activation,
        task=task,
        loss=loss,
        output_activation=outputs.get(task, regression_output),
        learning_rate=given.get("learning_rate", config.optimizer.learning_rate if rates is None else float(rates[0])),
        batch_size=int((recording.rows >= 0).sum(axis=1).max()),
        epochs=int(recording.epoch[-1]) + 1,
        dtype=recording.dtype,
    )


def assumed_row(recording: Recording, config: Config) -> Row:
    """The row that a recording's settings speak of: the harness's own, but for "adamw".

    Its L2 is decoupled and of every tensor, as it is in PyTorch's `AdamW` and in that of Keras.
    """
    row = controlled_row(config, Recipe())
    if recording.settings.get("optimizer") == "adamw":
        row = replace(row, l2_form="decoupled", l2_tensors="weights and biases")
    # of an optimizer that it does not name, a recording can still know a constant
    told: dict[str, Any] = {key: float(recording.settings[key]) for key in CONSTANTS if key in recording.settings}
    return replace(row, **told)


def _task_of(recording: Recording, loss: str | None) -> str:
    """The task of a recording that does not name it, from its loss and its targets."""
    y, outputs = recording.y, recording.layers[-1]
    labels = labels_of(y, outputs) is not None
    softmax = recording.settings.get("output_activation") == "softmax"
    if loss == "cross_entropy" or (labels and (y.shape != (len(y), outputs) or (softmax and loss is None))):
        return "multiclass"
    if loss == "binary_cross_entropy" or (loss is None and y.dtype.kind == "b"):
        return "binary" if outputs == 1 else "multilabel"
    return "regression"


def labels_of(y: np.ndarray, outputs: int) -> np.ndarray | None:
    """Targets of several classes as labels from 0, `(n,)`; None where they are none.

    They are numbers of any dtype, in a vector or a column, or one column a class with a single 1 in each row.
    """
    if outputs < 2 or not y.size:
        return None
    if y.shape == (len(y), outputs):
        one = ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()
        return y.argmax(axis=1) if one else None
    if y.shape not in ((len(y),), (len(y), 1)):
        return None
    labels = y.ravel().astype(np.int64)
    return labels if (labels == y.ravel()).all() and labels.min() >= 0 and labels.max() < outputs else None


_TOLD = {"optimizer", "reduction", "learning_rate", "l2", "l1", "clip_norm", "clip_value", "huber_delta", *CONSTANTS}
_KNOWN = (*KEYS, "weight_decay", "backend", "logged", "seed")
_WORDS: Mapping[str, tuple[str, ...]] = {
    "optimizer": (*OPTIMIZER_CONSTANTS, "adamw"),
    "reduction": REDUCTIONS,
    "task": tuple(TASKS),
    "dtype": ("float64", "float32"),
    "output_activation": ("softmax", *ACTIVATIONS),
}


UNKNOWN_RATE = 0.01
"""Where a search for the learning rate begins that neither a recording nor an experiment knows."""


def _check_settings(where: str, told: Mapping[str, Any]) -> None:
    """Raise `RequestError` for settings that are unknown, cannot be, or cannot be replayed."""
    for key, value in told.items():
        if key not in _KNOWN:
            raise RequestError(f"{where}: settings: {unknown('setting', key, _KNOWN)}")
        if key in _WORDS and (not isinstance(value, str) or value not in _WORDS[key]):
            raise RequestError(f"{where}: settings: {unknown(key, value, _WORDS[key])}")
        if key == "weight_decay" and (told.get("optimizer") != "adamw" or "l2" in told):
            told_of = 'is for optimizer = "adamw", in place of l2'
            raise RequestError(f"{where}: settings: weight_decay {told_of}; give l2 for any other")
        if key in ("batch_size", "epochs") and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise RequestError(f"{where}: settings: {key} = {short(value)}: must be a whole number, at least 1")
        if key in ("dropout", "batch_norm") and value:
            rates = value if isinstance(value, list) else [value]
            if rates != [0] * len(rates):
                raise RequestError(f"{where}: settings: {key} = {short(value)}: {key} is not replayed; record without")


def _setting(where: str, key: str, value: Any) -> Any:
    """A setting of a recording, if it can be one."""
    if key in _WORDS or (key in ("clip_norm", "clip_value") and value is None):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise RequestError(f"{where}: settings: {key} = {short(value)}: must be a number, at least 0")
    if key in DECAYS and value >= 1:
        raise RequestError(f"{where}: settings: {key} = {short(value)}: must be below 1")
    if key in ("clip_norm", "clip_value") and not value:
        raise RequestError(f"{where}: settings: {key} = {short(value)}: must be above 0, or null for none")
    return value


def prepared(recording: Recording, config: Config) -> Recording:
    """The recording with its targets in the shape of the task, in the dtype that it was computed in.

    Raises `RequestError` for targets that do not belong to the task, and for a first step whose weights are not finite.
    """
    _check_targets(recording, config)
    dtype = computed_in(recording)
    labels = labels_of(recording.y, recording.layers[-1]) if config.task == "multiclass" else None
    y = recording.y.astype(dtype).reshape(len(recording.y), -1) if labels is None else labels
    series: dict[str, Any] = {}
    for key in ("weights", "gradients"):
        value = getattr(recording, key)
        series[key] = value and tuple({k: a.astype(dtype) for k, a in layer.items()} for layer in value)
    return replace(recording, y=y, X=recording.X.astype(dtype), **series)


def _check_targets(recording: Recording, config: Config) -> None:
    y, where, outputs = recording.y, recording.name, recording.layers[-1]
    if config.task == "multiclass":
        if labels_of(y, outputs) is None:
            allowed = (
                f"whole numbers (n,) from 0 to {outputs - 1}, or one column a class, (n, {outputs}), with a single 1"
            )
            raise RequestError(f"{where}: y has shape {y.shape}, {y.dtype}; allowed for several classes: {allowed}")
    elif y.size != len(y) * outputs:
        raise RequestError(f"{where}: y has shape {y.shape}; expected {(len(y), outputs)} for the task {config.task}")
    for step in (0, 1):
        if not is_finite(recording.weights_at(step)):
            when = "after" if step else "before"
            raise RequestError(f"{where}: the weights are not finite {when} the first step; record it again")
