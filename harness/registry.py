"""Which backends and profiles there are, and which rows of the conventions table they follow.

Nothing here imports a framework: a backend is a manifest until a worker loads its trainer.
"""

import hashlib
import importlib
import importlib.metadata
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from harness.contract import Config, Trainer
from harness.conventions.declared import Declared, Untold, row_from, untold_in
from harness.conventions.own_profile import own_profile
from harness.conventions.profile import Profile
from harness.conventions.table import CONVENTIONS, GIVEN, Row
from harness.conventions.translation import controlled_row
from harness.draws.recipe import Recipe
from harness.manifest import Backend
from harness.support.errors import NotInstalled, RequestError, describe, short, unknown
from harness.support.packages import check_not_shadowed
from harness.support.source import source_of_function, source_of_module

ENTRY_POINTS = "harness.backends"
CONTROLLED = "controlled"
"""The name of the harness's own row."""

_MANIFEST = "BACKEND"  # what an entry point's attribute is called where it is a manifest, and not a trainer
_PROFILE = "profile"  # stands for the module in the path of a profile's trainer
_READ_BY = ("harness.replay.profile_trainer", "harness.replay.stack")  # what trains under a profile's row


class ProfileBackend(Backend):
    """A profile as a backend: its code is the function that gives its row, and what trains under that."""

    def source(self) -> str | None:
        """The hash of the profile's own code, or table; None where it is not there."""
        if self.name in _TABLES:
            told = json.dumps(_TABLES[self.name], sort_keys=True)
            return hashlib.sha256(f"{told} {source_of_module(_READ_BY[-1])}".encode()).hexdigest()
        row = PROFILES[self.name].row.__code__
        return source_of_function(Path(row.co_filename), row.co_name, _READ_BY)


class BrokenBackend(Backend):
    """Somebody else's backend whose manifest cannot be read; its description says why."""

    def missing(self) -> str | None:
        """Why it cannot run."""
        return self.description


def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    with redirect_stdout(sys.stderr):  # what a module prints is no result
        return getattr(importlib.import_module(module), name)


check_not_shadowed()
BUILT_IN: tuple[Backend, ...] = tuple(map(_imported, importlib.import_module("backends").MANIFESTS))
BY_DEFAULT: tuple[str, ...] = tuple(backend.name for backend in BUILT_IN if backend.by_default)
"""The backends of an experiment that names none; the first stands where any one will do."""
_OWN: dict[str, Profile] = {}
_TABLES: dict[str, Any] = {}  # those that these were made of
_OWN_TABLES = "HARNESS_OWN_PROFILES"  # by which a worker has them, as JSON


class _Profiles(Mapping[str, Profile]):
    """The harness's own, and those that experiment files have brought along: here, or where this worker comes from."""

    built_in: Mapping[str, Profile] = importlib.import_module("experiments.profiles").PROFILES
    inherited = False

    def _known(self) -> dict[str, Profile]:
        if not self.inherited:
            self.inherited = True  # before they are read, which asks for the profiles that there are
            with suppress(ValueError, RequestError):  # the variable of somebody else's is nothing
                add_profiles(json.loads(os.environ.get(_OWN_TABLES, "{}")), _OWN_TABLES)
        return {**self.built_in, **_OWN}

    def __getitem__(self, name: str) -> Profile:
        return self._known()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())


PROFILES: Mapping[str, Profile] = _Profiles()
"""Course codes by name."""

RESERVED: tuple[str, ...] = ("reference", CONTROLLED, "native", "harness", "all", "none", "true", "false")
"""Names that mean something else where a backend could stand: `reference` is the lane that trains references."""


def taken(name: str) -> str | None:
    """Why no other package can give its backend this name, in words that follow it, or None."""
    plain = name.lower().replace("_", "-")
    if plain in RESERVED:
        return "is a word of the harness's own"
    if plain in PROFILES:
        return "is a profile (see: harness list)"
    if plain in {backend.name for backend in BUILT_IN}:
        return "is a backend already (see: harness list)"
    return None


