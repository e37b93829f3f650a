"""Experiment files: what may stand in one, and the one line that says what is wrong with one.

`load` reads a TOML file, or a suite by its name, into a frozen `Experiment`. Every key and value is checked before
anything is trained: those of each section, and each value of each axis on its own.
"""

import itertools
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictStr, ValidationError
from pydantic_core import ErrorDetails

from harness.draws import INITS
from harness.errors import RequestError, unknown
from harness.packages import check_not_shadowed
from harness.trainer import ACTIVATIONS, DTYPES, OPTIMIZER_CONSTANTS, REDUCTIONS

MODES = ("controlled", "native")
PARITY = ("all", "none")
SCALES = ("none", "minmax", "standard")


def _one_of(kind: str, allowed: tuple[str, ...]) -> BeforeValidator:
    def check(value: Any) -> Any:
        if value not in allowed:
            raise ValueError(unknown(kind, value, allowed))
        return value

    return BeforeValidator(check)


def _dataset(name: Any) -> Any:
    from experiments.datasets import DATASETS

    if name not in DATASETS:
        raise ValueError(unknown("dataset", name, DATASETS))
    return name


def _scale(value: Any) -> Any:
    if isinstance(value, str):
        if value not in SCALES:
            raise ValueError(unknown("scale", value, SCALES) + ", or a number to divide by")
    elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"must be a positive number to divide by, or one of {', '.join(SCALES)}")
    return value


