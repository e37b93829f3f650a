"""Experiment files: what may stand in one, and the one line that says what is wrong with one.

`load` reads a TOML file, or a suite by its name, into a frozen `Experiment`. Every key and value is checked before
anything is trained: those of each section, each value of each axis on its own, and what must hold between them.
"""

import itertools
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Self

from pydantic import PrivateAttr, StrictStr, ValidationError

from harness.contract import PLAIN_MEMBER_NUMBERS
from harness.experiment.axes import draw_points, read_axis, read_cases
from harness.experiment.rules import Settings, faults, legacy_faults, unread
from harness.experiment.sections import SECTIONS, Data, Name, Network, Report, Run, Section, Training
from harness.registry import BY_DEFAULT, add_profiles, backends, profiles
from harness.support.errors import RequestError, short, unknown
from harness.support.limits import check_file, check_size, few
from harness.support.messages import explain, plain
from harness.support.packages import check_not_shadowed

Cell = dict[str, Any]
"""One value on every axis."""

SWEEPABLE: dict[str, tuple[str, str]] = {
    **{key: ("network", key) for key in Network.model_fields},
    **{key: ("training", key) for key in Training.model_fields},
    **{axis: ("data", key) for axis, key in (("dataset", "name"), ("scale", "scale"), ("task", "task"))},
    "fold": ("data", "fold"),
}
"""What can be an axis, by its key there: the section and the key that it sets."""

_WHOLE = ("batch_size", "epochs", "n_batches", "decay_steps", "patience", "fold")  # axes of whole numbers


_LONG_KEY = re.compile(r"""(?:^|[{,])[ \t\[]*(?:[\w"'-]+[ \t]*\.[ \t]*){32}""", re.MULTILINE)
"""A dotted key that takes tomllib a time that grows with the square, or the cube, of its parts."""

_MOST_DIGITS = 300  # of a whole number: those that a float can hold


class Experiment(Section):
    """One experiment: data, network, training, axes, backends, modes and seeds.

    For a swept key, its section holds the first value of its axis; `at(cell)` gives those of a cell. The axis `case`
    has labels, whose settings are in `cases`; the axis `point` has the numbers of the random `points` of a search.
    """

    name: Name
    """What the store and the results folder call it: letters, digits, `.`, `_` and `-`."""
    title: StrictStr = ""
    """What the report calls it. Default: the name."""
    data: Data
    network: Network
    training: Training
    sweep: dict[str, tuple[Any, ...]] = {}
    cases: dict[str, dict[str, Any]] = {}
    points: tuple[dict[str, Any], ...] = ()
    run: Run = Run()
    report: Report = Report()
    _source: str = PrivateAttr("experiment")

    @property
    def source(self) -> str:
        """What error lines call the experiment: its file."""
        return self._source

    @property
    def sampled(self) -> tuple[str, ...]:
        """The keys that a random search draws."""
        return tuple(self.points[0]) if self.points else ()

    def cells(self) -> Iterator[Cell]:
        """The product of all axes, the last axis turning fastest; one empty cell when nothing is swept."""
        for values in itertools.product(*self.sweep.values()):
            yield dict(zip(self.sweep, values, strict=True))

    def values(self, cell: Cell) -> dict[str, Any]:
        """The swept keys of one cell with their values, those of its case and of its point among them."""
        values = {key: value for key, value in cell.items() if key not in ("case", "point")}
        if "case" in cell:
            values |= self.cases[cell["case"]]
        if "point" in cell:
            values |= self.points[cell["point"]]
        return values

    def at(self, cell: Cell) -> Settings:
        """Data, network and training of one cell."""
        updates: dict[str, dict[str, Any]] = {"data": {}, "network": {}, "training": {}}
        for axis, value in self.values(cell).items():
            section, key = SWEEPABLE[axis]
            updates[section][key] = value
        return Settings(
            self.data.model_copy(update=updates["data"]),
            self.network.model_copy(update=updates["network"]),
            self.training.model_copy(update=updates["training"]),
        )

    def override(self, **settings: Any) -> Self:
        """The same experiment with other `[run]` settings; those that are None stay as the file has them."""
        given = {key: value for key, value in settings.items() if value is not None}
        try:
            run = Run(**{**self.run.model_dump(exclude_unset=True), **given})
        except ValidationError as error:
            fault = error.errors()[0]
            key = str(fault["loc"][0])
            raise RequestError(f"{key} = {short(given[key])}: {plain(fault)}") from None
        return self.model_copy(update={"run": run})

    def alone(self, mode: str, seeds: int) -> Self:
        """With one backend, whichever: for what asks about cells and repeats, and trains them in another way."""
        return self.override(backends=BY_DEFAULT[:1], modes=(mode,), seeds=seeds)


