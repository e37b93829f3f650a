"""A recording: a training as somebody watched it, step by step, in one NPZ file that holds plain arrays only.

The arrays of the file, for a training of `steps` steps, with `batch` the rows of the longest one:

    X              (n, n_inputs)               the training rows as the network saw them, scaled
    y              (n,) or (n, n_outputs)      labels from 0, or one column a class; else numbers
    rows           (steps, batch) int          the rows of X that each step saw, -1 where a batch is shorter
    epoch          (steps,) int                the epoch, from 0, that each step belongs to
    weights/K/W    (steps + 1, n_in, n_out)    layer K before the first step and after each; `weights/K/b` likewise
    gradients/K/W  (steps, n_in, n_out)        optional: the gradient of each step, before clipping or after it
    activations/K  (steps, batch, n_out)       optional: what hidden layer K gave, for the rows of each step
    logits         (steps, batch, n_outputs)   optional: before softmax or sigmoid, for the rows of each step
    loss           (steps,)                    optional: what the step minimised, penalty included where it has one
    learning_rate  (steps,)                    optional: where it is not the same for every step
    settings       text                        optional: JSON of what the writer knows, such as {"optimizer": "adam"}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.contract import Epoch, Weights
from harness.support.errors import RequestError
from harness.support.limits import check_size
from harness.support.npz import read_arrays

Series = tuple[dict[str, np.ndarray], ...]
"""Like `Weights`, each array with a leading axis of steps."""


@dataclass(frozen=True)
class Recording:
    """What was watched; the fields are the arrays of the file."""

    X: np.ndarray
    y: np.ndarray
    rows: np.ndarray
    epoch: np.ndarray
    weights: Series
    gradients: Series | None = None
    activations: tuple[np.ndarray, ...] | None = None
    logits: np.ndarray | None = None
    loss: np.ndarray | None = None
    learning_rate: np.ndarray | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str = "recording"

    @property
    def steps(self) -> int:
        """How many steps were watched."""
        return len(self.rows)

    @property
    def dtype(self) -> str:
        """The dtype of the weights: "float64" or "float32"."""
        return str(self.weights[0]["W"].dtype)

    @property
    def layers(self) -> tuple[int, ...]:
        """Units of every layer, inputs and outputs included."""
        return (self.weights[0]["W"].shape[1], *(layer["W"].shape[2] for layer in self.weights))

    def weights_at(self, step: int) -> Weights:
        """The weights after `step` steps: those of the start for 0."""
        return tuple({key: value[step] for key, value in layer.items()} for layer in self.weights)

    def batch(self, step: int) -> np.ndarray:
        """The row numbers of one step, from 0, without the padding."""
        rows: np.ndarray = self.rows[step]
        return rows[rows >= 0]


@dataclass(frozen=True)
class RecordedBatches:
    """The batches of a recording, epoch by epoch; `learning_rate` stands in where the file has none."""

    recording: Recording
    learning_rate: float

    def __len__(self) -> int:
        return int(self.recording.epoch.max(initial=-1)) + 1

    def __getitem__(self, epoch: int) -> Epoch:
        if not 0 <= epoch < len(self):
            raise IndexError(f"epoch {epoch} of {len(self)}")
        chosen = self.recording.epoch == epoch
        rates = self.recording.learning_rate
        learning_rate = np.full(len(chosen), self.learning_rate) if rates is None else rates
        return Epoch(self.recording.rows[chosen], learning_rate[chosen])


def write(recording: Recording, path: Path) -> None:
    """Write the file; `RequestError` when it cannot be written."""
    arrays: dict[str, Any] = {key: getattr(recording, key) for key in ("X", "y", "rows", "epoch")}
    arrays |= _flat("weights", recording.weights) | _flat("gradients", recording.gradients or ())
    arrays |= {f"activations/{k}": a for k, a in enumerate(recording.activations or ())}
    for key in ("logits", "loss", "learning_rate"):
        if getattr(recording, key) is not None:
            arrays[key] = getattr(recording, key)
    try:
        with path.open("wb") as file:
            np.savez_compressed(file, settings=json.dumps(dict(recording.settings)), **arrays)
    except OSError as error:
        raise RequestError(f"{path}: cannot be written: {error.strerror}; give another file") from None


def _flat(prefix: str, series: Series) -> dict[str, np.ndarray]:
    return {f"{prefix}/{k}/{key}": value for k, layer in enumerate(series) for key, value in layer.items()}


def read(path: Path) -> Recording:
    """Read a file; `RequestError` that names the array where it is not what the module's docstring says."""
    try:
        arrays = read_arrays(path, otherwise="give a recording (.npz)")
    except RequestError:
        raise
    except ValueError as error:
        raise RequestError(f"{path}: not an NPZ file of plain arrays ({error}); record it again") from None
    for key in ("X", "y", "rows", "epoch", "weights/0/W", "weights/0/b"):
        if key not in arrays:
            raise RequestError(f"{path}: has no array {key!r}; a recording holds X, y, rows, epoch, weights/0/W, …")
    for key, array in arrays.items():
        if key != "settings" and array.dtype.kind not in ("biuf" if key == "y" else "iuf"):
            raise RequestError(f"{path}: {key} is of {array.dtype}; expected numbers")
    optional = {key: arrays[key] for key in ("logits", "loss", "learning_rate") if key in arrays}
    recording = Recording(
        X=arrays["X"],
        y=arrays["y"],
        rows=_whole(path, "rows", arrays["rows"], 2),
        epoch=_whole(path, "epoch", arrays["epoch"], 1),
        weights=_series(arrays, "weights"),
        gradients=_series(arrays, "gradients") or None,
        activations=_activations(arrays) or None,
        settings=_settings(arrays, path),
        name=path.name,
        **optional,
    )
    _check_shapes(recording, path)
    _check_values(recording, path)
    return recording


