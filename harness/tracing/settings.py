"""What a recording says of itself: its settings as a config, its targets in the shape of the task."""

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from harness.conventions import CONSTANTS
from harness.errors import RequestError, short, unknown
from harness.recording import Recording
from harness.tracing.laws import computed_in
from harness.trainer import ACTIVATIONS, OPTIMIZER_CONSTANTS, REDUCTIONS, TASKS, Config
from harness.training import is_finite


def config_of(recording: Recording, base: Config | None = None) -> Config:
    """The config of a recording: its settings, and where it says nothing those of `base`.

    Raises `RequestError` for settings that are missing or cannot be.
    """
    where, told = recording.name, dict(recording.settings)
    layers = recording.layers
    _check_settings(where, told)
    if base is not None and base.layers != layers:
        raise RequestError(f"{where}: a network {layers}, and the experiment's is {base.layers}; choose another --cell")
    labels = recording.y.ndim == 1 and recording.y.dtype.kind in "iu" and layers[-1] > 1
    loss = told.get("loss", base.loss if base else None)
    task = told.get("task", base.task if base else None)
    if task is None:
        task = "multiclass" if labels else "binary" if loss == "binary_cross_entropy" else "regression"
    if task not in TASKS:
        raise RequestError(f"{where}: settings: {unknown('task', task, TASKS)}")
    loss = loss or TASKS[task][0]
    if loss not in TASKS[task]:
        raise RequestError(f"{where}: settings: {unknown(f'loss of the task {task}', loss, TASKS[task])}")
    activation = told.get("activation", base.activation if base else ())
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
    rates = recording.learning_rate
    if base is None and "learning_rate" not in given and rates is None:
        raise RequestError(f"{where}: settings name no learning_rate, and there is no array learning_rate; record one")
    plain = Config(layers[0], layers[-1], layers[1:-1], activation, "sgd", 0.0, 1, 1)
    config = replace(base or plain, **given) if given or base else plain
    regression_output = told.get("output_activation", base.output_activation if base else "identity")
    return replace(
        config,
        activation=activation,
        task=task,
        loss=loss,
        output_activation=outputs.get(task, regression_output),
        learning_rate=given.get("learning_rate", config.learning_rate if rates is None else float(rates[0])),
        batch_size=int((recording.rows >= 0).sum(axis=1).max()),
        epochs=int(recording.epoch[-1]) + 1,
        dtype=recording.dtype,
    )


_TOLD = {"optimizer", "reduction", "learning_rate", "l2", "l1", "clip_norm", "clip_value", "huber_delta", *CONSTANTS}
_KNOWN = (*(key.name for key in fields(Config) if key.name != "written"), "backend", "logged", "seed")
_WORDS: Mapping[str, tuple[str, ...]] = {
    "optimizer": tuple(OPTIMIZER_CONSTANTS),
    "reduction": REDUCTIONS,
    "task": tuple(TASKS),
    "dtype": ("float64", "float32"),
    "output_activation": ("softmax", *ACTIVATIONS),
}
_BELOW_1 = ("momentum", "beta_1", "beta_2", "rho")


def _check_settings(where: str, told: Mapping[str, Any]) -> None:
    """Raise `RequestError` for settings that are unknown, cannot be, or cannot be replayed."""
    for key, value in told.items():
        if key not in _KNOWN:
            raise RequestError(f"{where}: settings: {unknown('setting', key, _KNOWN)}")
        if key in _WORDS and (not isinstance(value, str) or value not in _WORDS[key]):
            raise RequestError(f"{where}: settings: {unknown(key, value, _WORDS[key])}")
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
    if key in _BELOW_1 and value >= 1:
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
    y = recording.y if config.task == "multiclass" else recording.y.astype(dtype).reshape(len(recording.y), -1)
    series: dict[str, Any] = {}
    for key in ("weights", "gradients"):
        value = getattr(recording, key)
        series[key] = value and tuple({k: a.astype(dtype) for k, a in layer.items()} for layer in value)
    return replace(recording, y=y, X=recording.X.astype(dtype), **series)


def _check_targets(recording: Recording, config: Config) -> None:
    y, where, outputs = recording.y, recording.name, recording.layers[-1]
    if config.task == "multiclass":
        if y.ndim != 1 or y.dtype.kind not in "iu" or y.min(initial=0) < 0 or y.max(initial=0) >= outputs:
            allowed = f"whole numbers (n,) from 0 to {outputs - 1}"
            raise RequestError(f"{where}: y has shape {y.shape}, {y.dtype}; allowed for several classes: {allowed}")
    elif y.size != len(y) * outputs:
        raise RequestError(f"{where}: y has shape {y.shape}; expected {(len(y), outputs)} for the task {config.task}")
    for step in (0, 1):
        if not is_finite(recording.weights_at(step)):
            when = "after" if step else "before"
            raise RequestError(f"{where}: the weights are not finite {when} the first step; record it again")
