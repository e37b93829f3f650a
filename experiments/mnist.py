"""MNIST: from the four IDX files in a folder, or else downloaded once by scikit-learn from openml.org."""

import gzip
import struct
import zlib
from http.client import HTTPException
from math import prod
from pathlib import Path

import numpy as np

from harness.errors import RequestError

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
    X = np.concatenate([images.reshape(len(images), prod(images.shape[1:])) for images, _ in parts])
    y = np.concatenate([labels for _, labels in parts])
    return X.astype(np.float64), y.astype(np.int64), CLASSES


def read_idx(path: Path, magic: int) -> np.ndarray:
    """The bytes of one IDX file, in its shape. The file may be packed by gzip."""
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise RequestError(f"dataset mnist: {path}: cannot be read: {error}") from None
    if len(data) < 4 or (found := struct.unpack(">I", data[:4])[0]) != magic:
        shown = found if len(data) >= 4 else "fewer than 4 bytes"
        raise RequestError(f"dataset mnist: {path}: not an IDX file of this kind: it begins with {shown}, not {magic}")
    start = 4 + 4 * (magic % 256)
    if len(data) < start:
        raise RequestError(f"dataset mnist: {path}: ends within its header, after {len(data)} bytes")
    shape = struct.unpack(f">{magic % 256}I", data[4:start])
    if len(data) - start != prod(shape):
        raise RequestError(f"dataset mnist: {path}: {len(data) - start} bytes of data, where its header says {shape}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


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
