"""Strategies: recordings in which arrays are missing, of another shape or dtype, or hold other numbers."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from harness.recording.file import Recording, write
from tests.fuzz.data import DTYPES, SHAPES, archive, damaged, header, npy


@cache
def recorded() -> dict[str, np.ndarray]:
    """The arrays of a small recording: four steps of plain gradient descent on a linear layer."""
    rng = np.random.default_rng(1)
    X, y = rng.random((6, 3)), np.array([0, 1, 0, 1, 1, 0])
    rows = np.array([[0, 1, 2], [3, 4, 5], [2, 1, 0], [5, 4, -1]])
    W, b, weights, gradients = rng.random((3, 2)) - 0.5, np.zeros(2), [], []
    for batch in rows:
        weights.append((W, b))
        chosen = batch[batch >= 0]
        z = X[chosen] @ W + b
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        p[np.arange(len(chosen)), y[chosen]] -= 1
        gradients.append((X[chosen].T @ p / len(chosen), p.mean(0)))
        W, b = W - 0.1 * gradients[-1][0], b - 0.1 * gradients[-1][1]
    weights.append((W, b))
    series = [
        ({"W": np.array([w for w, _ in all_]), "b": np.array([v for _, v in all_])},) for all_ in (weights, gradients)
    ]
    recording = Recording(
        X,
        y,
        rows,
        np.array([0, 0, 1, 1]),
        series[0],
        series[1],
        settings={"optimizer": "sgd", "learning_rate": 0.1, "task": "multiclass"},
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recorded.npz"
        write(recording, path)
        with np.load(path) as file:
            return dict(file)


_SETTINGS = [
    "",
    "{}",
    "[]",
    "null",
    "{",
    "[" * 3000,
    '{"a":' * 2000,
    '{"optimizer": "adm"}',
    '{"learning_rate": NaN}',
    '{"learning_rate": "x"}',
    '{"task": 3}',
    '{"hidden": [[1]]}',
    '{"optimizer": {}}',
    '{"l2": 1e999}',
    '{"learning_rate": -1, "epochs": 0}',
    '{"n": ' + "9" * 5000 + "}",
    '{"momentum": ' + "9" * 400 + "}",
    '{"batch_size": 10000000000, "epsilon": 0}',
    '{"activation": ["relu"]}',
    '{"reduction": "sum", "l2": 0.5}',
]


@st.composite
def recording_file(draw: st.DrawFn) -> bytes:
    """A recording in which one array or two are not as they were."""
    arrays: dict[str, Any] = {key: npy(array) for key, array in recorded().items()}
    if draw(st.integers(0, 4)) == 0:
        return draw(damaged(archive({f"{key}.npy": data for key, data in arrays.items()})))
    for _ in range(draw(st.integers(1, 2))):
        key = draw(st.sampled_from(sorted(recorded())))
        array = recorded()[key]
        kind = draw(
            st.sampled_from(["drop", "dtype", "shape", "value", "settings", "header", "extra", "noise", "noise"])
        )
        if kind == "drop":
            arrays.pop(key, None)
        elif kind == "settings":
            arrays["settings"] = npy(np.array(draw(st.sampled_from(_SETTINGS))))
        elif kind == "extra":
            name = draw(
                st.sampled_from(
                    ["logits", "loss", "learning_rate", "activations/0", "activations/7", "weights/1/W", "x"]
                )
            )
            arrays[name] = npy(
                np.full(draw(st.sampled_from([(4,), (4, 3, 2), (0,), ()])), draw(st.sampled_from([0.1, np.nan, 7.0])))
            )
        elif kind == "header":
            shape, dtype = draw(st.sampled_from(SHAPES)), draw(st.sampled_from(DTYPES))
            text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n"
            arrays[key] = header(text) + bytes(draw(st.sampled_from([0, 96, 480])))
        elif array.dtype.kind in "iuf":
            arrays[key] = npy(draw(_other(array, kind)))
    return archive({f"{key}.npy": data for key, data in arrays.items()})


@st.composite
def _other(draw: st.DrawFn, array: np.ndarray, kind: str) -> np.ndarray:
    """The array in another dtype or shape, or with another value somewhere."""
    if kind == "dtype":
        return array.astype(draw(st.sampled_from(["f4", "f2", "f16", "i8", "u1", "c16", "U8", "?", ">f8", "M8[s]"])))
    if kind == "shape":
        shapes = [
            array[:0],
            array[:1],
            array[None],
            array.ravel(),
            array[..., None],
            np.repeat(array, 2, axis=0),
            np.array(0.5),
        ]
        return draw(st.sampled_from(shapes))
    changed = np.array(array, np.float64 if array.dtype.kind == "f" else array.dtype)
    if kind == "noise":
        if array.dtype.kind == "f":
            changed += draw(st.sampled_from([1e-15, 1e-6, 0.1, 1e200])) * np.random.default_rng(
                draw(st.integers(0, 9))
            ).random(array.shape)
        return changed
    flat = changed.reshape(-1)
    options = [0.0, -1.0, np.nan, np.inf, 1e308, 1e-320] if array.dtype.kind == "f" else [0, -1, -2, 5, 6, 2**62, 99]
    if len(flat):
        flat[draw(st.integers(0, len(flat) - 1))] = draw(st.sampled_from(options))
    return changed