def _activation(value: Any) -> Any:
    names = value if isinstance(value, list | tuple) else [value]
    for name in names:
        if name not in ACTIVATIONS:
            raise ValueError(unknown("activation", name, ACTIVATIONS))
    return tuple(names) if isinstance(value, list | tuple) else value


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Count = Annotated[int, Field(strict=True, ge=1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Decay = Annotated[Number, Field(ge=0, lt=1)]
Fraction = Annotated[Number, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A frozen table of the file; a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(Section):
    """`[data]`: which dataset, how it is split, how it is scaled."""

    name: Annotated[str, BeforeValidator(_dataset)]
    test_fraction: Fraction = 0.2
    validation_fraction: Fraction = 0.0
    scale: Annotated[float | str, BeforeValidator(_scale)] = "none"


class Network(Section):
    """`[network]`: hidden layers, activation (one name, or one a hidden layer) and how the start is drawn."""

    hidden: Annotated[tuple[Count, ...], BeforeValidator(_tuple)]
    activation: Annotated[str | tuple[str, ...], BeforeValidator(_activation)] = "sigmoid"
    init: Annotated[str, _one_of("init", INITS)] = "glorot_uniform"


class Training(Section):
    """`[training]`: every number of the optimizer. What is not given is the harness's default, never a library's."""

    optimizer: Annotated[str, _one_of("optimizer", tuple(OPTIMIZER_CONSTANTS))] = "sgd"
    learning_rate: Positive
    l2: NotNegative = 0.0
    momentum: Decay = 0.9
    beta_1: Decay = 0.9
    beta_2: Decay = 0.999
    epsilon: Positive = 1e-8
    batch_size: Count
    epochs: Count
    reduction: Annotated[str, _one_of("reduction", REDUCTIONS)] = "mean"
    dtype: Annotated[str, _one_of("dtype", DTYPES)] = "float64"


class Run(Section):
    """`[run]`: which backends and modes, how many repeats, and what is measured beside the training itself."""

    backends: Annotated[tuple[StrictStr, ...], BeforeValidator(_tuple), Field(min_length=1)] = (
        "numpy",
        "sklearn",
        "tensorflow",
        "keras",
        "torch",
    )
    modes: Annotated[
        tuple[Annotated[str, _one_of("mode", MODES)], ...], BeforeValidator(_tuple), Field(min_length=1)
    ] = ("controlled",)
    seeds: Count = 1
    seed: Annotated[int, Field(strict=True, ge=0)] = 0
    parity: Annotated[Literal["all", "none"], _one_of("parity", PARITY)] = "all"
    curves: StrictBool | None = None
    time_limit: Positive = 600.0


Cell = dict[str, Any]
"""One value on every axis."""


class Experiment(Section):
    """One experiment: data, network, training, axes, backends, modes and seeds.

    For a swept key, `network` or `training` holds the first value of its axis; `at(cell)` gives those of a cell.
    """

    name: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    title: StrictStr = ""
    data: Data
    network: Network
    training: Training
    sweep: dict[str, tuple[Any, ...]] = {}
    run: Run = Run()

    def cells(self) -> Iterator[Cell]:
        """The product of all axes, the last axis turning fastest; one empty cell when nothing is swept."""
        for values in itertools.product(*self.sweep.values()):
            yield dict(zip(self.sweep, values, strict=True))

    def at(self, cell: Cell) -> tuple[Network, Training]:
        """Network and training of one cell."""
        network = {key: value for key, value in cell.items() if key in Network.model_fields}
        training = {key: value for key, value in cell.items() if key in Training.model_fields}
        return self.network.model_copy(update=network), self.training.model_copy(update=training)

    def override(self, **settings: Any) -> Self:
        """The same experiment with other `[run]` settings; those that are None stay as the file has them."""
        given = {key: value for key, value in settings.items() if value is not None}
        try:
            run = Run(**{**self.run.model_dump(exclude_unset=True), **given})
        except ValidationError as error:
            raise RequestError(_explain(error, {"run": given}, "run request", prefix=("run",))) from None
        return self.model_copy(update={"run": run})


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
    if not path.exists() and str(experiment) in suites():
        path = suites()[str(experiment)]
    elif not path.suffix and not path.is_file():
        raise RequestError(unknown("suite", str(experiment), suites()) + "; or give the path of a .toml file")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RequestError(f"{path}: no such experiment file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: cannot be read ({error})") from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"{path}: not a TOML file: {error}") from None
    return parse(table, str(path))


def parse(table: Mapping[str, Any], source: str = "experiment") -> Experiment:
    """Check a parsed experiment file. `source` is what error lines call it."""
    sweep = table.get("sweep", {})
    if not isinstance(sweep, dict):
        raise RequestError(f"{source}: sweep = {sweep!r}: must be a table of axes")
    axes = {key: _axis(key, values, table, source) for key, values in sweep.items()}
    experiment = _validate(table, {key: values[0] for key, values in axes.items()}, axes, source)
    for key, values in axes.items():
        for value in values[1:]:
            _validate(table, {**{k: v[0] for k, v in axes.items()}, key: value}, axes, source)
    checked = {key: _checked(table, key, values, axes, source) for key, values in axes.items()}
    experiment = experiment.model_copy(update={"sweep": checked})
    _check_backends(experiment, source)
    _check_constants(experiment, source)
    _check_activations(experiment, source)
    return experiment


def _axis(key: str, given: Any, table: Mapping[str, Any], source: str) -> tuple[Any, ...]:
    """The values of one axis: a list, or `{ logspace = [a, b, n] }`, or `{ linspace = [a, b, n] }`."""
    where = f"{source}: sweep.{key}"
    section = _section_of(key)
    if section is None:
        raise RequestError(f"{source}: [sweep]: {unknown('key', key, _sweepable())}")
    if key in table.get(section, {}):
        raise RequestError(f"{where}: is both swept and fixed in [{section}]; keep one of the two")
    if isinstance(given, dict):
        given = _space(given, where)
    if not isinstance(given, list):
        raise RequestError(f"{where} = {given!r}: must be a list of values, or {{ logspace = [first, last, count] }}")
    if not given:
        raise RequestError(f"{where} = []: the axis is empty; give at least one value")
    values = tuple(tuple(v) if isinstance(v, list) else v for v in given)
    if len(set(map(repr, values))) < len(values):
        raise RequestError(f"{where} = {given!r}: a value stands there twice")
    return values


def _space(given: dict[str, Any], where: str) -> list[float]:
    law: str = next(iter(given), "")
    arguments: Any = given.get(law)
    if len(given) != 1 or law not in ("logspace", "linspace"):
        raise RequestError(f"{where} = {given!r}: {unknown('kind of axis', law, ('logspace', 'linspace'))}")
    ok = (
        isinstance(arguments, list)
        and len(arguments) == 3
        and all(isinstance(a, int | float) and not isinstance(a, bool) and math.isfinite(a) for a in arguments)
        and isinstance(arguments[2], int)
        and 1 <= arguments[2] <= 100_000
    )
    if not ok:
        raise RequestError(f"{where}.{law} = {arguments!r}: must be [first, last, count], count from 1 to 100000")
    first, last, count = arguments
    points = [first + (last - first) * i / max(count - 1, 1) for i in range(count)]
    try:
        # 12 digits: the value that people write (1e-05), and the one that trial ids are made of
        return [float(f"{10.0**p if law == 'logspace' else p:.12g}") for p in points]
    except OverflowError:
        raise RequestError(f"{where}.{law} = {arguments!r}: 10**{max(first, last)} is not a finite number") from None


def _section_of(key: str) -> str | None:
    if key in Network.model_fields:
        return "network"
    return "training" if key in Training.model_fields else None


def _sweepable() -> list[str]:
    return [*Network.model_fields, *Training.model_fields]


def _merged(table: Mapping[str, Any], cell: Mapping[str, Any]) -> dict[str, Any]:
    """The file's tables with one cell's values written into their sections, without `[sweep]`."""
    merged = {key: dict(value) if isinstance(value, dict) else value for key, value in table.items()}
    merged.pop("sweep", None)
    for key, value in cell.items():
        section = merged.setdefault(_section_of(key) or "", {})
        if isinstance(section, dict):
            section[key] = value
    return merged


def _validate(table: Mapping[str, Any], cell: Mapping[str, Any], axes: Mapping[str, Any], source: str) -> Experiment:
    merged = _merged(table, cell)
    try:
        return Experiment.model_validate(merged)
    except ValidationError as error:
        raise RequestError(_explain(error, merged, source, swept=axes)) from None


def _checked(
    table: Mapping[str, Any], key: str, values: tuple[Any, ...], axes: Mapping[str, Any], source: str
) -> tuple[Any, ...]:
    """The axis as the model reads it: an integer learning rate becomes a float, a list a tuple."""
    first = {k: v[0] for k, v in axes.items()}
    section = _section_of(key) or ""
    return tuple(getattr(getattr(_validate(table, {**first, key: v}, axes, source), section), key) for v in values)


def _explain(
    error: ValidationError,
    given: Mapping[str, Any],
    source: str,
    swept: Mapping[str, Any] | None = None,
    prefix: tuple[str, ...] = (),
) -> str:
    """One line for the first fault that pydantic found: unknown keys first, since they explain missing ones."""
    faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    fault: ErrorDetails = faults[0]
    location = [*prefix, *(part for part in fault["loc"] if not _is_branch(part))]
    section, key = ".".join(map(str, location[:-1])), str(location[-1])
    if fault["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        where = f"[{section}]" if section else "at the top level"
        return f"{source}: {where}: {unknown('key', key, known)}"
    if fault["type"] == "missing":
        return f"{source}: {section + '.' if section else ''}{key} is required{_or_sweep(key)}"
    if swept and key in swept:
        location = ["sweep", key]
    value = repr(fault["input"]) if not isinstance(fault["input"], dict) else "a table"
    return f"{source}: {'.'.join(map(str, location))} = {value}: {_plain(fault)}"


def _is_branch(part: int | str) -> bool:
    """Pydantic names the branch of a union in a location ("tuple[str, ...]"), which no reader of the file knows."""
    return isinstance(part, str) and re.fullmatch(r"[a-z_]+", part.lower()) is None


def _known_keys(location: list[int | str]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {"data": Data, "network": Network, "training": Training, "run": Run}
    return list((sections[str(location[0])] if location else Experiment).model_fields)


def _or_sweep(key: str) -> str:
    return " (there, or as an axis under [sweep])" if _section_of(key) else ""


_PLAIN = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be a finite number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be a text in quotes",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "string_pattern_mismatch": "must start with a letter or digit and hold only letters, digits, '.', '_' and '-'",
    "string_too_long": "must have at most {max_length} characters",
}


def _plain(fault: ErrorDetails) -> str:
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    text = _PLAIN.get(fault["type"])
    return text.format(**fault.get("ctx", {})) if text else fault["msg"]


def _check_backends(experiment: Experiment, source: str) -> None:
    from harness.registry import backends

    for name in experiment.run.backends:
        if name not in backends():
            raise RequestError(f"{source}: run.backends: {unknown('backend', name, backends())}")
    for key in ("backends", "modes"):
        names = getattr(experiment.run, key)
        if len(set(names)) < len(names):
            raise RequestError(f"{source}: run.{key} = {list(names)!r}: a name stands there twice")


def _check_constants(experiment: Experiment, source: str) -> None:
    """A constant that no optimizer of the experiment reads is a mistake, most often `momentum` beside `"sgd"`."""
    optimizers = experiment.sweep.get("optimizer", (experiment.training.optimizer,))
    used = {constant for optimizer in optimizers for constant in OPTIMIZER_CONSTANTS[optimizer]}
    for constant in ("momentum", "beta_1", "beta_2", "epsilon"):
        if constant in experiment.training.model_fields_set - used:
            readers = [name for name, constants in OPTIMIZER_CONSTANTS.items() if constant in constants]
            raise RequestError(
                f"{source}: training.{constant} has no effect with optimizer {', '.join(map(repr, optimizers))}; "
                f"it is read by: {', '.join(readers)}"
            )


def _check_activations(experiment: Experiment, source: str) -> None:
    activations = experiment.sweep.get("activation", (experiment.network.activation,))
    hiddens = experiment.sweep.get("hidden", (experiment.network.hidden,))
    for activation, hidden in itertools.product(activations, hiddens):
        if not isinstance(activation, str) and len(activation) != len(hidden):
            raise RequestError(
                f"{source}: activation = {list(activation)!r}: {len(activation)} names for {len(hidden)} hidden "
                f"layers (hidden = {list(hidden)!r}); give one name, or one a hidden layer"
            )