@cache
def backends() -> dict[str, Backend]:
    """All backends by name: the built-in ones, then those of installed packages.

    No name stands for two things. One that means something else already goes on meaning that, and the package's backend
    is `PACKAGE:NAME`; where two packages have one name, neither has it. Both can be listed, and cannot run.
    """
    known = {backend.name: backend for backend in BUILT_IN}
    for point in _entry_points():
        distribution = point.dist.name if point.dist else point.module
        reason = taken(point.name)
        if reason is not None:
            name = f"{distribution}:{point.name}"
            known[name] = BrokenBackend(name, point.value, description=_renamed(point.name, distribution, reason))
        elif point.name in known:
            reason = f"is also the backend {known[point.name].description}"
            told = _renamed(point.name, distribution, reason)
            known[point.name] = BrokenBackend(point.name, point.value, description=told)
        else:
            known[point.name] = _of_package(point, distribution)
    return known


def _renamed(name: str, distribution: str, reason: str) -> str:
    return (
        f"from the package {distribution}: {name} {reason}; rename it in the package's "
        f"[project.entry-points.{ENTRY_POINTS!r}], or run: pip uninstall {distribution}"
    )


def _entry_points() -> Iterable[importlib.metadata.EntryPoint]:
    """Those of all packages; a package whose list cannot be read has none."""
    try:
        return importlib.metadata.entry_points(group=ENTRY_POINTS)
    except Exception:  # the metadata of somebody else's package
        found: list[importlib.metadata.EntryPoint] = []
        for distribution in importlib.metadata.distributions():
            with suppress(Exception):
                found += distribution.entry_points.select(group=ENTRY_POINTS)
        return found


def _of_package(point: importlib.metadata.EntryPoint, distribution: str) -> Backend:
    """The manifest of somebody else's backend, or one made of the path of its trainer."""
    told = f"from the package {distribution}"
    if point.attr != _MANIFEST:
        return Backend(point.name, point.value, description=told)
    try:
        found = _imported(f"{point.module}:{point.attr}")
        if not isinstance(found, Backend):
            raise TypeError(f"{point.value} must be a harness.Backend, not {type(found).__name__}")
    except (Exception, SystemExit) as error:  # whatever somebody else's module raises costs that backend alone
        return BrokenBackend(point.name, point.value, description=f"{told}, whose manifest fails: {describe(error)}")
    return replace(found, name=point.name, description=found.description or told)


def colours() -> dict[str, str]:
    """The backends in the order in which they are shown, with the colours that they have in pictures, or ""."""
    return {name: found.colour for name, found in backends().items()}


def profiles() -> dict[str, Backend]:
    """The profiles of course codes, which experiments can train beside the backends, in native mode."""
    return {
        name: ProfileBackend(name, f"{_PROFILE}:{name}", ("numpy",), description=profile.title)
        for name, profile in PROFILES.items()
    }


def add_profiles(tables: Mapping[str, Any], source: str) -> None:
    """Make the profiles that an experiment file writes known, here and in the workers that are started from now on.

    Raises `RequestError` for a table that is wrong, and for a name that means something else.
    """
    known = {*PROFILES} - {*_OWN}  # once those are read that this process inherits
    for name, table in tables.items():
        where = f"{source}: profile.{name}"
        reason = taken(name) if name not in _OWN else None
        if reason is not None or name in backends():
            raise RequestError(f"{where}: {name} {reason or 'is a backend already'}; give another name")
        rows = {each: partial(_row, each) for each in (*native_backends(), *known, CONTROLLED)}
        _OWN[name] = own_profile(name, table, where, rows)
        _TABLES[name] = table
    if tables:
        os.environ[_OWN_TABLES] = json.dumps(_TABLES)


def _row(name: str, config: Config) -> Row:
    return row_of(name, config, Recipe())


def backend(name: str) -> Backend:
    """The backend or profile of that name; `RequestError` with the nearest known one otherwise."""
    found = find(name)
    if found is None:
        raise RequestError(unknown("backend", name, (*backends(), *profiles())))
    return found


def find(name: str) -> Backend | None:
    """The backend or profile of that name, or None."""
    return backends().get(name) or profiles().get(name)


def load_trainer(path: str) -> type[Trainer]:
    """Import the trainer class at `"module:Class"`, and with it a framework: for workers and estimators only."""
    module, _, name = path.partition(":")
    if module == _PROFILE:
        trainer: type[Trainer] = importlib.import_module(_READ_BY[0]).profile_trainer(name)
        return trainer
    try:
        trainer = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        raise NotInstalled(f"{error.name} not installed, and {path} imports it; run: pip install {missing}") from None
    if not (isinstance(trainer, type) and issubclass(trainer, Trainer)):
        raise TypeError(f"{path} is not a subclass of harness.contract.Trainer")
    return trainer


