"""Experiment files: what may stand in one, and the one line that says what is wrong with one.

`load` reads a TOML file, or a suite by its name, into a frozen `Experiment`. Every key and value is checked before
anything is trained: those of each section, and each value of each axis on its own.
"""

import itertools
import math
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    StrictStr,
    ValidationError,
)

from harness.axes import read_axis
from harness.draws import INITS
from harness.errors import RequestError, short, unknown
from harness.messages import explain, plain
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

    if not isinstance(name, str) or name not in DATASETS:
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


def _names(value: Any) -> Any:
    """A list of names, none of them twice."""
    if isinstance(value, list | tuple) and len(set(map(repr, value))) < len(value):
        raise ValueError("a name stands there twice")
    return _tuple(value)


Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)]
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

    backends: Annotated[tuple[StrictStr, ...], BeforeValidator(_names), Field(min_length=1)] = (
        "numpy",
        "sklearn",
        "tensorflow",
        "keras",
        "torch",
    )
    modes: Annotated[
        tuple[Annotated[str, _one_of("mode", MODES)], ...], BeforeValidator(_names), Field(min_length=1)
    ] = ("controlled",)
    seeds: Count = 1
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = 0
    parity: Annotated[Literal["all", "none"], _one_of("parity", PARITY)] = "all"
    curves: StrictBool | None = None
    time_limit: Positive = 600.0


SECTIONS: dict[str, type[Section]] = {"data": Data, "network": Network, "training": Training, "run": Run}

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
    _source: str = PrivateAttr("experiment")

    @property
    def source(self) -> str:
        """What error lines call the experiment: its file."""
        return self._source

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
            fault = error.errors()[0]
            key = str(fault["loc"][0])
            raise RequestError(f"{key} = {short(given[key])}: {plain(fault)}") from None
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
    try:
        if not path.is_file():
            if str(experiment) in suites():
                path = suites()[str(experiment)]
            elif not path.suffix:
                raise RequestError(unknown("suite", str(experiment), suites()) + "; or give the path of a .toml file")
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    except FileNotFoundError:
        raise RequestError(f"{path}: no such experiment file") from None
    except UnicodeDecodeError:
        raise RequestError(f"{path}: not a TOML file: it is no UTF-8 text") from None
    except OSError as error:
        raise RequestError(f"{short(str(path))}: cannot be read: {error.strerror}") from None
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise RequestError(f"{path}: not a TOML file: nested too deeply") from None
    except ValueError as error:  # of tomllib, or of Python about a number with thousands of digits
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
    experiment._source = source
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
    if isinstance(table.get(section), dict) and key in table[section]:
        raise RequestError(f"{where}: is both swept and fixed in [{section}]; keep one of the two")
    return read_axis(given, where, whole=key in _WHOLE)


_WHOLE = ("batch_size", "epochs")  # axes of whole numbers


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
        sections: dict[str, type[Section]] = {"": Experiment, **SECTIONS}
        raise RequestError(explain(error, merged, source, sections, swept=axes)) from None


def _checked(
    table: Mapping[str, Any], key: str, values: tuple[Any, ...], axes: Mapping[str, Any], source: str
) -> tuple[Any, ...]:
    """The axis as the model reads it: an integer learning rate becomes a float, a list a tuple."""
    first = {k: v[0] for k, v in axes.items()}
    section = _section_of(key) or ""
    return tuple(getattr(getattr(_validate(table, {**first, key: v}, axes, source), section), key) for v in values)


def _check_backends(experiment: Experiment, source: str) -> None:
    from harness.registry import backends

    for name in experiment.run.backends:
        if name not in backends():
            raise RequestError(f"{source}: run.backends: {unknown('backend', name, backends())}")


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
                f"{source}: network.activation = {list(activation)!r}: {len(activation)} names for {len(hidden)} "
                f"hidden layers (hidden = {list(hidden)!r}); give one name, or one a hidden layer"
            )
