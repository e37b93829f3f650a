"""Arguments and options that several subcommands share, and how their text is read."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import completion
from harness.storage.store import DEFAULT_STORE
from harness.support.errors import RequestError

if TYPE_CHECKING:
    from harness.experiment.file import Cell, Experiment

ExperimentArgument = Annotated[
    str,
    typer.Argument(
        metavar="EXP",
        help="An experiment file (.toml), or the name of a suite (see: harness list).",
        autocompletion=completion.experiment_names,
    ),
]
StoredOption = Annotated[
    str | None,
    typer.Option(
        "--experiment",
        metavar="NAME",
        help="Which of the experiments in the store.",
        autocompletion=completion.stored_names,
    ),
]
StoreOption = Annotated[
    str,
    typer.Option(
        "--store", metavar="STORE", help="Where results are kept: FILE.db, or postgresql+psycopg://HOST/NAME."
    ),
]
CellOption = Annotated[
    str, typer.Option("--cell", metavar="KEY=VALUE,...", help="Which cell, such as learning_rate=0.1,l2=0.001.")
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress, warnings or notes: standard error is for errors only.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="The result as one JSON object, for programs.")]
STORE = DEFAULT_STORE


def names(text: str | None) -> tuple[str, ...] | None:
    """`"a,b"` as `("a", "b")`."""
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def make_folder(folder: Path, *inside: str) -> None:
    """Before hours of training, not after them: can anything be written there, and in the folders `inside` it?

    Raises `RequestError` if not.
    """
    try:
        for place in (folder, *(folder / name for name in inside)):
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place):
                pass
    except OSError as error:
        raise RequestError(f"--out {folder}: cannot be written: {error.strerror}; give another folder") from None


@contextmanager
def writing_into(folder: Path, hint: str = "; make room, or give another folder") -> Iterator[None]:
    """Where a disk is full in the middle of a report, the line says which folder. Raises `RequestError`."""
    try:
        yield
    except OSError as error:
        raise RequestError(f"--out {folder}: cannot be written: {error.strerror or error}{hint}") from None


def pick_cell(experiment: "Experiment", text: str) -> "Cell":
    """The one cell that `KEY=VALUE,...` singles out, values compared at 12 significant digits.

    Raises `RequestError` that lists the cells when there is none, or more than one.
    """
    from harness.experiment.cells import single_cell, unknown_axis

    wanted: dict[str, str] = {}
    # a comma parts only where a new KEY= follows, and not within brackets: there are some in [8,8], in the names of
    # cases, and in batch_norm(0.9, epsilon=0.001)
    for item in filter(None, map(str.strip, re.split(r",(?=\s*\w+\s*=)(?![^()]*\))", text))):
        key, equals, value = item.partition("=")
        axes = ", ".join(experiment.sweep) or "none: nothing is swept"
        if not equals:
            raise RequestError(f"--cell {text!r}: {item!r} must be AXIS=VALUE (axes: {axes})")
        if key.strip() not in experiment.sweep:
            told = unknown_axis(key.strip(), experiment.sweep) if experiment.sweep else f"(axes: {axes})"
            raise RequestError(f"--cell {text!r}: {item!r} is not AXIS=VALUE: {told}")
        if key.strip() in wanted:
            raise RequestError(f"--cell {text!r}: {key.strip()} stands there twice; leave one out")
        wanted[key.strip()] = value.strip()
    asked = f"--cell {text!r}: singles out" if text else "give --cell AXIS=VALUE,…: none singles out"
    return single_cell(experiment, wanted, asked)