def check_row(name: str) -> None:
    """Raise `RequestError` for a name that has no row of the table, and say what can be done with a backend."""
    allowed = (*native_backends(), *PROFILES, CONTROLLED)
    if name in backends() and name not in allowed:
        declared_by(name)  # raises where they cannot be read
        raise RequestError(
            f"backend {name!r} declares no conventions; those that do: {', '.join(allowed)}. "
            f"`harness trace EXP controlled {name} --mode controlled` compares its adapter; a native training that was "
            "recorded is named by `harness explain RUN.npz`"
        )
    if name not in allowed:
        raise RequestError(unknown("backend or profile", name, allowed))


def declared_by(name: str) -> Mapping[str, Declared]:
    """What a backend declares of its native way, by convention; nothing where it declares nothing."""
    found = backends().get(name)
    return {} if found is None or found.conventions is None else _declarations(found.conventions)


@cache
def _declarations(path: str) -> Mapping[str, Declared]:
    try:
        found: Mapping[str, Declared] = _imported(path)
    except (Exception, SystemExit) as error:
        raise RequestError(f"{path} must be a dict of harness.Declared by convention: {describe(error)}") from None
    if not (isinstance(found, Mapping) and all(isinstance(entry, Declared) for entry in found.values())):
        raise RequestError(f"{path} must be a dict of harness.Declared by convention")
    if not found:
        raise RequestError(f"{path} must be a dict of harness.Declared by convention, and is empty")
    for name, entry in found.items():
        if name not in CONVENTIONS:
            raise RequestError(f"{path}: {unknown('convention', name, CONVENTIONS)}")
        _check_value(path, name, entry.value)
    return found


def _check_value(path: str, name: str, value: Any) -> None:
    """Raise `RequestError` for a value that the table does not have; a rule is asked for its value when it is used."""
    if callable(value) or isinstance(value, Untold):
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise RequestError(f"{path}: {name} = {value}: must be a finite number")
    try:
        Row(**{name: value})
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from None
    if value != GIVEN and not CONVENTIONS[name].formula(value):
        raise RequestError(f"{path}: {name} = {short(value)}: must be one of: {', '.join(CONVENTIONS[name].values)}")


_TOLD = ("hidden", "activation", "epochs", "n_batches", "optimizer")  # what a backend is told, and declares nothing of


def undeclared(name: str, config: Config) -> list[str]:
    """The conventions that have an effect on a training of `config`, and of which a backend declares nothing."""
    known = {*declared_by(name), *_TOLD}
    row = native_row(name, config)
    return [
        each.name
        for each in CONVENTIONS.values()
        if each.name not in known and each.phase != "metric" and each.applies(config, row)
    ]


def native_backends() -> tuple[str, ...]:
    """The backends that declare the conventions of their native way."""
    return tuple(
        name for name, each in backends().items() if each.conventions is not None and _is_read(each.conventions)
    )


@cache
def _is_read(path: str) -> bool:
    try:
        _declarations(path)
    except RequestError:  # said where the backend is asked for by its name
        return False
    return True


def untold(name: str, config: Config) -> dict[str, str]:
    """The conventions for which a backend's native way has a value that is not in the table, with its formula."""
    return untold_in(declared_by(name), config)


def lines_of(name: str) -> Any:
    """What writes a backend's lines of code, a `harness.calls.backend_lines.BackendLines`; None where nothing does."""
    found = backends().get(name)
    return None if found is None or found.lines is None else _imported(found.lines)(name)


def native_row(name: str, config: Config) -> Row:
    """The row that one backend's native way declares for `config`; `RequestError` where it declares none."""
    if not declared_by(name):
        raise RequestError(unknown("backend with declared conventions", name, native_backends()))
    try:
        return row_from(declared_by(name), config)
    except RequestError as error:
        raise RequestError(f"the conventions of backend {name!r}: {error}") from None


def row_of(name: str, config: Config, recipe: Recipe) -> Row:
    """The row of a backend's native way, of a profile, or the harness's own ("controlled").

    Raises `RequestError` with the nearest name.
    """
    if name == CONTROLLED:
        return controlled_row(config, recipe)
    if name in PROFILES:
        return PROFILES[name].row(config)
    if declared_by(name):
        return native_row(name, config)
    raise RequestError(unknown("backend or profile", name, (*native_backends(), *PROFILES, CONTROLLED)))
