"""Lint: mistakes that can be seen before any training, each with a name of its own.

    target-shape        targets `(n, 1)` against predictions `(n,)`, or the other way round
    double-softmax      probabilities where the loss expects logits
    missing-softmax     plain numbers where the loss expects probabilities, or their logarithms
    missing-log         probabilities where the loss expects their logarithms
    one-output          softmax over one output, which is always 1
    one-hot             one column a class where labels are wanted, or the other way round
    labels-outside      labels that no class has, that skip numbers, or that no training row has
    unscaled-features   large inputs that saturate the first hidden layer before it has learned anything
    first-step          one step of the reference, from the start, leaves numbers that are not finite, or explodes

A finding is a warning, never an error: what is trained, and its result, are the same with and without it.
"""

import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.contract import TASKS, Config, Epoch, Weights
from harness.data.prepared import Dataset, Datasets
from harness.data.tables import as_array, check_arrays
from harness.draws.generators import generator
from harness.experiment.arguments import parse_arguments
from harness.experiment.axes import describe_cell
from harness.experiment.datasets import load_datasets
from harness.experiment.file import Experiment
from harness.experiment.sections import ARRAYS
from harness.linting.findings import (
    Finding,
    column_of_labels,
    double_softmax,
    few,
    labels_from_one,
    labels_outside,
    one_hot,
    rows_apart,
    shapes,
    two_values,
)
from harness.linting.losses import is_known, library_of, loss_of
from harness.linting.received import made_by, received
from harness.network import Activation, Dense, Dropout
from harness.planning.plan import Trial, plan, split
from harness.reference.trainer import Reference
from harness.support.errors import RequestError, short, unknown
from harness.training.metrics import loss as loss_on
from harness.training.trial import is_finite

MOST_CELLS = 200
"""So many cells of a sweep are looked at, drawn at random; fewer of large networks, whose first step takes long."""

_MOST_WORK = 2e9  # multiply-adds of all forward passes together: some seconds
_MOST_ROWS = 1000  # what share of units is saturated shows in so many

SATURATED = {"sigmoid": 4.0, "tanh": 2.0}
"""Beyond which pre-activation a saturating unit has at most 7 % of its steepest slope."""

# Measured: digits from 0 to 16 saturate 50 to 62 % of the sigmoids of a Glorot start (4 to 100 units), digits from 0
# to 1 or standardised none, and at most 13 % of tanh units. A wide start saturates units of inputs of any size, which
# is not the inputs' fault; scaled inputs have a root mean square of at most 1.
_MOST_SATURATED = 0.25
_LARGE_INPUTS = 2.0

# The largest loss after one step of any suite is 270 times the first, in a cell that is meant to diverge.
_EXPLODED = 1e6


