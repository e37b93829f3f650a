"""NPZ files that anybody can hand over: headers are read first, and no array is unpacked that is more than they may be.

Nothing is believed: neither the sizes in the archive nor those in the headers of its arrays. Arrays of Python objects,
which are pickles, and of records are refused.
"""

import io
import struct
import zipfile
from collections.abc import Callable, Iterable
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from harness.support.errors import RequestError
from harness.support.limits import check_file, check_size, size

NO_ARCHIVE = "it is no archive of arrays; write one by numpy.savez"

_LONGEST_HEADER = 10_000  # bytes: NumPy's own bound
_MOST_DIRECTORY = 8 << 20  # bytes: of over 100,000 arrays
_TAIL = 66_000  # a zip's last record begins within so many bytes of its end


def read_arrays(
    path: Path,
    choose: Callable[[list[str]], Iterable[str]] | None = None,
    where: str | None = None,
    otherwise: str = "give a file that is there",
) -> dict[str, np.ndarray]:
    """The arrays of a file by name, or those that `choose` picks of its names.

    `where` begins error lines; `otherwise` ends that of a file that is not there.

    Raises `RequestError` where there is no file or too much in it, and `ValueError`, with the reason, for a file that
    cannot be read.
    """
    where = where or str(path)
    check_file(path, where, otherwise=otherwise)
    try:
        with path.open("rb") as file:
            _check_directory(file)
            with zipfile.ZipFile(file) as archive:
                members = {name.removesuffix(".npy"): name for name in archive.namelist()}
                chosen = list(choose([*members]) if choose else members)
                _check_members(archive, {name: members[name] for name in chosen}, where)
                return {name: _read(archive, members[name]) for name in chosen}
    except (RequestError, _Refused):
        raise
    except zipfile.BadZipFile as error:
        told = NO_ARCHIVE if "not a zip file" in str(error) else _line(error)
        raise _Refused(told) from None
    except Exception as error:  # a broken file ends in any error of the libraries that take it apart
        raise _Refused(_line(error)) from None


class _Refused(ValueError):
    """Why the file cannot be read."""


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _check_directory(file: IO[bytes]) -> None:
    """Refuse a list of members that is too long to be read; sizes stand in the archive's last record, or two."""
    end = file.seek(0, io.SEEK_END)
    file.seek(max(0, end - _TAIL))
    tail = file.read()
    file.seek(0)
    listed = [
        struct.unpack_from("<L", tail, at + 12)[0] for at in [tail.rfind(b"PK\x05\x06")] if 0 <= at <= len(tail) - 16
    ]
    listed += [
        struct.unpack_from("<Q", tail, at + 40)[0] for at in [tail.rfind(b"PK\x06\x06")] if 0 <= at <= len(tail) - 48
    ]
    if any(_MOST_DIRECTORY < found != 0xFFFFFFFF for found in listed):
        raise _Refused("it lists more arrays than anybody needs")


def _check_members(archive: zipfile.ZipFile, members: dict[str, str], where: str) -> None:
    """Refuse what is no plain array, and more numbers in all than the limit."""
    total = 0
    for name, member in members.items():
        info = archive.getinfo(member)
        if info.flag_bits & 1:
            raise _Refused(f"array {name!r} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _Refused(f"array {name!r} is packed by a method that numpy.savez does not use")
        with archive.open(info) as stream:
            shape, dtype = _header(stream, name)
        if dtype.hasobject:
            raise _Refused(f"array {name!r}: an array of Python objects is never loaded; save numbers or texts")
        if dtype.kind == "V":
            raise _Refused(f"array {name!r} holds records ({dtype}); save numbers or texts")
        # an axis of length 0 makes the array empty, and not the others short
        taken = prod(max(length, 1) for length in shape) * max(dtype.itemsize, 8)
        total += taken
        told = f"{where}: array {name!r} of shape {_shown(shape)} takes {size(taken)}, as float64"
        more = f", and all arrays {size(total)}" if size(total) != size(taken) else ""
        check_size("HARNESS_MAX_MEMORY", total, told + more)


def _shown(shape: tuple[int, ...]) -> str:
    text = str(shape) if all(length < 10**18 for length in shape) else "beyond counting"
    return text if len(text) <= 80 else f"{text[:60]}…"


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], "np.dtype[np.generic]"]:
    """Shape and dtype, from the first bytes of a member."""
    start = io.BytesIO(stream.read(_LONGEST_HEADER + 12))
    try:
        version = np.lib.format.read_magic(start)
    except ValueError:
        raise _Refused(f"{name!r} is no array") from None
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise _Refused(f"array {name!r}: written in version {version[0]}.{version[1]} of the format; known: 1.0, 2.0")
    try:
        shape, _, dtype = readers[version](start)
    except Exception:  # deep nesting, wild literals, a header that goes on: NumPy's parser raises nearly anything
        raise _Refused(f"the header of array {name!r} cannot be read") from None
    if any(length < 0 for length in shape):
        raise _Refused(f"array {name!r} has the shape {_shown(shape)}")
    return shape, dtype


def _read(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    with archive.open(member) as stream:
        array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
    return array