def _whole(path: Path, key: str, array: np.ndarray, axes: int) -> np.ndarray:
    if array.ndim != axes:
        expected = "(steps, batch), one step at least" if axes == 2 else "(steps,)"
        raise RequestError(f"{path}: {key} has shape {array.shape}, expected {expected}")
    if not np.isfinite(array).all() or (array != np.round(array)).any() or (np.abs(array) > 2**53).any():
        raise RequestError(f"{path}: {key} holds what is no whole number; expected row numbers and epochs")
    return array.astype(np.int64)


def _series(arrays: Mapping[str, np.ndarray], prefix: str) -> Series:
    layers: list[dict[str, np.ndarray]] = []
    while f"{prefix}/{len(layers)}/W" in arrays:
        k = len(layers)
        layers.append({key: arrays[f"{prefix}/{k}/{key}"] for key in ("W", "b") if f"{prefix}/{k}/{key}" in arrays})
    return tuple(layers)


def _activations(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    found = sum(key.startswith("activations/") for key in arrays)
    return tuple(arrays[f"activations/{k}"] for k in range(found) if f"activations/{k}" in arrays)


def _settings(arrays: Mapping[str, np.ndarray], path: Path) -> dict[str, Any]:
    text = str(arrays.get("settings", "{}"))
    check_size("HARNESS_MAX_TEXT", len(text), f"{path}: settings of {len(text)} characters")
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError):  # Python bounds the digits of a number, and how deep lists are nested
        settings = None
    if not isinstance(settings, dict):
        raise RequestError(f"{path}: settings must be a JSON object")
    return settings