def lint(
    X: Any,
    y: Any,
    *,
    outputs: Any = None,
    logits: Any = None,
    loss: Any = None,
    classes: int | None = None,
    task: str | None = None,
    **settings: Any,
) -> list[Finding]:
    """What looks wrong with arrays, and with the network that they are meant for, before any training.

        harness.lint(X, y, activation="tanh", learning_rate=0.1)        # before harness.sweep(X, y, …)
        harness.lint(X, y, outputs=model(X), loss=criterion)            # a network of one's own, and its loss

    `X` is `(n, …)`, `y` `(n,)` or `(n, k)`; labels go from 0 to `classes - 1`. `outputs` are what a network gives for
    `X`, `(n,)` or `(n, k)`, and `loss` is what receives them: a loss of PyTorch, Keras, TensorFlow or scikit-learn, its
    class, its function or its name, such as "keras.losses.BinaryCrossentropy(from_logits=True)" or "mse". They are
    judged by what that loss is made for; without `loss` only their shapes and labels are. `logits` are outputs that
    are meant for a loss of logits, whichever it is.

    `settings` are those of `harness.sweep`, with its defaults, `loss` among them where there are no outputs: the start
    and the first step of what it would train are looked at too, unless it refuses such arrays, or outputs without any
    `settings` stand for another network. Raises `RequestError` for what is no array, and for a wrong setting.
    """
    called = "logits" if outputs is None else "outputs"
    if outputs is not None and logits is not None:
        raise RequestError("outputs and logits are given, and logits are outputs before softmax; give one")
    given = logits if outputs is None else outputs
    ours = isinstance(loss, str) and any(loss in losses for losses in TASKS.values())
    if loss is not None and given is None and (not isinstance(loss, str) or (not ours and is_known(loss))):
        raise RequestError(f"loss = {short(loss)}: give what it receives too, outputs = model(X)")
    if loss is not None and (given is None or (settings and ours)):
        settings["loss"] = loss
    if loss == "binary_cross_entropy" and called == "logits":  # as a setting has it, and not PyTorch's function
        loss = "BCEWithLogitsLoss"
    if task not in (None, *TASKS):
        raise RequestError(unknown("task", task, TASKS))
    if classes is not None:
        try:
            classes = operator.index(classes)
        except TypeError:
            raise RequestError(f"classes = {short(classes)}: must be a whole number") from None
        if classes < 2:
            raise RequestError(f"classes = {classes}: must be at least 2")
    inputs, targets = _array(X, "X"), _array(y, "y")
    predicted = None if given is None else _array(given, called)
    with np.errstate(all="ignore"):
        findings = [*rows_apart(targets, inputs, "X has")]
        if predicted is None:
            findings += _lint_targets(targets, classes, task)
        else:
            made, receiver = made_by(given, predicted), loss_of(loss, given)
            if receiver is not None:
                findings += received(receiver, targets, predicted, made, task)
            else:
                own = library_of(given) not in ("keras", "tensorflow")
                findings += _lint_outputs(targets, predicted, called, made, own, classes, task)
    if given is not None and not settings:
        return findings
    experiment = parse_arguments("lint", len(inputs), settings)
    return findings + _lint_network(experiment, X, y, task)


def _lint_targets(y: np.ndarray, classes: int | None, task: str | None) -> Iterator[Finding]:
    """Targets alone."""
    yield from shapes(y, None, task, "")
    yield from one_hot(y, task, "y")
    yield from labels_outside(y, task, classes, "y")
    if classes is None:
        yield from labels_from_one(y, task, "y")


def _lint_outputs(
    y: np.ndarray, outputs: np.ndarray, called: str, made: str | None, own: bool, classes: int | None, task: str | None
) -> Iterator[Finding]:
    """Targets and outputs, for a loss of which nothing is known but that it takes logits, if they are `called` so.

    Not `own`: those of Keras, whose losses align shapes and look behind a last layer of softmax.
    """
    yield from rows_apart(y, outputs, f"the {called} have")
    if own:
        yield from shapes(y, outputs, task, called)
    if own and called == "logits" and made != "sum":
        told = "binary" if task is None and two_values(y) else task
        yield from double_softmax(outputs, told, sure=made == "sigmoid")
    if classes is None and outputs.ndim == 2 and outputs.shape[1] > 1:
        classes = outputs.shape[1]
    if called == "logits" or outputs.shape != y.shape:  # else the loss may be one of columns
        yield from one_hot(y, task, "y")
    yield from labels_outside(y, task, classes, "y")
    if classes is None:
        yield from labels_from_one(y, task, "y")


def _array(values: Any, name: str) -> np.ndarray:
    if hasattr(values, "detach"):  # a tensor of PyTorch, which gives no array while it knows where it is from
        values = values.detach().cpu()
    array = as_array(values, name)
    if not array.ndim:
        raise RequestError(f"{name} = {short(values)}: is no array; hand over one row or target for each sample")
    return array


def lint_plan(experiment: Experiment, datasets: Datasets, trials: list[Trial]) -> list[Finding]:
    """What looks wrong with an experiment and its data: the targets of each dataset, and the first step of each cell.

    Cells are looked at in their first repeat, in controlled mode where it is asked for; `MOST_CELLS` of them at most.
    """
    with np.errstate(all="ignore"):
        found = [finding for dataset in datasets.values() for finding in _lint_dataset(experiment, dataset)]
        return [*found, *_lint_cells(trials, datasets)]


