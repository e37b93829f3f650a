"""`harness init`."""

import json
import os
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from textwrap import wrap
from typing import Annotated

import typer

from harness.cli import completion
from harness.cli.options import QuietOption
from harness.cli.output import Output
from harness.support.errors import RequestError, unknown
from harness.support.limits import check_file

EXAMPLES = (
    "harness init                                      # experiment.toml, on the handwritten digits",
    "harness init wine.toml --data wine",
    "harness init mine.toml --data mine.csv --target outcome",
)

_LIKELY = ("target", "label", "class", "y", "outcome", "species")  # what the column to predict is often called
_FEW_ROWS, _MANY_ROWS = 20, 10_000
_PIXELS = {"digits": "16", "mnist": "255"}  # a number to divide by, in place of "standard"
_COMMENT = 33  # the column in which comments begin


@dataclass(frozen=True)
class _Data:
    """What the file depends on; `source` are the lines that name the data."""

    title: str
    source: str
    task: str
    inputs: int
    rows: int
    scale: str = '"standard"'


def command(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="The file to write.")] = Path("experiment.toml"),
    data: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="A dataset (see: harness list), or a CSV, Parquet or NPZ file.",
            autocompletion=completion.dataset_name,
        ),
    ] = "digits",
    target: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Of a file: what is predicted (default: a guess, which is told)."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Write an experiment file with every main key, its default and what is allowed, ready for `harness run`."""
    output = Output("init", quiet)
    _check_place(file, force)
    if Path(data).suffix or Path(data).is_file():
        found = _own(Path(data), target, file.parent, output)
    elif target is not None:
        raise RequestError(f"--target {target}: the dataset {data!r} has its own target; leave it out")
    else:
        found = _named(data)
    try:
        file.write_text(_filled(file, found), encoding="utf-8")
    except OSError as error:
        raise RequestError(f"{file}: cannot be written: {error.strerror}; give another file") from None
    output.note(f"wrote {file}; next: harness run {shlex.quote(str(file))}")


def _check_place(file: Path, force: bool) -> None:
    if file.suffix != ".toml":
        other = file.with_suffix(".toml") if file.stem.strip(".") else file / "experiment.toml"
        raise RequestError(f"{file}: an experiment file ends in .toml; write {other}")
    if file.exists() and not force:
        raise RequestError(f"{file}: is there already; give another name, or --force to write over it")
    if not file.parent.is_dir():
        raise RequestError(f"{file}: the folder {str(file.parent)!r} does not exist; make it first")


def _named(name: str) -> _Data:
    from experiments.datasets import DATASETS

    if name not in DATASETS:
        raise RequestError(f"--data: {unknown('dataset', name, DATASETS)}; or give a CSV, Parquet or NPZ file")
    origin = DATASETS[name]
    lines = [
        _line("name", _text(name)) + "# a dataset, of (see: harness list):",
        _comment(DATASETS),
        _line("# path", '"my.csv"') + "# in place of name: a CSV, Parquet or NPZ file of your own, beside this one,",
        _line("# target", '"column"') + "# and its column to predict, or a list of columns",
    ]
    title = f"{name}: learning rate against L2"
    if name == "mnist":  # `harness run` downloads it, not this command
        return _Data(title, "\n".join(lines), origin.task, 784, 70_000, _PIXELS[name])
    X, y, _ = origin.load()
    scale = _PIXELS.get(name, '"standard"' if len(X) >= _FEW_ROWS else '"none"')
    return _Data(title, "\n".join(lines), origin.task, X.shape[1], len(y), scale)


