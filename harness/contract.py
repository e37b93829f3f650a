"""The contract between the harness and a backend: all that the author of an adapter has to read.

A trainer translates one `Config` into one framework, and owns no policy. The harness draws the start and the
batches, says when to stop, computes every metric and takes every time. What each number of a `Config` means is
defined by `harness/reference/trainer.py`, a plain NumPy trainer; an adapter is right when its weights equal those of
the reference to rounding, which `harness check NAME` measures.

Shapes: weights are `(n_in, n_out)`, biases `(n_out,)`, inputs `(n, n_inputs)`. Targets are labels `(n,)`, integers from
0, for the task "multiclass", and `(n, n_outputs)` numbers in the network's dtype for all others.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from inspect import signature
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from harness import network
from harness.network import (
    CLIPPINGS,
    CONSTANTS,
    DEFAULTS,
    LOSSES,
    NO_PENALTY,
    OPTIMIZERS,
    OUTPUTS,
    BatchNorm,
    ClipNorm,
    Clipping,
    ClipValue,
    Dense,
    Entry,
    Loss,
    Network,
    Optimizer,
    Penalty,
    dense_layers,
)
from harness.network.weights import Weights as Weights
from harness.network.weights import member as member
from harness.network.weights import stacked as stacked

AfterEpoch = Callable[[int], bool]
"""Called with the number of finished epochs, from 1, once the device has finished; `True` means: stop now."""

AfterStackedEpoch = Callable[[int], np.ndarray]
"""The same for a stack: gives a boolean for each member that is still in it, `(members,)`; `True` means: it leaves."""

TASKS: dict[str, tuple[str, ...]] = {
    task: tuple(name for name, loss in LOSSES.items() if task in loss.tasks)
    for task in ("multiclass", "binary", "multilabel", "regression")
}
"""Every task, with the losses that it can be trained by; the first is its default."""

OPTIMIZER_CONSTANTS: dict[str, tuple[str, ...]] = {
    name: tuple(each.key for each in optimizer.constants() if each.key != "learning_rate")
    for name, optimizer in OPTIMIZERS.items()
    if name != "perceptron"
}
"""Every optimizer of back propagation, with the constants that it reads beside the learning rate."""

OPTIMIZER_KEYS: tuple[str, ...] = tuple(dict.fromkeys(key for keys in OPTIMIZER_CONSTANTS.values() for key in keys))
"""Every constant of any of them."""

ACTIVATIONS: dict[str, tuple[str, ...]] = {
    name: tuple(each.key for each in activation.constants())
    for name, activation in network.ACTIVATIONS.items()
    if activation.hidden
}
"""Every activation of a hidden layer, with the constants that it reads."""

OUTPUT_ACTIVATIONS: tuple[str, ...] = tuple(activation.name for activation in OUTPUTS)
"""The activations that the outputs of a regression can have."""


def constants_of(optimizer: str, activation: tuple[str, ...]) -> tuple[str, ...]:
    """The constants that a training with this optimizer and these activations reads beside the learning rate."""
    read = (constant for name in activation for constant in ACTIVATIONS[name])
    return tuple(dict.fromkeys((*OPTIMIZER_CONSTANTS.get(optimizer, ()), *read)))


REDUCTIONS: tuple[str, ...] = ("mean", "sum")
DTYPES: tuple[str, ...] = ("float64", "float32")


class Diverged(Exception):
    """Raised by a trainer whose framework refuses to go on with weights that are not finite."""


@dataclass(frozen=True)
class Config:
    """One network and one way to train it. Every number is written out; none is a library's default.

    What each entry means stands in its class (`harness/network`), and what it computes in `harness/reference`. What
    stands at the output is the loss's: `loss.output`. The loss of a batch is the mean over its rows
    (`reduction="mean"`) or the sum ("sum") of a row's loss; to it `penalty` is added, in either case.

    `written` names the optional settings that the experiment itself states (such as `"epsilon"` or `"dtype"`). Only
    those are handed to a framework in native mode, where everything unsaid is left to the framework's own default.
    """

    network: Network
    task: str
    loss: Loss
    optimizer: Optimizer
    batch_size: int
    epochs: int
    penalty: Penalty = NO_PENALTY
    clipping: Clipping | None = None
    reduction: str = "mean"
    dtype: str = "float64"
    written: frozenset[str] = field(default=frozenset())

    @classmethod
    def of(
        cls,
        n_inputs: int,
        n_outputs: int,
        hidden: tuple[int, ...],
        activation: tuple[str, ...],
        optimizer: str,
        learning_rate: float,
        batch_size: int,
        epochs: int,
        *,
        task: str = "multiclass",
        loss: str | None = None,
        output_activation: str | None = None,
        dropout: tuple[float, ...] = (),
        batch_norm: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        reduction: str = "mean",
        dtype: str = "float64",
        written: Iterable[str] = (),
        **constants: float,
    ) -> "Config":
        """A multilayer perceptron, from the keys of an experiment file.

        `activation` is one name for each hidden layer; `dropout` holds the rate at which the inputs and then the units
        of each hidden layer are dropped, or nothing at all. Constants that nothing reads are left out. Raises
        `TypeError` for a key that is none.
        """
        if unknown := set(constants) - set(DEFAULTS):
            raise TypeError(f"{', '.join(sorted(unknown))}: no constant of the vocabulary")
        functions = tuple(network.ACTIVATIONS[name].of(constants) for name in activation)
        norm = BatchNorm.of(constants) if batch_norm and hidden else None
        loss = loss or ("perceptron" if optimizer == "perceptron" else TASKS[task][0])
        output = {}
        if task == "regression" and output_activation is not None:
            output = {"output": network.ACTIVATIONS[output_activation].of(constants)}
        clipping: Clipping | None = None
        if clip_norm is not None:
            clipping = ClipNorm(clip_norm)
        elif clip_value is not None:
            clipping = ClipValue(clip_value)
        return cls(
            network=Network((n_inputs,), dense_layers(tuple(hidden), functions, n_outputs, tuple(dropout), norm)),
            task=task,
            loss=LOSSES[loss].of(constants, **output),
            optimizer=OPTIMIZERS[optimizer].of({**constants, "learning_rate": learning_rate}),
            batch_size=batch_size,
            epochs=epochs,
            penalty=Penalty.of(constants),
            clipping=clipping,
            reduction=reduction,
            dtype=dtype,
            written=frozenset(written),
        )

    @cached_property
    def keys(self) -> dict[str, Any]:
        """What it holds under the keys of an experiment file: the arguments of `of`."""
        return {
            "n_inputs": self.network.input_shape[0],
            "n_outputs": self.network.n_outputs,
            **self.network.dense,
            "optimizer": self.optimizer.name,
            "batch_size": self.batch_size,
            "epochs": self.epochs,
            "task": self.task,
            "loss": self.loss.name,
            "output_activation": self.loss.output.name,
            **self.loss.numbers(),
            **self.optimizer.numbers(),
            **self.penalty.numbers(),
            **{
                name: self.clipping.limit if self.clipping and self.clipping.name == name else None
                for name in CLIPPINGS
            },
            "reduction": self.reduction,
            "dtype": self.dtype,
            "written": self.written,
        }

    def value(self, key: str) -> Any:
        """What it has under a key of an experiment file; the default of a constant that it does not read.

        Raises `KeyError` for what is no key.
        """
        return self.keys[key] if key in self.keys else DEFAULTS[key]

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_") or "network" not in self.__dict__:
            raise AttributeError(key)
        try:
            return self.value(key)
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {key!r}") from None

    @property
    def layers(self) -> tuple[int, ...]:
        """Units of every layer, inputs and outputs included: `(64, 50, 10)`."""
        return (self.n_inputs, *self.hidden, self.n_outputs)

    @property
    def dropout_layers(self) -> tuple[int, ...]:
        """Which layers are dropped out, in the order of `Epoch.masks`: 0 are the inputs, 1 the first hidden layer."""
        return tuple(k for k, rate in enumerate(self.dropout) if rate > 0)

    @property
    def parts(self) -> tuple[str, ...]:
        """What a backend must have to train this, by name, beside dense layers and L2: the other layers, the loss, the
        output activation of a regression, the optimizer, "l1" and the kind of clipping."""
        names = [layer.name for layer in self.network.layers if not isinstance(layer, Dense)]
        names += [self.loss.name, self.optimizer.name]
        names += [self.loss.output.name] if self.task == "regression" else []
        names += ["l1"] if self.penalty.l1 > 0 else []
        names += [self.clipping.name] if self.clipping is not None else []
        return tuple(dict.fromkeys(names))

    @property
    def regularisation(self) -> tuple[str, ...]:
        """The parts beyond L2 that are in use: of "l1", "dropout", "batch_norm", "clip_norm" and "clip_value"."""
        in_use = {
            "l1": self.penalty.l1 > 0,
            "dropout": bool(self.network.dropouts),
            "batch_norm": any(isinstance(layer, BatchNorm) for layer in self.network.layers),
            **{name: self.clipping is not None and self.clipping.name == name for name in CLIPPINGS},
        }
        return tuple(name for name, used in in_use.items() if used)


KEYS: tuple[str, ...] = (
    *(name for name in signature(Config.of).parameters if name not in ("constants", "written")),
    *(name for name in DEFAULTS if name not in signature(Config.of).parameters),
)
"""Every key of an experiment file that says what a `Config` is."""


@dataclass(frozen=True)
class Epoch:
    """What the harness drew for one epoch.

    `rows` is `(steps, batch)` int64: the rows of the training set that each step sees, padded at the end of a step
    with -1 where its batch is shorter. `learning_rate` is `(steps,)`, the schedule already evaluated. `masks` holds
    one `(steps, batch, units)` boolean array for each of `Config.dropout_layers`: a unit is kept where it is True.

    A stack shares the rows. Its learning rates are `(members, steps)`, its masks `(members, steps, batch, units)`.
    """

    rows: np.ndarray
    learning_rate: np.ndarray
    masks: tuple[np.ndarray, ...] = ()

    def batches(self) -> list[np.ndarray]:
        """The row numbers of each step without the padding."""
        return [rows[rows >= 0] for rows in self.rows]

    def step_masks(self, step: int) -> tuple[np.ndarray, ...]:
        """The masks of one step without the padding, each `(rows, units)`; in a stack `(members, rows, units)`."""
        n = int((self.rows[step] >= 0).sum())
        return tuple(mask[..., step, :n, :] for mask in self.masks)


class Batches(Protocol):
    """All epochs of a training; each is drawn when it is asked for, and is the same every time."""

    def __len__(self) -> int: ...

    def __getitem__(self, epoch: int, /) -> Epoch: ...


NATIVE_CURVES: tuple[str, ...] = ("loss", "accuracy")


@dataclass(frozen=True)
class NativeFit:
    """What a framework's own `fit` told about itself: epochs run, and what it logs, one value an epoch from 1.

    `curves` may hold `"loss"` and `"accuracy"`, on the training rows and by the framework's own definition.
    """

    epochs_run: int
    curves: dict[str, list[float]] = field(default_factory=dict)


class Trainer(ABC):
    """One network in one framework. Only workers import an adapter's module, so it may import its framework above.

    `name` is what users write in `backends = [...]`: the name of the entry point. `requires` is a tuple of the import
    names of the packages that the adapter computes with. `arithmetic` is a tuple of functions of theirs, as dotted
    paths, on whose result the training depends: `harness check` replaces each in turn, in its module, by one that is
    1 % off, and expects other weights, in at least one dtype; and in every dtype it expects that of at least one
    function. That shows that the result depends on them, not that it depends on nothing else. They must be looked up
    when they are called (`blas.dgemm(…)`, not a `dgemm` that was imported by name).

    A trainer leaves the process as it is: the states of `random` and `numpy.random`, NumPy's `seterr`, `os.environ`.

    `Weights` are one dict for each layer of `config.network` that owns any array, in their order: a dense layer has
    `"W"` `(n_in, n_out)` and `"b"` `(n_out,)`. Batch normalisation is a layer of its own, behind a dense one that has
    no `"b"`: `"gamma"`, `"beta"`, and the running `"mean"` and `"variance"`, each `(n_out,)`.
    """

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()
    arithmetic: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def unsupported(cls, config: Config) -> str | None:
        """The reason why this backend cannot train `config`, in plain words, or None when it can."""
        return None

    @abstractmethod
    def __init__(self, config: Config, start: Weights | None) -> None:
        """Build the network with the weights of `start`: None before `fit_native`, and before `build_stack`."""

    @abstractmethod
    def train(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterEpoch) -> None:
        """Train for `len(batches)` epochs, or until `after_epoch` returns True. Called once: each training has its own.

        `X` is `(n, n_inputs)` in `config.dtype`; `y` is `(n,)` int64 for the task "multiclass", else `(n, n_outputs)`
        in `config.dtype`. Both are read-only arrays, and so are the rows of the batches. May raise `Diverged`.
        """

    @abstractmethod
    def logits(self, X: np.ndarray) -> np.ndarray:
        """The outputs before their activation, `(n, n_outputs)`, for the weights as they are now, in inference mode.

        Inference mode: nothing is dropped out, and batch normalisation uses the running mean and variance.

        `X` may come in another float dtype than the network's. The outputs may have any float dtype.
        """

    @abstractmethod
    def weights(self) -> Weights:
        """A copy of the weights as they are now, in the contract's shapes and the network's own dtype."""

    @abstractmethod
    def set_weights(self, weights: Weights) -> None:
        """Replace the weights; the optimizer's state stays as it is."""

    def fit_native(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        """Build and train the way the framework's own tutorial would, with the same hyperparameter numbers.

        Raises `NotImplementedError` with the reason for a config that the framework has no idiom of its own for.

        Called on a trainer that was made with `start=None`. The framework's own start, batches and defaults; `seed`
        makes it repeatable. Handed over are hidden layers, activation, optimizer, learning rate, L2, batch size and
        epochs (and momentum, where the optimizer's name asks for it); dtype and other constants only where
        `config.written` names them; never `reduction`. `X` is float64, or `config.dtype` where that is
        written. Afterwards `logits` and `weights` answer. May raise `Diverged`.
        """
        raise NotImplementedError(f"backend {self.name!r} has no native mode")

    def answers(self, X: np.ndarray) -> np.ndarray | None:
        """The class, `(n,)`, that code of its own says of each row when a native fit has left it without numbers.

        None where it says none: an accuracy is then not known.
        """
        return None


_E = TypeVar("_E", bound=Entry)

DECAYS: tuple[str, ...] = tuple(key for key in OPTIMIZER_KEYS if CONSTANTS[key].below == 1)
"""The constants of optimizers that are shares of what was: momentum, beta, rho."""

MEMBER_NUMBERS: tuple[str, ...] = tuple(key for key, each in CONSTANTS.items() if each.member)
"""The numbers in which the members of a stack may differ; beside them their starts and what `written` names."""


def structure_of(config: Config) -> Config:
    """What the members of a stack share: `config` with its member numbers struck out, but for on or off.

    On or off are L1, the dropout of each layer and both kinds of clipping: a stack has a part in all members or in
    none. L2 is everywhere, with 0 for none.
    """
    layers = tuple(map(_struck_out, config.network.layers))
    return replace(
        config,
        network=Network(config.network.input_shape, layers),
        loss=_struck_out(config.loss),
        optimizer=_struck_out(config.optimizer),
        penalty=_struck_out(config.penalty),
        clipping=config.clipping and _struck_out(config.clipping),
        written=frozenset(),
    )


def _struck_out(entry: _E) -> _E:
    """The entry with 0 for each number in which members may differ, or 1 for that of a part that is there."""
    gone = {}
    for each in entry.constants():
        if each.member:
            gone[each.field] = float(each.part and getattr(entry, each.field) > 0)
    return replace(entry, **gone) if gone else entry  # type: ignore[type-var]


def vary(config: Config, **changes: Any) -> Config:
    """The config with other values under some keys of an experiment file; constants that nothing reads are left out."""
    if changes.keys() - _PLAIN:
        return Config.of(**{**config.keys, **changes})
    layers = tuple(layer.with_numbers(changes) for layer in config.network.layers)
    return replace(
        config,
        network=config.network if layers == config.network.layers else Network(config.network.input_shape, layers),
        loss=config.loss.with_numbers(changes),
        optimizer=config.optimizer.with_numbers(changes),
        penalty=config.penalty.with_numbers(changes),
    )


# constants of entries that are there whatever they are; but dropout is a layer, and clipping a part
_PLAIN = CONSTANTS.keys() - {"dropout", *CLIPPINGS}

PLAIN_MEMBER_NUMBERS: tuple[str, ...] = tuple(key for key in MEMBER_NUMBERS if key in _PLAIN)
"""The member numbers of what every training of their optimizer has: no part comes or goes with their value."""


@dataclass(frozen=True)
class StackedBatches:
    """The batches of members that share their rows: learning rates and masks have a leading member axis."""

    members: tuple[Batches, ...]

    def __len__(self) -> int:
        return len(self.members[0])

    def __getitem__(self, epoch: int) -> Epoch:
        drawn = [batches[epoch] for batches in self.members]
        masks = zip(*(each.masks for each in drawn), strict=True)
        return Epoch(drawn[0].rows, np.stack([each.learning_rate for each in drawn]), tuple(map(np.stack, masks)))


class StackTrainer(Trainer):
    """Several networks of one structure, trained at once: a trainer with a leading member axis everywhere.

    A sweep of small networks spends its time in dispatch, not in arithmetic; a stack pays for the dispatch once. Its
    members share the rows of every batch and `structure_of(config)`, and differ in `MEMBER_NUMBERS` and their starts.
    Each must end where it would alone, to rounding, whatever becomes of the others: a member may diverge, and leaves.
    Weights of a stack are `Weights` whose arrays begin with the member axis: `"W"` is `(members, n_in, n_out)`. An
    adapter implements the five methods with `stack` in their names, and is a trainer of one network, too: a stack of
    one. `Diverged` has no place in them: numbers that are not finite are for `after_epoch` to see. `compiles` says
    that each new number of members costs a compilation: a shorter stack is then padded with copies of its last member.
    """

    compiles: ClassVar[bool] = False

    def __init__(self, config: Config, start: Weights | None) -> None:
        self.config = config
        if start is not None:
            self.build_stack((config,), stacked([start]))

    @abstractmethod
    def build_stack(self, configs: Sequence[Config], start: Weights) -> None:
        """Build one network for each of `configs`, whose weights `start` holds along the member axis."""

    @abstractmethod
    def train_stack(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterStackedEpoch) -> None:
        """Train for `len(batches)` epochs, or until all members that are left are told to leave.

        `X`, `y` and the rows of the batches are those of `train`, shared by all members; learning rates and masks
        belong to the members that the stack was built of, in that order, those that have left included. Where
        `after_epoch` gives True the member leaves: it must neither slow nor disturb the others from then on, and
        `stack_weights` and `stack_logits` no longer speak of it. When all that are left are told so, training ends
        and they stay. It is called once.
        """

    @abstractmethod
    def stack_logits(self, X: np.ndarray) -> np.ndarray:
        """The outputs of every member before their activation, `(members, n, n_outputs)`; see `logits`."""

    @abstractmethod
    def stack_weights(self) -> Weights:
        """A copy of the weights of every member that is still in the stack; see `weights`."""

    @abstractmethod
    def set_stack_weights(self, weights: Weights) -> None:
        """Replace the weights, for as many members as `weights` has: all that were built, or those still there.

        After training it makes the stack whole again: members that have left are back, in inference.
        """

    def train(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterEpoch) -> None:  # noqa: D102
        self.train_stack(X, y, StackedBatches((batches,)), lambda epoch: np.array([after_epoch(epoch)]))

    def logits(self, X: np.ndarray) -> np.ndarray:  # noqa: D102
        logits: np.ndarray = self.stack_logits(X)[0]
        return logits

    def weights(self) -> Weights:  # noqa: D102
        return member(self.stack_weights(), 0)

    def set_weights(self, weights: Weights) -> None:  # noqa: D102
        self.set_stack_weights(stacked([weights]))
