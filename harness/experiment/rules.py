"""What must hold between the keys of an experiment, and which constants take part in a training."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from harness.contract import ACTIVATIONS, OPTIMIZER_CONSTANTS, OPTIMIZER_KEYS, TASKS, constants_of
from harness.draws.recipe import SCHEDULES
from harness.experiment.sections import Data, Network, Training
from harness.network import CLIPPINGS, LOSSES, BatchNorm
from harness.support.errors import short


@dataclass(frozen=True)
class Settings:
    """Data, network and training of one cell."""

    data: Data
    network: Network
    training: Training


SHORT = ("hidden", "activation", "dropout", "input_dropout", "batch_norm")
"""The keys of the short form, none of which stands beside `layers`."""


def activations(network: Network) -> tuple[str, ...]:
    """One activation a hidden layer, in the short form."""
    given = network.activation
    return (given,) * len(network.hidden) if isinstance(given, str) else given


def dropout(network: Network) -> tuple[float, ...]:
    """The rates of the inputs and of each hidden layer, in the short form; empty where nothing is dropped."""
    given = network.dropout
    hidden = (given,) * len(network.hidden) if isinstance(given, float) else given
    rates = (network.input_dropout, *hidden)
    return rates if any(rates) else ()


def constants(settings: Settings) -> tuple[str, ...]:
    """The constants that optimizer and activations read."""
    return constants_of(settings.training.optimizer, activations(settings.network))


# section, key -> whether a training reads it, and what would make it do so
_Reader = Callable[[Settings], bool]
READ: dict[tuple[str, str], tuple[_Reader, str]] = {
    **{
        ("training", constant): (
            lambda s, constant=constant: constant in constants(s),  # type: ignore[misc]
            "it is read by: " + ", ".join(name for name, read in OPTIMIZER_CONSTANTS.items() if constant in read),
        )
        for constant in OPTIMIZER_KEYS
    },
    **{
        ("network", constant): (
            lambda s, constant=constant: constant in constants(s),  # type: ignore[misc]
            f'it is read by activation = "{name}"',
        )
        for name, read in ACTIVATIONS.items()
        for constant in read
    },
    **{
        ("training", constant.key): (
            lambda s, name=name: s.training.loss == name,  # type: ignore[misc]
            f'it is read by loss = "{name}"',
        )
        for name, loss in LOSSES.items()
        for constant in loss.constants()
    },
    **{
        ("network", constant.key): (lambda s: s.network.batch_norm, "it is read with batch_norm = true")
        for constant in BatchNorm.constants()
    },
    **{
        ("training", constant): (
            lambda s, constant=constant: constant in SCHEDULES[s.training.schedule],  # type: ignore[misc]
            "it is read by schedule: " + ", ".join(name for name, read in SCHEDULES.items() if constant in read),
        )
        for constant in dict.fromkeys(constant for read in SCHEDULES.values() for constant in read)
    },
    ("network", "activation"): (lambda s: bool(s.network.hidden), "there is no hidden layer"),
    ("network", "bias"): (lambda s: not s.network.init.endswith(".npz"), "biases come from the file of init"),
    ("network", "dropout"): (lambda s: bool(s.network.hidden), "there is no hidden layer to drop units of"),
    ("network", "batch_norm"): (lambda s: bool(s.network.hidden), "there is no hidden layer to normalise"),
    ("training", "min_delta"): (lambda s: s.training.patience is not None, "it is read with patience"),
    ("training", "last_batch"): (lambda s: s.training.n_batches is None, "a number of batches leaves no rest"),
}


def faults(settings: Settings) -> Iterable[str]:
    """What is wrong in one cell, each as `section.key = value: why`."""
    data, network, training = settings.data, settings.network, settings.training
    n = len(network.hidden)
    written = [key for key in SHORT if key in network.model_fields_set]
    if network.layers is None and "hidden" not in written:
        yield "network.hidden is required (there, or as an axis under [sweep]), or network.layers"
    if network.layers is not None and written:
        yield f"network.{written[0]}: stands beside layers, which say all layers themselves; keep one of the two"
    if data.name is None and data.path is None:
        yield "data.name is required (see: harness list), or data.path, a file of your own"
    for key, given in (("activation", network.activation), ("dropout", network.dropout)):
        if isinstance(given, tuple) and len(given) != n:
            things = "names" if key == "activation" else "rates"
            yield (
                f"network.{key} = {list(given)!r}: {len(given)} {things} for {n} hidden layers "
                f"(hidden = {list(network.hidden)!r}); give one, or one a hidden layer"
            )
    if training.batch_size is None and training.n_batches is None:
        yield "training.batch_size is required (there, or as an axis under [sweep]), or n_batches"
    if training.batch_size is not None and training.n_batches is not None:
        yield f"training.n_batches = {training.n_batches}: stands beside batch_size; keep one of the two"
    clipped = [key for key in CLIPPINGS if getattr(training, key) is not None]
    for key in clipped[1:]:
        yield f"training.{key} = {getattr(training, key):g}: stands beside {clipped[0]}; keep one of the two"
    for constant in SCHEDULES[training.schedule]:
        optional = constant == "final_factor" or training.schedule == "cosine"
        if getattr(training, constant) is None and not optional:
            yield f"training.{constant} is required by schedule = {training.schedule!r}"
    if training.patience is not None and not (data.validation_fraction or data.folds):
        yield f"training.patience = {training.patience}: needs validation rows; set data.validation_fraction or folds"
    if data.folds and data.validation_fraction:
        yield f"data.validation_fraction = {data.validation_fraction:g}: stands beside folds; keep one of the two"
    if data.fold is not None and data.folds is None:
        yield f"data.fold = {data.fold}: is read with folds, the number of folds; set it too, or leave fold out"
    if data.folds and data.fold is not None and data.fold >= data.folds:
        yield f"data.fold = {data.fold}: allowed: 0 to {data.folds - 1}"
    if training.optimizer == "perceptron":
        yield from _perceptron_faults(network, training)


def _perceptron_faults(network: Network, training: Training) -> Iterable[str]:
    if network.hidden or network.layers:
        given = f"layers = {short(list(network.layers))}" if network.layers else f"hidden = {list(network.hidden)!r}"
        yield (
            f"network.{given}: the perceptron rule trains one layer, for its step passes no "
            "gradient back; set hidden = []"
        )
    if training.loss is not None:
        yield f"training.loss = {training.loss!r}: the perceptron rule has its own; leave it out"


def legacy_faults(settings: Settings) -> Iterable[str]:
    """What draws = "numpy-legacy-2023" cannot draw: it is one recipe, and knows nothing else."""
    data, network, training = settings.data, settings.network, settings.training
    wrong = {
        "data.validation_fraction": data.validation_fraction > 0 and "there are no validation rows",
        "data.folds": data.folds is not None and "there are no validation rows",
        "data.test_fraction": data.test_fraction == 0 and "must be greater than 0",
        "network.layers": network.layers is not None and "write hidden and activation in its place",
        "network.init": not network.init.startswith("normal") and 'must be "normal(sd)"',
        "network.bias": isinstance(network.bias, str) and "must be a number",
        "network.dropout": bool(dropout(network)) and "there are no masks",
        "network.batch_norm": network.batch_norm and "there is none in it",
        "training.batches": training.batches != "independent" and 'must be "independent"',
    }
    for key, why in wrong.items():
        if why:
            yield f'{key}: {why} with draws = "numpy-legacy-2023"'


def task_faults(settings: Settings, task: str) -> Iterable[str]:
    """What is wrong in one cell once the task of its data is known."""
    network, training = settings.network, settings.training
    if settings.data.target_scale != "none" and task != "regression":
        yield f"data.target_scale = {settings.data.target_scale!r}: is for regression; the task is {task}; leave it out"
    if training.loss is not None and training.loss not in TASKS[task]:
        yield f"training.loss = {training.loss!r}: the task is {task}; allowed: {', '.join(TASKS[task])}"
    if network.output_activation is not None and task != "regression":
        given = repr(network.output_activation)
        yield f"network.output_activation = {given}: is for regression; the task is {task}; leave it out"
    if training.optimizer == "perceptron" and task not in ("binary", "multilabel"):
        yield f"training.optimizer = 'perceptron': needs the task binary or multilabel; the task is {task}"


def unread(cells: Iterable[Settings], written: Mapping[str, Iterable[str]]) -> Iterable[str]:
    """The keys that the file writes and that no cell reads: a mistake, most often `momentum` beside `"sgd"`."""
    cells = list(cells)
    for (section, key), (reads, hint) in READ.items():
        if key in written.get(section, ()) and not any(reads(cell) for cell in cells):
            optimizers = ", ".join(dict.fromkeys(repr(cell.training.optimizer) for cell in cells))
            beside = f" with optimizer {optimizers}" if hint.startswith("it is read by: ") else ""
            yield f"{section}.{key} has no effect{beside}; {hint}"