def _own(path: Path, target: str | None, folder: Path, output: Output) -> _Data:
    """A file of the user's own, read as `harness run` will read it, so that what is wrong with it is said now."""
    from harness.data.tables import load_table

    check_file(path, f"--data {path}", otherwise="give a file that is there, or a dataset (see: harness list)")
    if target is None:
        target = _guess(path, output)
    X, y, names, task, _, _ = load_table(path, target, None)
    kind = "numbers (a regression)" if task == "regression" else f"{len(names)} classes ({task})"
    output.note(f"{path}: {len(y)} rows, {X.shape[1]} inputs; {target!r} holds {kind}")
    lines = [
        _line("path", _text(os.path.relpath(path, folder))) + "# a CSV, Parquet or NPZ file; relative to this one",
        _line("target", _text(target)) + "# the column to predict, or a list of columns",
    ]
    title = f"{path.stem}: learning rate against L2"
    return _Data(title, "\n".join(lines), task, X.shape[1], len(y), '"standard"' if len(y) >= _FEW_ROWS else '"none"')


def _guess(path: Path, output: Output) -> str:
    """The column of a CSV that is probably the target: by its name, else the last."""
    from harness.data.tables import check_csv, csv_names

    if path.suffix.lower() != ".csv":
        raise RequestError(f"--data {path}: say what is predicted: --target NAME")
    check_csv(path, f"--data {path}")
    try:
        names = csv_names(path)
    except (OSError, ValueError) as error:
        told = " ".join(str(error).split())
        raise RequestError(
            f"--data {path}: cannot be read as CSV: {told}; its first line must name the columns"
        ) from None
    likely = [name for name in names if name.lower() in _LIKELY]
    chosen = likely[0] if len(likely) == 1 else names[-1]
    why = "by its name" if len(likely) == 1 else "the last column"
    output.note(f"{path}: {len(names)} columns; the target is taken to be {chosen!r}, {why}; another: --target NAME")
    return chosen


def _filled(file: Path, data: _Data) -> str:
    """The template with its blanks filled in."""
    from harness.contract import ACTIVATIONS, DTYPES, OPTIMIZER_CONSTANTS, REDUCTIONS, TASKS
    from harness.draws.recipe import SCHEDULES
    from harness.draws.starts import INITS
    from harness.experiment.sections import Run
    from harness.registry import backends

    few, many = data.rows < _FEW_ROWS, data.rows > _MANY_ROWS
    regression = data.task == "regression"
    installed = [name for name in Run().backends if backends()[name].missing() is None]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).lstrip("._-")[:100] or "experiment"
    active = {
        "name": _text(name),
        "title": _text(data.title),
        "test_fraction": "0.0" if few else "0.2",
        "validation_fraction": "0.0" if few else "0.2",
        "scale": data.scale,
        "hidden": "[50]" if data.inputs >= 50 else "[16]",
        "batch_size": '"full"' if few else "256" if many else str(min(32, data.rows // 3)),
        "learning_rate": "[0.001, 0.01, 0.1]" if regression else "[0.01, 0.1, 1.0]",
    }
    allowed = {
        "tasks": TASKS,
        "optimizers": OPTIMIZER_CONSTANTS,
        "schedules": SCHEDULES,
        "losses": TASKS["regression"],
        "reductions": REDUCTIONS,
        "dtypes": DTYPES,
    }
    template = (files("harness") / "templates" / "experiment.toml.template").read_text(encoding="utf-8")
    return Template(template).substitute(
        {key: _line(key, value) for key, value in active.items()},
        **{key: ", ".join(names) for key, names in allowed.items()},
        activations=_comment(ACTIVATIONS),
        inits=_comment((*INITS, "a file of weights (.npz)")),
        backends=_line("backends", json.dumps(installed)).rstrip(),
        known=_comment(backends()),
        file=shlex.quote(str(file)),
        source=data.source,
        target_scale=_line("target_scale", '"standard"') if regression else _line("# target_scale", '"none"'),
    )


def _line(key: str, value: str) -> str:
    """`key = value`, and blanks up to the comment."""
    return f"{key} = {value} ".ljust(_COMMENT)


def _comment(names: Iterable[str]) -> str:
    """Names as lines of a comment that begin where comments do."""
    return "\n".join(f"#{' ' * _COMMENT} {line}" for line in wrap(", ".join(names), 80, break_on_hyphens=False))


def _text(text: str) -> str:
    """A text as TOML writes it, which is as JSON does, but for one sign."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
