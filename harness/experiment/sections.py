"""The tables of an experiment file: every key, its type, its range and its default."""

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictStr

from harness import network
from harness.contract import ACTIVATIONS, DTYPES, OPTIMIZER_CONSTANTS, OUTPUT_ACTIVATIONS, REDUCTIONS, TASKS
from harness.draws.recipe import BATCHES, LAST_BATCH, SCHEDULES
from harness.draws.sources import DRAWS
from harness.draws.starts import INITS, parse_law
from harness.experiment.constants import with_constants
from harness.experiment.layers import LayerList, read_layers
from harness.registry import BY_DEFAULT
from harness.support.errors import unknown
from harness.support.limits import check_size

MODES = ("controlled", "native")
PARITY = ("all", "none")
SCALES = ("none", "minmax", "standard")
LOSSES = tuple(dict.fromkeys(loss for losses in TASKS.values() for loss in losses))
ARRAYS = "arrays"  # the dataset's name when it came as arrays, from Python


def _one_of(kind: str, allowed: tuple[str, ...]) -> BeforeValidator:
    def check(value: Any) -> Any:
        if value not in allowed:
            raise ValueError(unknown(kind, value, allowed))
        return value

    return BeforeValidator(check, json_schema_input_type=Literal[allowed])


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
        if not isinstance(name, str) or name not in ACTIVATIONS:
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
    allowed = 'must be a number, "normal(0.1)", "as_weights" or "torch_uniform"'
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(allowed)
    if value in ("as_weights", "torch_uniform"):
        return value
    if isinstance(value, str):
        try:
            law, _ = parse_law(value)
        except ValueError:
            law = value
        if law != "normal":
            raise ValueError(allowed)
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


def _hidden(value: Any) -> Any:
    if isinstance(value, list | tuple):
        check_size("HARNESS_MAX_LAYERS", len(value), f"{len(value)} hidden layers")
    return _tuple(value)


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


# What is written where a type is not enough, and in brackets what the reference says of it.
_Scale = Annotated[float | str, BeforeValidator(_scale, json_schema_input_type=Literal[SCALES] | Positive)]
_Target = Annotated[str | tuple[str, ...] | None, BeforeValidator(_target, json_schema_input_type=str | list[str])]
_Activation = Annotated[
    str | tuple[str, ...], BeforeValidator(_activation, json_schema_input_type=Literal[tuple(ACTIVATIONS)] | list[str])
]
_Bias = Annotated[float | str, BeforeValidator(_bias, json_schema_input_type=Number | str)]
_Rates = Annotated[float | tuple[float, ...], BeforeValidator(_rates, json_schema_input_type=Fraction | list[Fraction])]
_BatchSize = Annotated[
    int | Literal["full"] | None, BeforeValidator(_batch_size, json_schema_input_type=Count | Literal["full"])
]


class Section(BaseModel):
    """A frozen table of the file; a key that it does not know is an error.

    What stands under a key is its line in the reference (docs/experiment-file.md).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Data(Section):
    """`[data]`: which dataset, how it is split, how it is scaled."""

    name: Annotated[str | None, BeforeValidator(_dataset)] = None
    """A dataset (`harness list` shows them). As an axis it is called `dataset`."""
    path: StrictStr | None = None
    """A CSV, Parquet or NPZ file of one's own in place of `name`, beside the experiment file."""
    target: _Target = None
    """The column of `path` to predict, or columns; of an NPZ file, the array."""
    task: Annotated[str | None, _one_of("task", tuple(TASKS))] = None
    """Default: the data's own. Of a file: text, booleans or at most 20 whole numbers are classes, other numbers a
    regression, several columns of 0 and 1 labels. Two classes can be trained as `multiclass` or `binary`, or as numbers
    0 and 1."""
    rows: Count | None = None
    """How many points of a generated dataset. Default: the dataset's."""
    noise: NotNegative | None = None
    """Standard deviation of the noise in a generated dataset's targets or points. Default: the dataset's."""
    folder: StrictStr | None = None
    """Where the four IDX files of MNIST are; without it scikit-learn's OpenML loader fetches and caches them."""
    degree: Annotated[int, Field(strict=True, ge=1, le=20)] = 1
    """Inputs become the polynomial design matrix up to this degree, without the constant."""
    test_fraction: Fraction = 0.2
    """Of all rows, rounded up. 0 is allowed: then there are no test rows."""
    validation_fraction: Fraction = 0.0
    """Of all rows, rounded up. The best cell is chosen on these, never on test rows."""
    folds: Annotated[int, Field(strict=True, ge=2, le=1000)] | None = None
    """k-fold cross-validation: the axis `fold` with so many values. Each fold is the validation rows once; reports
    take the mean over them."""
    fold: Annotated[int, Field(strict=True, ge=0)] | None = None
    """One fold of `folds` only, from 0."""
    stratify: StrictBool = True
    """Every class has its share of every part (classification)."""
    scale: _Scale = "none"
    """Of the inputs, fitted on the training rows; a number is divided by."""
    target_scale: _Scale = "none"
    """Of a regression's targets, likewise; metrics are then in those units."""

    @property
    def key(self) -> str:
        """What the datasets of an experiment are told apart by: the name, or the path of one's own file."""
        return self.name or self.path or ""