def _lint_network(experiment: Experiment, X: Any, y: Any, task: str | None) -> list[Finding]:
    """The first layer and the first step of what `harness.sweep` would train; nothing where it refuses the arrays."""
    try:
        X, y, names, found, _, _ = check_arrays(X, y, task)
        datasets = load_datasets(experiment, Dataset(ARRAYS, X, y, names, found))
        trials = plan(experiment, datasets)
    except RequestError:
        return []
    with np.errstate(all="ignore"):
        return list(_lint_cells(trials, datasets))


def _lint_dataset(experiment: Experiment, dataset: Dataset) -> Iterator[Finding]:
    """The targets, as they were before they were coded, and the classes of the training rows."""
    if dataset.task not in ("binary", "multiclass"):
        yield from one_hot(dataset.y, experiment.data.task, dataset.name)
        return
    if dataset.column:
        yield from column_of_labels(len(dataset.y), dataset.name)
    yield from labels_outside(_as_given(dataset), dataset.task, None, dataset.name)
    run = experiment.run
    for repeat in range(run.seeds):
        rows = split(dataset, experiment.data, run.draws, run.seed, repeat)
        absent = np.setdiff1d(dataset.y, dataset.y[rows.train])
        if len(absent):
            others = int(np.isin(dataset.y, absent).sum())
            yield Finding(
                "labels-outside",
                f"in repeat {repeat} no training row of {dataset.name} has the label "
                f"{few(np.array(dataset.names)[absent])}, which {others} of the other rows have; find more rows of "
                "that class, or drop it",
            )
            return


def _as_given(dataset: Dataset) -> np.ndarray:
    """The labels as the file or the caller had them: numbers where all names of classes are numbers."""
    try:
        names = np.array([int(name) for name in dataset.names])
    except ValueError:
        names = np.array(dataset.names)
    y: np.ndarray = names[dataset.y]
    return y


@dataclass(frozen=True)
class _Look:
    """What one cell looks like before and after its first step."""

    trial: Trial
    inputs: tuple[float, float, float]  # the smallest, the largest, and the root mean square
    saturated: float  # share of the first hidden layer's pre-activations
    before: float  # the loss of the first batch
    after: float
    finite: bool  # the weights after the step

    @property
    def unscaled(self) -> bool:
        return self.saturated > _MOST_SATURATED and self.inputs[2] > _LARGE_INPUTS

    @property
    def exploded(self) -> bool:
        fine = self.finite and np.isfinite(self.after) and self.after <= _EXPLODED * self.before
        return self.trial.mode == "controlled" and not fine


def _lint_cells(trials: list[Trial], datasets: Datasets) -> Iterator[Finding]:
    mode = "controlled" if any(trial.mode == "controlled" for trial in trials) else "native"
    cells = list({trial.position: trial for trial in trials if trial.seed == 0 and trial.mode == mode}.values())
    looks = [look for looks in _by_data(_sample(cells)).values() for look in _look_at(looks, datasets)]
    looks.sort(key=lambda look: look.trial.position)
    unscaled = [look for look in looks if look.unscaled]
    if unscaled:
        look = unscaled[0]
        name, (low, high, size) = _first_activation(look.trial.config), look.inputs
        yield Finding(
            "unscaled-features",
            f"{_where(unscaled, looks, cells)}{look.saturated:.0%} of the first hidden layer's {name} units are "
            f"saturated at the start (pre-activation beyond ±{SATURATED[name]:g}), as the inputs go from {low:.4g} to "
            f'{high:.4g} (root mean square {size:.3g}); set scale = "standard"',
        )
    exploded = [look for look in looks if look.exploded]
    if exploded:
        look = exploded[0]
        config = look.trial.config
        rate = config.optimizer.learning_rate
        targets = ' and the targets (target_scale = "standard")' if config.task == "regression" else ""
        yield Finding(
            "first-step",
            f"{_where(exploded, looks, cells)}one step of {config.optimizer.name} with learning_rate = "
            f"{rate:g} from the start, on the first batch, takes its loss from {look.before:.3g} to "
            f"{look.after:.3g}{'' if look.finite else ' and leaves weights that are not finite'}; lower learning_rate, "
            f'or scale the inputs (scale = "standard"){targets}',
        )