def _check_shapes(recording: Recording, path: Path) -> None:
    """Raise `RequestError` for the first array whose shape cannot be."""
    steps, n = len(recording.rows), len(recording.X) if recording.X.ndim else 0
    if recording.X.ndim != 2 or not recording.X.size:
        raise RequestError(f"{path}: X has shape {recording.X.shape}, expected (n, n_inputs)")
    if steps == 0:
        raise RequestError(f"{path}: rows has shape {recording.rows.shape}, expected (steps, batch), one step at least")
    expected: dict[str, tuple[np.ndarray, tuple[int, ...]]] = {
        "epoch": (recording.epoch, (steps,)),
        "y": (recording.y, (n, *recording.y.shape[1:2])),
    }
    width = recording.X.shape[1]
    for k, layer in enumerate(recording.weights):
        W = layer["W"]
        if W.ndim != 3 or W.shape[:2] != (steps + 1, width) or 0 in W.shape:
            told = f"({steps + 1}, {width}, units of the layer)"
            raise RequestError(f"{path}: weights/{k}/W has shape {W.shape}, expected {told}")
        if "b" not in layer:
            raise RequestError(f"{path}: has no array weights/{k}/b; expected W and b of every layer")
        width = W.shape[2]
        expected[f"weights/{k}/b"] = (layer["b"], (steps + 1, width))
    for k, layer in enumerate(recording.gradients or ()):
        if len(recording.gradients or ()) != len(recording.weights) or "b" not in layer:
            raise RequestError(f"{path}: gradients must be of W and b of all {len(recording.weights)} layers, or none")
        for key, value in layer.items():
            expected[f"gradients/{k}/{key}"] = (value, (steps, *recording.weights[k][key].shape[1:]))
    if recording.activations is not None:
        hidden = recording.layers[1:-1]
        if len(recording.activations) != len(hidden):
            raise RequestError(
                f"{path}: holds activations of {len(recording.activations)} layers; expected {len(hidden)} hidden ones"
            )
        for k, (a, units) in enumerate(zip(recording.activations, hidden, strict=True)):
            expected[f"activations/{k}"] = (a, (*recording.rows.shape, units))
    if recording.logits is not None:
        expected["logits"] = (recording.logits, (*recording.rows.shape, width))
    for key in ("loss", "learning_rate"):
        if getattr(recording, key) is not None:
            expected[key] = (getattr(recording, key), (steps,))
    for key, (array, shape) in expected.items():
        if array.shape != shape:
            raise RequestError(f"{path}: {key} has shape {array.shape}, expected numbers of shape {shape}")


def _check_values(recording: Recording, path: Path) -> None:
    """Raise `RequestError` for the first array whose values cannot be."""
    rows, n = recording.rows, len(recording.X)
    if rows.max(initial=-1) >= n or rows.min(initial=0) < -1 or (rows < 0).all(axis=1).any():
        raise RequestError(
            f"{path}: rows must hold row numbers of X, 0 to {n - 1}, or -1 as padding, one row a step at least"
        )
    if ((rows[:, :-1] < 0) & (rows[:, 1:] >= 0)).any():
        raise RequestError(f"{path}: rows has -1 before a row number; the padding stands at the end of a step")
    if (np.diff(recording.epoch) < 0).any() or recording.epoch[0] != 0 or (np.diff(recording.epoch) > 1).any():
        raise RequestError(f"{path}: epoch must begin with 0 and go up by 0 or 1 from step to step")
    if recording.dtype not in ("float64", "float32"):
        raise RequestError(f"{path}: weights/0/W is of {recording.dtype}; allowed: float64, float32")
    for k, layer in enumerate(recording.weights):
        for key, value in layer.items():
            if str(value.dtype) != recording.dtype:
                told = f"and weights/0/W of {recording.dtype}; all weights are of one dtype"
                raise RequestError(f"{path}: weights/{k}/{key} is of {value.dtype}, {told}")
    for key in ("X", "y"):
        if not np.isfinite(getattr(recording, key)).all():
            raise RequestError(f"{path}: {key} holds NaN or infinity; expected finite numbers")
    rates = recording.learning_rate
    if rates is not None and not (np.isfinite(rates) & (rates >= 0)).all():
        raise RequestError(f"{path}: learning_rate holds NaN, infinity or a negative number; expected the rates in use")
    for k, layer in enumerate(recording.gradients or ()):
        for key, value in layer.items():
            if not np.isfinite(value[0]).all():
                raise RequestError(
                    f"{path}: gradients/{k}/{key} holds NaN or infinity in the first step; record it anew"
                )