class _Network(Section):
    """`[network]`: the layers, their activations, how the start is drawn, dropout and batch normalisation."""

    hidden: Annotated[tuple[Count, ...], BeforeValidator(_hidden)] = ()
    """Units of each hidden layer; `[]` is a linear model. Required, unless there are `layers`."""
    layers: Annotated[tuple[str, ...] | None, BeforeValidator(read_layers), LayerList] = None
    """The long form, in place of `hidden`, `activation`, `dropout`, `input_dropout` and `batch_norm`: a list of layers,
    each a word, or a table whose first key is the layer and has its main number:
    `[{dense = 50}, "relu", {dropout = 0.2}, {dense = 9, use_bias = false}, {batch_norm = 0.9, epsilon = 1e-3}, "elu"]`.
    The dense layer of the outputs and what stands behind it follow from the task, and are never written."""
    activation: _Activation = "sigmoid"
    """Of every hidden layer, or a list with one a layer."""
    output_activation: Annotated[str | None, _one_of("output_activation", OUTPUT_ACTIVATIONS)] = None
    """Of a regression's outputs. Default: `identity`."""
    init: Annotated[str, BeforeValidator(_init)] = "glorot_uniform"
    """The start of the weights: `glorot_`, `he_` or `lecun_` with `uniform` or `normal`; `torch_uniform`
    (±1/sqrt(n_in)) and `sklearn_uniform` (±sqrt(2/(n_in + n_out))), as those libraries have it; `normal(0.1)` and
    `truncated_normal(0.1)` with a standard deviation; `uniform(0.1)` within ±0.1; `zeros`; or an NPZ file of weights,
    beside the experiment file (arrays `0/W`, `0/b`, `1/W`, …; a bias that is left out is 0)."""
    bias: _Bias = 0.0
    """Where biases start: a number, `normal(0.1)` with a standard deviation, `as_weights`: the law of `init`, or
    `torch_uniform` (±1/sqrt(n_in)), which a `torch.nn.Linear` keeps when its weights alone are drawn anew."""
    dropout: _Rates = 0.0
    """The rate at which hidden units are dropped, or a list with one a layer."""
    input_dropout: Fraction = 0.0
    """The rate at which inputs are dropped."""
    batch_norm: StrictBool = False
    """Batch normalisation before the activation of every hidden layer, which then has no bias."""