def _where(hits: list[_Look], looks: list[_Look], cells: list[Trial]) -> str:
    """How many cells, and the first of them; nothing where there is only one."""
    if len(cells) == 1:
        return ""
    looked = f"the {len(looks)} cells looked at, of {len(cells)}" if len(looks) < len(cells) else f"{len(cells)} cells"
    if len(hits) == len(looks):
        return f"in all {looked}: "
    return f"in {len(hits)} of {looked}, first {describe_cell(hits[0].trial.cell)}: "


def _sample(cells: list[Trial]) -> list[Trial]:
    """As many cells as can be looked at in some seconds, drawn at random: any stride could miss a value of an axis."""
    work = max(cell.config.batch_size * _weights(cell.config) for cell in cells)
    count = min(MOST_CELLS, max(1, int(_MOST_WORK // work)))
    if len(cells) <= count:
        return cells
    chosen = generator(cells[0].base_seed, "lint", 0).choice(len(cells), count, replace=False)
    return [cells[index] for index in sorted(chosen)]


def _weights(config: Config) -> int:
    return config.network.size[0]


def _by_data(cells: list[Trial]) -> dict[Any, list[Trial]]:
    """The cells that are trained on the same arrays, which are prepared once for all of them."""
    groups: dict[Any, list[Trial]] = {}
    for cell in cells:
        groups.setdefault((cell.data, cell.config.task, cell.config.dtype), []).append(cell)
    return groups


def _look_at(cells: list[Trial], datasets: Datasets) -> Iterator[_Look]:
    train = cells[0].prepare(datasets[cells[0].data.key]).train
    some = train.X[:: -(-len(train.X) // _MOST_ROWS)]
    size = float(np.linalg.norm(some.astype(np.float64)) / np.sqrt(some.size))
    inputs = (float(train.X.min()), float(train.X.max()), size)
    drawn: dict[Any, np.ndarray] = {}
    for cell in cells:
        # without dropout, whose masks for a whole epoch would cost more than the step
        network = cell.config.network
        kept = tuple(layer for layer in network.layers if not isinstance(layer, Dropout))
        trial = replace(cell, config=replace(cell.config, network=replace(network, layers=kept)))
        config, start = trial.config, trial.start()
        key = (trial.recipe, config.batch_size, config.network)
        if key not in drawn:
            drawn[key] = trial.batches(len(train.y))[0].batches()[0]
        X, y = train.X[drawn[key]], train.y[drawn[key]]
        trainer = Reference(config, start)
        before = loss_on(config, trainer.logits(X), y)
        # every schedule starts at the learning rate itself
        step = Epoch(np.arange(len(y))[None], np.array([config.optimizer.learning_rate]))
        trainer.train(X, y, [step], lambda epoch: True)
        after = loss_on(config, trainer.logits(X), y)
        yield _Look(trial, inputs, _saturated(config, start, some), before, after, is_finite(trainer.weights()))


def _saturated(config: Config, start: Weights, X: np.ndarray) -> float:
    """The share of the first hidden layer's pre-activations at which its activation is all but flat."""
    name = _first_activation(config)
    if name not in SATURATED:
        return 0.0
    z = X @ start[0]["W"] + start[0]["b"]
    return float(np.mean(~(np.abs(z) <= SATURATED[name])))


def _first_activation(config: Config) -> str:
    """The activation that directly follows a first dense layer, whose biases it has; an empty text elsewhere."""
    first, *others = config.network.layers
    if isinstance(first, Dense) and first.use_bias and others and isinstance(others[0], Activation):
        return others[0].name
    return ""
