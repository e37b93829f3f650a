"""What a loss receives, against what it is made for. Each check yields findings, or none, and raises nothing."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from harness.linting.findings import (
    Finding,
    are_probabilities,
    is_one_hot,
    labels_outside,
    look_like_sigmoids,
    one_hot,
    rows_apart,
)
from harness.linting.losses import Loss

_RESHAPED = re.compile(
    "Squeeze|Unsqueeze|View|UnsafeView|Reshape|T|Transpose|Permute|Select|Slice|Clone|ToCopy|Expand|Alias"
)
_MADE = {"Softmax": "softmax", "Sigmoid": "sigmoid", "LogSoftmax": "log-softmax", "LogSigmoid": "log-sigmoid"}
_MADE |= {"Addmm": "sum", "Mm": "sum"}


def made_by(outputs: Any, values: np.ndarray) -> str | None:
    """What the outputs came out of, as far as they know: "softmax", "sigmoid", "sum" (a plain layer), …; None if not.

    PyTorch's tensors know the operation they are from; on those of TensorFlow Keras leaves the logits behind.
    """
    if getattr(outputs, "_keras_logits", None) is not None:
        return "softmax" if values.ndim > 1 and values.shape[-1] > 1 and are_probabilities(values) else "sigmoid"
    node = getattr(outputs, "grad_fn", None)
    while node is not None:
        name = re.sub(r"Backward\d*$", "", type(node).__name__)
        if not _RESHAPED.fullmatch(name):
            return _MADE.get(name)
        node = next((before for before, _ in getattr(node, "next_functions", ())), None)
    return None


def received(loss: Loss, y: np.ndarray, outputs: np.ndarray, made: str | None, task: str | None) -> Iterator[Finding]:
    """What looks wrong with the targets `y` and the outputs that `loss` is given."""
    yield from rows_apart(y, outputs, "the outputs have")
    if not y.ndim or not outputs.ndim or len(y) != len(outputs):
        return
    if loss.unit == "softmax":
        if loss.targets != "names":
            yield from _one_output(loss, outputs)
        if outputs.ndim == 2 and outputs.shape[1] > 1:
            yield from _for_softmax(loss, outputs, made)
            yield from _classes(loss, y, outputs, task)
        return
    if loss.unit == "sigmoid":
        yield from _for_sigmoid(loss, outputs, made)
        yield from _answers(loss, y)
        if y.shape == outputs.shape and task == "multiclass":  # else a sigmoid for each class is what was chosen
            yield from one_hot(y, task, "y")
    yield from _one_an_output(loss, y, outputs)


def _one_output(loss: Loss, outputs: np.ndarray) -> Iterator[Finding]:
    if outputs.ndim == 1 and len(outputs) > 1 and loss.shapes == "refuses":
        yield Finding(
            "one-output",
            f"the outputs have the shape {outputs.shape}: {loss.name} takes them for the {len(outputs)} classes of one "
            "row; with one output use a loss of the sigmoid, or give the network one output a class",
        )
    elif outputs.ndim == 1 or (outputs.ndim == 2 and outputs.shape[1] == 1):
        yield Finding(
            "one-output",
            f"the outputs have the shape {outputs.shape}, and the softmax of one output is always 1: nothing is "
            f"learned by {loss.name}; use a loss of the sigmoid, or give the network one output a class",
        )


def _for_softmax(loss: Loss, outputs: np.ndarray, made: str | None) -> Iterator[Finding]:
    """Outputs `(n, k)` of which softmax was taken or not, against what the loss takes."""
    p = _numbers(outputs)
    if p is None:
        return
    whole = f"none of the {p.size} is negative, and each of the {len(p)} rows sums to 1"
    probabilities = are_probabilities(p)
    logarithms = bool((p <= 1e-6).all()) and are_probabilities(np.exp(p))
    if loss.outputs == "logits" and made == "sigmoid":
        yield Finding(
            "double-softmax",
            f"{loss.name} takes softmax itself, and the outputs are those of a sigmoid; {_instead(loss, 'sigmoid')}",
        )
    elif loss.outputs == "logits" and probabilities and made != "sum":
        yield Finding(
            "double-softmax",
            f"{loss.name} takes softmax itself, and the outputs are probabilities already ({whole}), so that it is "
            f"applied twice; {_instead(loss, 'softmax')}",
        )
    elif loss.outputs == "probabilities" and not probabilities:
        sums = p.sum(axis=1)
        seen = "they are logarithms" if logarithms else f"their rows sum to {sums.min():.3g} to {sums.max():.3g}"
        yield Finding(
            "missing-softmax",
            f"{loss.name} expects probabilities, and the outputs are none ({seen}); {_raw(loss, 'softmax')}",
        )
    elif loss.outputs == "log-probabilities" and probabilities:
        yield Finding(
            "missing-log",
            f"{loss.name} expects the logarithms of probabilities, and the outputs are probabilities ({whole}); end "
            "the network with log_softmax",
        )
    elif loss.outputs == "log-probabilities" and not logarithms:
        yield Finding(
            "missing-softmax",
            f"{loss.name} expects the logarithms of probabilities, and the outputs are none (from {p.min():.3g} to "
            f"{p.max():.3g}); end the network with log_softmax, or use CrossEntropyLoss",
        )


def _instead(loss: Loss, unit: str) -> str:
    if "from_logits" in loss.name:
        return (
            f"set from_logits=False, or hand over what stands before the {unit} (on TensorFlow Keras looks behind a "
            f"last layer of {unit} and trains as it should, on its other backends it does not)"
        )
    return f"hand over what stands before the {unit}"


def _raw(loss: Loss, unit: str) -> str:
    if loss.targets == "names":
        return "hand over what predict_proba gives"
    other = {"refuses": "use BCEWithLogitsLoss, or "}.get(loss.shapes, "take it with from_logits=True, or ")
    return f"{'' if 'kl' in loss.name.lower() else other}end the network with {unit}"


def _for_sigmoid(loss: Loss, outputs: np.ndarray, made: str | None) -> Iterator[Finding]:
    """Outputs of any shape of which the sigmoid was taken or not, against what the loss takes."""
    p = _numbers(outputs)
    if p is None:
        return
    inside = bool(((p >= 0) & (p <= 1)).all())
    if len(p) > 1 and p.size == len(p) and np.allclose(p, 1, rtol=0, atol=1e-6):
        yield Finding(
            "one-output",
            f"all {p.size} outputs are 1, as softmax of one output always is: nothing is learned by {loss.name}; end "
            "the network with the sigmoid",
        )
        return
    if loss.outputs == "logits" and (made in ("sigmoid", "softmax") or (made is None and look_like_sigmoids(p))):
        yield Finding(
            "double-softmax",
            f"{loss.name} takes the sigmoid itself, and the outputs look like probabilities (all {p.size} lie from 0 "
            f"to 1), so that it is applied twice; {_instead(loss, made or 'sigmoid')}",
        )
    elif loss.outputs == "probabilities" and (not inside or made == "sum"):
        yield Finding(
            "missing-softmax",
            f"{loss.name} expects probabilities, and the outputs are none (from {p.min():.3g} to {p.max():.3g}"
            f"{', out of a layer without a sigmoid' if inside else ''}); {_raw(loss, 'sigmoid')}",
        )


def _answers(loss: Loss, y: np.ndarray) -> Iterator[Finding]:
    """Targets of a sigmoid beyond 0 to 1."""
    values = _numbers(y)
    if values is None:
        return
    outside = (values < 0) | (values > 1)
    if outside.any():
        yield Finding(
            "labels-outside",
            f"y goes from {values.min():.4g} to {values.max():.4g}, and {loss.name} expects targets from 0 to 1 "
            f"({int(outside.sum())} of {values.size} are not); number the two classes 0 and 1",
        )


def _classes(loss: Loss, y: np.ndarray, outputs: np.ndarray, task: str | None) -> Iterator[Finding]:
    """Targets of a softmax over `k` classes: labels, or one column a class."""
    n, k = outputs.shape
    if y.shape == (n, k):
        if loss.targets == "labels" or (loss.targets == "either" and y.dtype.kind in "biu"):
            whole = ", or as numbers with a point" if loss.targets == "either" else ""
            told = "a single 1 in each row" if is_one_hot(y) else "one column a class"
            yield Finding(
                "one-hot",
                f"y has the shape {y.shape}, {told}, and {loss.name} expects labels {(n,)}; hand over "
                f"y.argmax(axis=1){whole}",
            )
    elif y.shape not in ((n,), (n, 1)):
        yield Finding(
            "target-shape", f"y has the shape {y.shape} and the outputs have {outputs.shape}: {_wanted(loss, n, k)}"
        )
    elif loss.targets == "columns":
        yield Finding(
            "one-hot",
            f"y holds labels {y.shape}, and {loss.name} expects one column a class, {(n, k)}; hand over "
            f"numpy.eye({k})[y.ravel()], or use a loss of labels",
        )
    elif loss.targets != "names":
        if y.shape == (n, 1) and loss.shapes != "aligns" and n > 1:
            yield Finding(
                "target-shape",
                f"the labels of y are a column {(n, 1)}, where {loss.name} expects a vector {(n,)}; hand over "
                "y.ravel()",
            )
        labels = y.ravel()
        yield from labels_outside(labels if loss.ignored is None else labels[labels != loss.ignored], task, k, "y")


def _wanted(loss: Loss, n: int, k: int) -> str:
    shapes = {"labels": f"labels {(n,)}", "columns": f"one column a class, {(n, k)}"}
    return f"{loss.name} expects {shapes.get(loss.targets) or f'labels {(n,)} or one column a class, {(n, k)}'}"


def _one_an_output(loss: Loss, y: np.ndarray, outputs: np.ndarray) -> Iterator[Finding]:
    """Targets that are not one an output."""
    n, shapes = len(y), f"y has the shape {y.shape} and the outputs have {outputs.shape}"
    if y.shape == outputs.shape or n < 2:
        return
    if {y.shape, outputs.shape} != {(n,), (n, 1)}:
        yield Finding("target-shape", f"{shapes}: {loss.name} expects one target an output, {outputs.shape}")
    elif loss.shapes == "broadcasts":
        yield Finding(
            "target-shape",
            f"{shapes}: {loss.name} broadcasts their difference to {(n, n)}, every row against every other; hand over "
            f"y.reshape({outputs.shape})",
        )
    elif loss.shapes == "refuses":
        yield Finding("target-shape", f"{shapes}: {loss.name} refuses them; hand over y.reshape({outputs.shape})")


def _numbers(values: np.ndarray) -> np.ndarray | None:
    """The values as finite numbers, or None where they are none."""
    if values.dtype.kind not in "biuf" or not values.size:
        return None
    numbers = values.astype(np.float64)
    return numbers if np.isfinite(numbers).all() else None