class _Training(Section):
    """`[training]`: every number of the optimizer. What is not given is the harness's default, never a library's."""

    loss: Annotated[str | None, _one_of("loss", LOSSES)] = None
    """Default: the task's. Only a regression has a choice: `mse`, `mae` or `huber`."""
    reduction: Annotated[str, _one_of("reduction", REDUCTIONS)] = "mean"
    """Of the loss over the rows of a batch."""
    optimizer: Annotated[str, _one_of("optimizer", (*OPTIMIZER_CONSTANTS, "perceptron"))] = "sgd"
    """`perceptron` is for two classes without a hidden layer."""
    schedule: Annotated[str, _one_of("schedule", tuple(SCHEDULES))] = "constant"
    """Of the learning rate, step by step: see the formulas below."""
    decay_rate: Positive | None = None
    """Constant of the schedules that decay."""
    decay_steps: Count | None = None
    """Constant of the schedules, in steps."""
    final_factor: NotNegative = 0.0
    """Constant of the schedule `cosine`: where it ends, as a factor of the learning rate."""
    batch_size: _BatchSize = None
    """Rows of a batch, or `full`. Required, unless there is `n_batches`."""
    n_batches: Count | None = None
    """A number of batches an epoch, in place of `batch_size`."""
    batches: Annotated[str, _one_of("batches", BATCHES)] = "permutation"
    """How rows are drawn: a `permutation` an epoch; `independent` draws without replacement; with `replacement`;
    `in_order`; `one_permutation` and `bootstrap` (with replacement), drawn once, then always that order; `skipping`: in
    order, one row left out after each batch."""
    last_batch: Annotated[str, _one_of("last_batch", LAST_BATCH)] = "keep"
    """A shorter last batch: kept, dropped, or merged with the one before. With `n_batches` merged batches are
    equally long but for the last."""
    epochs: Count
    """How often the training rows are gone through."""
    patience: Count | None = None
    """Early stopping: after so many epochs in which the validation loss has not fallen by more than `min_delta`. The
    best epoch's weights are restored. Needs validation rows."""
    min_delta: NotNegative = 0.0
    """Of `patience`."""
    dtype: Annotated[str, _one_of("dtype", DTYPES)] = "float64"
    """Of weights, inputs and all arithmetic."""


if TYPE_CHECKING:  # what else they hold is read by its key
    Network = _Network
    Training = _Training
else:
    Network = with_constants(
        _Network, {"activation": network.ACTIVATIONS.values(), "batch_norm": [network.BatchNorm]}, ["activation"]
    )
    Training = with_constants(
        _Training,
        {
            "loss": network.LOSSES.values(),
            "optimizer": [*network.OPTIMIZERS.values()],
            "final_factor": [network.Penalty, *network.CLIPPINGS.values()],
        },
        ["loss", "optimizer"],
    )


class Run(Section):
    """`[run]`: which backends and modes, how many repeats, and what is measured beside the training itself."""

    backends: Annotated[tuple[StrictStr, ...], BeforeValidator(_names), Field(min_length=1)] = BY_DEFAULT
    """Backends, and in mode native profiles of course codes (`harness list` shows them)."""
    modes: Annotated[
        tuple[Annotated[str, _one_of("mode", MODES)], ...], BeforeValidator(_names), Field(min_length=1)
    ] = ("controlled",)
    """`controlled`: every convention is the harness's own, backends must agree to rounding. `native`: each backend as
    its users use it."""
    seeds: Count = 1
    """Repeats, each with its own split, start and batches."""
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = 0
    """The base of all draws."""
    draws: Annotated[str, _one_of("draws", tuple(DRAWS))] = "harness"
    """`numpy-legacy-2023`: split, start and batches as a course code of 2023 drew them."""
    parity: Annotated[Literal["all", "none"], _one_of("parity", PARITY)] = "all"
    """`none`: no reference is trained, and the report says that parity was not checked."""
    curves: StrictBool | None = None
    """Metrics after every epoch. Default: for small experiments."""
    time_limit: Positive = 600.0
    """Seconds for one trial; a stack of trials has the sum of theirs."""


class Report(Section):
    """`[report]`: what the report shows beside the rows: a table that was printed elsewhere, and notes."""

    published: StrictStr | None = None
    """A CSV with a column an axis and `train_accuracy`, `test_accuracy`: figures printed elsewhere, shown beside
    ours."""
    notes: Annotated[tuple[StrictStr, ...], BeforeValidator(_tuple)] = ()
    """Paragraphs for the report."""


SECTIONS: dict[str, type[Section]] = {
    "data": Data,
    "network": Network,
    "training": Training,
    "run": Run,
    "report": Report,
}
