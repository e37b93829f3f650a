"""The tables of an experiment file: every key, its type, its range and its default."""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictStr

from harness.draws import BATCHES, INITS, LAST_BATCH, SCHEDULES, parse_law
from harness.errors import unknown
from harness.trainer import (
    ACTIVATIONS,
    DTYPES,
    OPTIMIZER_CONSTANTS,
    OUTPUT_ACTIVATIONS,
    REDUCTIONS,
    TASKS,
)

MODES = ("controlled", "native")
PARITY = ("all", "none")
SCALES = ("none", "minmax", "standard")
DRAWS = ("harness", "numpy-legacy-2023")
LOSSES = tuple(loss for losses in TASKS.values() for loss in losses)
ARRAYS = "arrays"  # the dataset's name when it came as arrays, from Python


def _one_of(kind: str, allowed: tuple[str, ...]) -> BeforeValidator:
    def check(value: Any) -> Any:
        if value not in allowed:
            raise ValueError(unknown(kind, value, allowed))
        return value

    return BeforeValidator(check)


def _dataset(name: Any) -> Any:
    from experiments.datasets import DATASETS

    if name != ARRAYS and (not isinstance(name, str) or name not in DATASETS):
        raise ValueError(unknown("dataset", name, DATASETS) + '; or give path = "my.csv" and target = "column"')
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
        if name == "heaviside":
            raise ValueError(
                "back propagation cannot train a step, whose derivative is 0 wherever it has one; "
                'the perceptron rule can: optimizer = "perceptron", hidden = []'
            )
        if name not in ACTIVATIONS:
            raise ValueError(unknown("activation", name, tuple(ACTIVATIONS)))
    return tuple(names) if isinstance(value, list | tuple) else value


def _init(value: Any) -> Any:
    """A law, or the name of an NPZ file with weights."""
    if isinstance(value, str) and value.endswith(".npz"):
        return value
    try:
        parse_law(value)
    except (TypeError, ValueError) as error:
        if isinstance(value, str) and "must be positive" in str(error):
            raise
        raise ValueError(unknown("init", value, INITS) + "; or a file of weights (.npz)") from None
    return value


def _bias(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError('must be a number, "normal(0.1)" or "as_weights"')
    if value == "as_weights":
        return value
    if isinstance(value, str):
        try:
            law, _ = parse_law(value)
        except ValueError:
            law = value
        if law != "normal":
            raise ValueError('must be a number, "normal(0.1)" or "as_weights"')
        return value
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return float(value)


def _batch_size(value: Any) -> Any:
    if value is None or value == "full":
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError('must be a whole number of at least 1, or "full"')
    if not 1 <= value <= 1_000_000_000:
        raise ValueError("must be at least 1 and at most 1000000000")
    return value


def _rates(value: Any) -> Any:
    """A dropout rate, or one a hidden layer."""
    given = value if isinstance(value, list | tuple) else [value]
    for rate in given:
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
            raise ValueError("must be a rate of at least 0 and less than 1, or a list with one a hidden layer")
    return tuple(map(float, given)) if isinstance(value, list | tuple) else float(value)


def _target(value: Any) -> Any:
    given = value if isinstance(value, list | tuple) else [value]
    if not given or not all(isinstance(name, str) for name in given):
        raise ValueError("must be the name of a column, or a list of names")
    return tuple(given) if isinstance(value, list | tuple) else value


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
Name = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]


class Section(BaseModel):
    """A frozen table of the file; a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(Section):
    """`[data]`: which dataset, how it is split, how it is scaled."""

    name: Annotated[str | None, BeforeValidator(_dataset)] = None
    path: StrictStr | None = None
    target: Annotated[str | tuple[str, ...] | None, BeforeValidator(_target)] = None
    task: Annotated[str | None, _one_of("task", tuple(TASKS))] = None
    rows: Count | None = None
    noise: NotNegative | None = None
    folder: StrictStr | None = None
    degree: Annotated[int, Field(strict=True, ge=1, le=20)] = 1
    test_fraction: Fraction = 0.2
    validation_fraction: Fraction = 0.0
    folds: Annotated[int, Field(strict=True, ge=2, le=1000)] | None = None
    fold: Annotated[int, Field(strict=True, ge=0)] | None = None
    stratify: StrictBool = True
    scale: Annotated[float | str, BeforeValidator(_scale)] = "none"
    target_scale: Annotated[float | str, BeforeValidator(_scale)] = "none"

    @property
    def key(self) -> str:
        """What the datasets of an experiment are told apart by: the name, or the path of one's own file."""
        return self.name or self.path or ""


class Network(Section):
    """`[network]`: the layers, their activations, how the start is drawn, dropout and batch normalisation."""

    hidden: Annotated[tuple[Count, ...], BeforeValidator(_tuple)]
    activation: Annotated[str | tuple[str, ...], BeforeValidator(_activation)] = "sigmoid"
    leaky_slope: NotNegative = 0.01
    elu_alpha: Positive = 1.0
    output_activation: Annotated[str | None, _one_of("output_activation", OUTPUT_ACTIVATIONS)] = None
    init: Annotated[str, BeforeValidator(_init)] = "glorot_uniform"
    bias: Annotated[float | str, BeforeValidator(_bias)] = 0.0
    dropout: Annotated[float | tuple[float, ...], BeforeValidator(_rates)] = 0.0
    input_dropout: Fraction = 0.0
    batch_norm: StrictBool = False
    batch_norm_momentum: Decay = 0.9
    batch_norm_epsilon: Positive = 1e-5


class Training(Section):
    """`[training]`: every number of the optimizer. What is not given is the harness's default, never a library's."""

    loss: Annotated[str | None, _one_of("loss", LOSSES)] = None
    huber_delta: Positive = 1.0
    reduction: Annotated[str, _one_of("reduction", REDUCTIONS)] = "mean"
    optimizer: Annotated[str, _one_of("optimizer", (*OPTIMIZER_CONSTANTS, "perceptron"))] = "sgd"
    learning_rate: Positive
    schedule: Annotated[str, _one_of("schedule", tuple(SCHEDULES))] = "constant"
    decay_rate: Positive | None = None
    decay_steps: Count | None = None
    final_factor: NotNegative = 0.0
    momentum: Decay = 0.9
    beta_1: Decay = 0.9
    beta_2: Decay = 0.999
    rho: Decay = 0.9
    epsilon: Positive = 1e-8
    initial_accumulator: NotNegative = 0.0
    l2: NotNegative = 0.0
    l1: NotNegative = 0.0
    clip_norm: Positive | None = None
    clip_value: Positive | None = None
    batch_size: Annotated[int | Literal["full"] | None, BeforeValidator(_batch_size)] = None
    n_batches: Count | None = None
    batches: Annotated[str, _one_of("batches", BATCHES)] = "permutation"
    last_batch: Annotated[str, _one_of("last_batch", LAST_BATCH)] = "keep"
    epochs: Count
    patience: Count | None = None
    min_delta: NotNegative = 0.0
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
    draws: Annotated[str, _one_of("draws", DRAWS)] = "harness"
    parity: Annotated[Literal["all", "none"], _one_of("parity", PARITY)] = "all"
    curves: StrictBool | None = None
    time_limit: Positive = 600.0


class Report(Section):
    """`[report]`: what the report shows beside the rows: a table that was printed elsewhere, and notes."""

    published: StrictStr | None = None
    notes: Annotated[tuple[StrictStr, ...], BeforeValidator(_tuple)] = ()


SECTIONS: dict[str, type[Section]] = {
    "data": Data,
    "network": Network,
    "training": Training,
    "run": Run,
    "report": Report,
}