def suites() -> dict[str, Path]:
    """The experiments that ship with the harness: name -> file."""
    folder = Path(str(resources.files("experiments")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load(experiment: str | Path) -> Experiment:
    """Read an experiment from a TOML file, or a suite by its name.

    Raises `RequestError` with one line: the file, the key, the value, what is allowed, the nearest known name.
    """
    check_not_shadowed()
    path = Path(experiment)
    try:
        if not path.is_file():
            if str(experiment) in suites():
                path = suites()[str(experiment)]
            elif not path.suffix:
                raise RequestError(unknown("suite", str(experiment), suites()) + "; or give the path of a .toml file")
        if path.exists():
            check_file(path, str(path), "HARNESS_MAX_TEXT", "give a .toml file, or a suite (see: harness list)")
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    except FileNotFoundError:
        raise RequestError(
            f"{path}: no such experiment file; harness list shows the suites, harness init writes a file"
        ) from None
    except UnicodeDecodeError:
        raise RequestError(f"{path}: not a TOML file: it is no UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise RequestError(
            f"{short(str(path))}: cannot be read: {error.strerror}; give a .toml file, or a suite (see: harness list)"
        ) from None
    if _LONG_KEY.search(text):
        raise RequestError(
            f"{path}: not a TOML file: a key has more than 32 parts; harness init writes one to begin with"
        )
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise RequestError(
            f"{path}: not a TOML file: nested too deeply; harness init writes one to begin with"
        ) from None
    except ValueError as error:  # of tomllib, or of Python about a number with thousands of digits
        told = "a whole number of thousands of digits" if "integer string conversion" in str(error) else error
        raise RequestError(f"{path}: not a TOML file: {told}; mend it there") from None
    return parse(table, str(path))


def parse(table: Mapping[str, Any], source: str = "experiment", all_read: bool = True) -> Experiment:
    """Check a parsed experiment file. `source` is what error lines call it; files that it names lie beside it.

    With `all_read` a key that no cell reads is a mistake, too.
    """
    _check_numbers(table, source)
    table = _with_profiles(table, source)
    table = _beside(table, source)
    axes = _axes(table, source)
    _check_cells(table, axes, source)
    table = {key: value for key, value in table.items() if key not in ("sweep", "search")}
    for wrong in {"cases", "points"} & set(table):
        raise RequestError(
            f"{source}: at the top level: {unknown('key', wrong, [*SECTIONS, 'sweep', 'search', 'profile'])}"
        )
    firsts = {axis: values[0] for axis, values in axes.items()}
    experiment = _validate(table, firsts, source)
    checked = {
        axis: [_checked(table, axis, given, firsts, source) for given in values] for axis, values in axes.items()
    }
    cases = checked.get("case", [])
    experiment = experiment.model_copy(
        update={
            name: _without(getattr(experiment, name), {SWEEPABLE[key][1] for case in cases for key in case})
            for name in ("data", "network", "training")
        }
    )
    data = experiment.data
    if data.folds is not None and data.fold is None:
        checked["fold"] = [{"fold": number} for number in range(data.folds)]
    experiment = experiment.model_copy(
        update={
            "sweep": {axis: _labels(axis, table_values, axes) for axis, table_values in checked.items()},
            "cases": dict(zip(_case_labels(axes), cases, strict=True)),
            "points": tuple(checked.get("point", ())),
        }
    )
    experiment._source = source
    _check_backends(experiment, source)
    _check_rules(experiment, source, all_read)
    return experiment


def _with_profiles(table: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The table without the profiles that it brings along, which are known from now on."""
    own = table.get("profile", {})
    if not isinstance(own, Mapping):
        raise RequestError(f"{source}: profile = {short(own)}: must be a table of profiles: [profile.NAME]")
    add_profiles(own, source)
    return {key: value for key, value in table.items() if key != "profile"}


def _check_numbers(table: Mapping[str, Any], source: str) -> None:
    """Refuse whole numbers of hundreds of digits, which neither a float can hold nor Python print."""
    places: list[tuple[str, Any]] = [("", table)]
    for place, value in places:  # which grows while it is gone through
        if isinstance(value, Mapping):
            places += [(f"{place}.{key}" if place else str(key), item) for key, item in value.items()]
        elif isinstance(value, list | tuple):
            places += [(f"{place}.{number}", item) for number, item in enumerate(value)]
        elif isinstance(value, int) and abs(value) >= 10**_MOST_DIGITS:
            raise RequestError(
                f"{source}: {short(place)}: a whole number of over {_MOST_DIGITS} digits; give a smaller one"
            )


_Axes = dict[str, list[dict[str, Any]]]
"""Axis -> for each of its values, the keys that it sets. A case's own name stands under `"label"`."""


def _axes(table: Mapping[str, Any], source: str) -> _Axes:
    """The axes of `[sweep]` and of `[search]`, none of whose keys stands elsewhere."""
    axes: _Axes = {}
    for name in ("sweep", "search"):
        if not isinstance(table.get(name, {}), dict):
            raise RequestError(f"{source}: {name} = {short(table[name])}: must be a table of axes")
    for axis, given in table.get("sweep", {}).items():
        where = f"{source}: sweep.{axis}"
        if axis == "case":
            axes[axis] = read_cases(given, where)
        elif axis in SWEEPABLE:
            axes[axis] = [{axis: value} for value in read_axis(given, where, whole=axis in _WHOLE)]
        else:
            raise RequestError(f"{source}: [sweep]: {unknown('key', axis, [*SWEEPABLE, 'case'])}")
    if table.get("search"):
        search = dict(table["search"])
        run = table.get("run", {})
        seed = run.get("seed", 0) if isinstance(run, dict) else 0
        axes["point"] = draw_points(search, f"{source}: search", seed, _WHOLE)
    _check_once(table, axes, source)
    return axes


def _check_once(table: Mapping[str, Any], axes: _Axes, source: str) -> None:
    """A key is set in one place."""
    seen: dict[str, str] = {}
    for axis, values in axes.items():
        where = {"point": "search", "case": "sweep.case"}.get(axis, f"sweep.{axis}")
        for key in dict.fromkeys(key for value in values for key in value if key != "label"):
            if key not in SWEEPABLE:
                raise RequestError(f"{source}: {where}: {unknown('key', key, SWEEPABLE)}")
            section, name = SWEEPABLE[key]
            if isinstance(table.get(section), dict) and name in table[section]:
                here = where if where.endswith(key) else f"{where}.{key}"
                raise RequestError(f"{source}: {here}: is both swept and fixed in [{section}]; keep one of the two")
            if key in seen:
                raise RequestError(f"{source}: {where}: {key} is swept by {seen[key]} too; keep one of the two")
            seen[key] = where


def _check_cells(table: Mapping[str, Any], axes: _Axes, source: str) -> None:
    """Count the cells before a value of any axis is looked at; k-fold cross-validation makes an axis of its own."""
    data = table.get("data")
    folds = data.get("folds") if isinstance(data, dict) and "fold" not in data and "fold" not in axes else None
    lengths = {axis: len(values) for axis, values in axes.items()}
    lengths |= {"fold": folds} if isinstance(folds, int) and 1 < folds <= 1000 else {}
    cells = math.prod(lengths.values())
    shown = " x ".join(f"{length} {axis}" for axis, length in lengths.items())
    told = f"{source}: {few(cells)} cells planned ({shown})"
    check_size("HARNESS_MAX_TRIALS", cells, told)


def _case_labels(axes: _Axes) -> tuple[str, ...]:
    return tuple(case["label"] for case in axes.get("case", ()))


def _labels(axis: str, values: list[dict[str, Any]], axes: _Axes) -> tuple[Any, ...]:
    """What stands on an axis: its values, the labels of its cases, or the numbers of its points."""
    if axis == "case":
        return _case_labels(axes)
    return tuple(range(len(values))) if axis == "point" else tuple(value[axis] for value in values)


def _checked(
    table: Mapping[str, Any], axis: str, given: dict[str, Any], firsts: dict[str, dict[str, Any]], source: str
) -> dict[str, Any]:
    """One value of an axis as the models read it: an integer learning rate becomes a float, a list a tuple."""
    experiment = _validate(table, {**firsts, axis: given}, source)
    sections = {key: SWEEPABLE[key] for key in given if key != "label"}
    return {key: getattr(getattr(experiment, section), name) for key, (section, name) in sections.items()}


def _validate(table: Mapping[str, Any], chosen: Mapping[str, dict[str, Any]], source: str) -> Experiment:
    """The file's tables with one value of every axis written into their sections."""
    merged = {key: dict(value) if isinstance(value, dict) else value for key, value in table.items()}
    swept = {}
    for axis, value in chosen.items():
        where = {"case": f"sweep.case {value.get('label')!r}", "point": "search"}.get(axis, "sweep")
        for key in value.keys() - {"label"}:
            section, name = SWEEPABLE[key]
            swept[name] = where
            target = merged.setdefault(section, {})
            if isinstance(target, dict):
                target[name] = value[key]
    try:
        return Experiment.model_validate(merged)
    except ValidationError as error:
        sections: dict[str, type[Section]] = {"": Experiment, **SECTIONS}
        raise RequestError(explain(error, merged, source, sections, swept=swept)) from None


def _without(section: Section, keys: set[str]) -> Section:
    """The section as if it did not have these keys, which only some cases set; one that is required is kept."""
    fields = type(section).model_fields
    gone = {key for key in keys if key in fields and not fields[key].is_required()}
    values = {key: fields[key].default if key in gone else getattr(section, key) for key in fields}
    return type(section).model_construct(_fields_set=section.model_fields_set - gone, **values)


def _beside(table: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The tables with the files that they name found: relative to the folder of the experiment file."""
    folder = Path(source).parent
    result: dict[str, Any] = {key: dict(value) if isinstance(value, dict) else value for key, value in table.items()}

    def found(value: Any) -> Any:
        return str(folder / value) if isinstance(value, str) else value

    for section, key in (("data", "path"), ("data", "folder"), ("report", "published")):
        if isinstance(result.get(section), dict) and key in result[section]:
            result[section][key] = found(result[section][key])
    for place in (result.get("network"), *_case_tables(result)):
        if isinstance(place, dict) and str(place.get("init", "")).endswith(".npz"):
            place["init"] = found(place["init"])
    return result


def _case_tables(table: dict[str, Any]) -> list[Any]:
    sweep = table.get("sweep")
    if not isinstance(sweep, dict) or not isinstance(sweep.get("case"), list):
        return []
    sweep["case"] = [dict(case) if isinstance(case, dict) else case for case in sweep["case"]]
    return list(sweep["case"])


def _check_backends(experiment: Experiment, source: str) -> None:
    known = (*backends(), *profiles())
    for name in experiment.run.backends:
        if name not in known:
            raise RequestError(f"{source}: run.backends: {unknown('backend', name, known)}")


_PLAIN_NUMBERS = (*PLAIN_MEMBER_NUMBERS, "epochs")


def _check_rules(experiment: Experiment, source: str, all_read: bool) -> None:
    """What must hold between keys, in the first 20,000 cells that differ in more than a plain number.

    Those of a larger experiment are checked one by one when it is planned.
    """
    telling = {axis: values for axis, values in experiment.sweep.items() if axis not in _PLAIN_NUMBERS}
    firsts = {axis: values[0] for axis, values in experiment.sweep.items()}
    cells = [
        experiment.at({**firsts, **dict(zip(telling, values, strict=True))})
        for values in itertools.islice(itertools.product(*telling.values()), 20_000)
    ]
    legacy = experiment.run.draws != "harness"
    for settings in cells:
        for fault in itertools.chain(faults(settings), legacy_faults(settings) if legacy else ()):
            raise RequestError(f"{source}: {fault}")
    if not all_read:
        return
    sections = {"data": experiment.data, "network": experiment.network, "training": experiment.training}
    swept = [key for key in experiment.sweep if key in SWEEPABLE]
    swept += [key for keys in (*experiment.cases.values(), *experiment.points[:1]) for key in keys]
    not_written = {SWEEPABLE[key] for key in swept}
    written = {
        name: [key for key in section.model_fields_set if (name, key) not in not_written]
        for name, section in sections.items()
    }
    for fault in unread(cells, written):
        raise RequestError(f"{source}: {fault}")
