"""MNIST: from the four IDX files in a folder, or else downloaded once by scikit-learn from openml.org."""

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from harness.support.errors import RequestError
from harness.support.limits import check_file, check_size, size

CLASSES = tuple("0123456789")

IMAGES, LABELS = 2051, 2049
"""The first four bytes of an IDX file, big-endian: 0, 0, 8 (unsigned bytes), and 3 axes or 1."""


def mnist(folder: str | Path | None = None) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """The 60,000 training rows, then the 10,000 test rows; one column a pixel, row by row, 0 to 255."""
    if folder is None:
        return _download()
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise RequestError(f"dataset mnist: folder {folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    parts = [_part(folder, name) for name in ("train", "t10k")]
    shapes = [images.shape[1:] for images, _ in parts]
    if shapes[0] != shapes[1]:
        raise RequestError(f"dataset mnist: {folder}: train images are {shapes[0]} pixels, t10k images {shapes[1]}")
    taken = sum(images.size for images, _ in parts) * 8
    check_size("HARNESS_MAX_MEMORY", taken, f"dataset mnist: {folder}: its images take {size(taken)} as float64")
    X = np.concatenate([images.reshape(len(images), prod(images.shape[1:])) for images, _ in parts])
    y = np.concatenate([labels for _, labels in parts])
    return X.astype(np.float64), y.astype(np.int64), CLASSES


def read_idx(path: Path, magic: int) -> np.ndarray:
    """The bytes of one IDX file, in its shape. Of a packed one (gzip) no more is unpacked than its header says.

    Raises `RequestError` for a file that is none, or too large.
    """
    at = f"dataset mnist: {path}"
    check_file(path, at)
    with _opened(path, at) as file:
        start = file.read(4)
        if len(start) < 4 or (found := struct.unpack(">I", start)[0]) != magic:
            shown = found if len(start) >= 4 else "fewer than 4 bytes"
            raise RequestError(f"{at}: not an IDX file of this kind: it begins with {shown}, not {magic}")
        axes = magic % 256
        lengths = file.read(4 * axes)
        if len(lengths) < 4 * axes:
            raise RequestError(f"{at}: ends within its header, after {4 + len(lengths)} bytes")
        shape = struct.unpack(f">{axes}I", lengths)
        if not prod(shape):
            raise RequestError(f"{at}: holds no {'pixels' if axes > 1 else 'labels'}: its header says {shape}")
        taken = prod(shape) * 8
        check_size("HARNESS_MAX_MEMORY", taken, f"{at}: its header says {shape}, which take {size(taken)} as float64")
        data = file.read(prod(shape) + 1)
    if len(data) != prod(shape):
        told = f"{len(data)} bytes" if len(data) < prod(shape) else "more bytes"
        raise RequestError(f"{at}: {told} of data, where its header says {shape}")
    return np.frombuffer(data, np.uint8).reshape(shape)


@contextmanager
def _opened(path: Path, at: str) -> Iterator[IO[bytes]]:
    """The file, unpacked as it is read."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file  # type: ignore[misc]
    except (OSError, EOFError, zlib.error) as error:
        raise RequestError(f"{at}: cannot be read: {error}") from None


def _part(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    images = read_idx(_find(folder, f"{name}-images-idx3-ubyte"), IMAGES)
    path = _find(folder, f"{name}-labels-idx1-ubyte")
    labels = read_idx(path, LABELS)
    if len(labels) != len(images):
        raise RequestError(f"dataset mnist: {path}: {len(labels)} labels for {len(images)} images")
    if len(labels) and labels.max() > 9:
        raise RequestError(f"dataset mnist: {path}: label {labels.max()}, where 0 to 9 are allowed")
    return images, labels


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    raise RequestError(f"dataset mnist: {folder}: holds no file {name} or {name}.gz")


def _download() -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    from sklearn.datasets import fetch_openml

    try:
        X, y = fetch_openml("mnist_784", version=1, as_frame=False, return_X_y=True)
    except (OSError, HTTPException, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise RequestError(
            f"dataset mnist: no download from openml.org ({why}); give the folder that holds its four IDX files"
        ) from None
    return np.asarray(X, np.float64), np.asarray(y).astype(np.int64), CLASSES
