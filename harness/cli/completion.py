"""What the tab key offers, fast: no framework is imported, and of the store only the names are read."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

import typer

from harness.registry import CONTROLLED, PROFILES, backends


def experiment_names(incomplete: str) -> list[str]:
    """Suites and experiment files. Where there is none the shell offers what it has itself, folders among it."""
    from harness.experiment.file import suites

    folder, slash, _ = incomplete.rpartition("/")
    files = [f"{folder}{slash}{path.name}" for path in sorted(Path(folder + slash).glob("*.toml"))]
    return _beginning(incomplete, [*suites(), *files])


def dataset_name(incomplete: str) -> list[str]:
    """A dataset, or a file with data."""
    from experiments.datasets import DATASETS

    folder, slash, _ = incomplete.rpartition("/")
    kinds = (".csv", ".parquet", ".npz")
    files = [f"{folder}{slash}{path.name}" for path in sorted(Path(folder + slash).glob("*")) if path.suffix in kinds]
    return _beginning(incomplete, [*DATASETS, *files])


def backend_name(incomplete: str) -> list[str]:
    """One backend."""
    return _beginning(incomplete, backends())


def side_name(incomplete: str) -> list[str]:
    """What can be compared: a backend, a profile, or the harness's own conventions."""
    return _beginning(incomplete, (*backends(), *PROFILES, CONTROLLED))


def experiment_or_side(incomplete: str) -> list[str]:
    """An experiment, or what can be compared in it."""
    return [*side_name(incomplete), *experiment_names(incomplete)]


def backend_names(incomplete: str) -> list[str]:
    """The next of several backends, with commas between them."""
    return _next_of_several(incomplete, (*backends(), *PROFILES))


def mode_names(incomplete: str) -> list[str]:
    """The next of several modes, with commas between them."""
    return _next_of_several(incomplete, ("controlled", "native"))


def stored_names(context: typer.Context, incomplete: str) -> list[str]:
    """The experiments in the store that the line names so far; none where that is no SQLite file."""
    path = Path(str(context.params.get("store", "")).removeprefix("sqlite:///"))
    if not path.is_file():
        return []
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=0.2)
        try:
            found = [str(name) for (name,) in connection.execute("SELECT name FROM experiments ORDER BY name")]
        finally:
            connection.close()
    except sqlite3.Error:
        return []
    return _beginning(incomplete, found)


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _next_of_several(incomplete: str, names: Iterable[str]) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    given = before.split(",")
    return [before + comma + name for name in _beginning(last, names) if name not in given]
