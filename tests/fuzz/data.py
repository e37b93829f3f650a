"""Strategies: CSV, NPZ, Parquet and IDX files, damaged, lying about their sizes, or unpacking to much more."""

import gzip
import io
import struct
import zipfile
from functools import cache

import numpy as np
import pandas as pd
from hypothesis import strategies as st


def npy(array: np.ndarray) -> bytes:
    """An array as the bytes of its file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header(text: str, version: int = 1) -> bytes:
    """The beginning of an NPY file whose header is this text, whatever it says."""
    body = text.encode("latin1", "replace")
    return (
        b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", min(len(body), 65_000)) + body
    )


def archive(members: dict[str, bytes]) -> bytes:
    """Members in a ZIP."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, data in members.items():
            file.writestr(name if name.partition("\0")[0] else "x", data)
    return buffer.getvalue()


@cache
def zeros(mebibytes: int) -> bytes:
    """So many MiB of zeros, packed by gzip, in members of at most 64 MiB."""
    member = gzip.compress(bytes(min(mebibytes, 64) << 20), 1)
    return member * max(1, mebibytes // 64)


@cache
def _table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"a": rng.random(30).round(3), "b": rng.integers(0, 9, 30), "y": np.arange(30) % 2})


def csv_bytes() -> bytes:
    return _table().to_csv(index=False).encode()


def _parquet() -> bytes:
    buffer = io.BytesIO()
    _table().to_parquet(buffer)
    return buffer.getvalue()


def _npz() -> bytes:
    frame = _table()
    return archive({"X.npy": npy(frame[["a", "b"]].to_numpy()), "y.npy": npy(frame["y"].to_numpy())})


flips = st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 255)), min_size=1, max_size=5)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes that were flipped, cut, doubled or put in."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "flip", "cut", "double", "insert", "bits"]))
        if kind == "flip" and data:
            changed = bytearray(data)
            for place, byte in draw(flips):
                changed[place % len(changed)] = byte
            data = bytes(changed)
        elif kind == "bits":  # the fields of ZIP headers: flags, method, sizes
            mark = draw(st.sampled_from([b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY", b"PAR1"]))
            found, offset = data.find(mark), draw(st.integers(0, 46))
            if found >= 0:
                data = data[: found + offset] + draw(st.binary(min_size=1, max_size=4)) + data[found + offset + 4 :]
        elif kind == "cut":
            data = data[:at]
        elif kind == "double":
            data = data[:at] + data[at:] * 2
        else:
            data = (
                data[:at]
                + draw(st.one_of(st.binary(max_size=8), st.sampled_from([b",", b"\n", b'"', b"\x00"])))
                + data[at:]
            )
    return data


SHAPES = [
    "(30, 2)",
    "(30,)",
    "()",
    "(0, 0)",
    "(30, 0)",
    "(0, 10000000000)",
    "(100000000000, 10)",
    "(-1, 2)",
    "(True, 2)",
    "(30, 2.0)",
    f"({'9' * 60}, 2)",
    "(" * 150,
    "(" + "-" * 3000 + "1,)",
    "(7000000, 9)",
    "(60000000,)",
]
DTYPES = [
    "'<f8'",
    "'>f4'",
    "'|O'",
    "'|V8'",
    "'|V0'",
    "'<U0'",
    "'<U5'",
    "'|S3'",
    "'<c16'",
    "'<M8[s]'",
    "'<m8'",
    "'<f2'",
    "'<f16'",
    "'|b1'",
    "'<i9'",
    "[('a', '<f8')]",
    "'(30,2)f8'",
    "'|V1000000000'",
    "3",
    "{}",
]


@st.composite
def npz_file(draw: st.DrawFn) -> bytes:
    """An archive of arrays with headers of all kinds, damaged ones, and bombs."""
    kind = draw(st.sampled_from(["damaged", "header", "header", "bomb", "member", "not one"]))
    if kind == "damaged":
        return draw(damaged(_npz()))
    y = npy(_table()["y"].to_numpy())
    if kind == "header":
        text = "{'descr': %s, 'fortran_order': %s, 'shape': %s, }\n" % (  # noqa: UP031
            draw(st.sampled_from(DTYPES)),
            draw(st.sampled_from(["False", "True", "0"])),
            draw(st.sampled_from(SHAPES)),
        )
        X = header(text, draw(st.sampled_from([1, 1, 1, 2, 3, 9]))) + bytes(draw(st.sampled_from([0, 480, 5000])))
        return archive({"X.npy": X, "y.npy": y})
    if kind == "bomb":
        rows = draw(st.sampled_from([30, 10**5, 10**7, 5 * 10**7]))
        head = header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({rows}, 1), }}\n")
        return archive({"X.npy": head + bytes(draw(st.sampled_from([0, 8 * 30, 64 << 20]))), "y.npy": y})
    if kind == "member":
        return archive(
            {"X.npy": draw(st.binary(max_size=200)), "y.npy": y, draw(st.text(min_size=1, max_size=5)): b"x"}
        )
    return draw(st.one_of(st.binary(max_size=100), st.just(npy(np.arange(3.0))), st.just(b"PK\x05\x06" + bytes(18))))


@st.composite
def csv_file(draw: st.DrawFn) -> bytes:
    """A CSV: damaged, of many columns or none, with quotes that do not end."""
    kind = draw(st.sampled_from(["damaged", "damaged", "cells", "wide", "ragged", "quoted", "encoded"]))
    if kind == "damaged":
        return draw(damaged(csv_bytes()))
    if kind == "cells":
        cell = st.sampled_from(
            ["1", "0.5", "", "nan", "inf", "-inf", "1e999", "9" * 400, "x", "True", "2020-01-01", '"', "1,5", " "]
        )
        rows = draw(st.lists(st.tuples(cell, cell, cell), min_size=1, max_size=8))
        return ("a,b,y\n" + "\n".join(map(",".join, rows))).encode()
    if kind == "wide":
        columns = draw(st.sampled_from([1, 100, 20_000, 49_999, 60_000, 400_000]))
        names = [f"c{i}" for i in range(columns)] if draw(st.booleans()) else ["c"] * columns
        return (
            ",".join([*names, "y"]) + "\n" + (",".join(["1"] * columns) + ",0\n") * draw(st.integers(0, 3))
        ).encode()
    if kind == "ragged":
        columns, rows = draw(st.sampled_from([(3, 9), (40_000, 10**6), (1000, 10**6), (1, 3 * 10**6)]))
        return (",".join(f"c{i}" for i in range(columns)) + ",y\n").encode() + b"1\n" * rows
    if kind == "quoted":
        return draw(
            st.sampled_from(
                [b'"', b'"a\n', b'a,"y\n1,2\n' * 3, b'"a\n",y\n1,2\n3,4\n', b'a,y\n"1,2\n' + b"3,4\n" * 10**5]
            )
        )
    return draw(
        st.one_of(st.binary(max_size=60), st.just(csv_bytes().decode().encode("utf-16")), st.just(bytes(3 << 20)))
    )


@st.composite
def idx_files(draw: st.DrawFn) -> dict[str, bytes]:
    """The four files of a folder, one of which is not as the others."""
    packed = draw(st.booleans())
    end = ".gz" if packed else ""
    images = struct.pack(">4I", 2051, 12, 2, 2) + bytes(range(48))
    labels = struct.pack(">2I", 2049, 12) + bytes(i % 3 for i in range(12))
    files = {}
    for part in ("train", "t10k"):
        files |= {f"{part}-images-idx3-ubyte{end}": images, f"{part}-labels-idx1-ubyte{end}": labels}
    files = {name: gzip.compress(data, 1) if packed else data for name, data in files.items()}
    name = draw(st.sampled_from(sorted(files)))
    lengths = st.sampled_from([0, 1, 2, 12, 255, 60_000, 2**31, 2**32 - 1])
    kind = draw(st.sampled_from(["damaged", "header", "bomb", "gone"]))
    if kind == "damaged":
        files[name] = draw(damaged(files[name]))
    elif kind == "header":
        head = struct.pack(">4I", draw(st.sampled_from([2051, 2049, 0])), *(draw(lengths) for _ in range(3)))
        files[name] = gzip.compress(head, 1) if packed else head + bytes(draw(st.sampled_from([0, 48])))
    elif kind == "bomb" and packed:
        head = struct.pack(">4I", 2051, *draw(st.sampled_from([(12, 2, 2), (60_000, 28, 28), (2**20, 2**6, 2**6)])))
        files[name] = gzip.compress(head, 1) + zeros(draw(st.sampled_from([1, 64, 1024, 5120])))
    elif kind == "gone":
        del files[name]
    return files


parquet_file = st.deferred(lambda: damaged(_parquet()))
