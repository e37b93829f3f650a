"""The contract between the harness and a backend: all that the author of an adapter has to read.

A trainer translates one `Config` into one framework, and owns no policy. The harness draws the start and the
batches, says when to stop, computes every metric and takes every time. What each number of a `Config` means is
defined by `harness/reference/trainer.py`, a plain NumPy trainer; an adapter is right when its weights equal those of
the reference to rounding, which `harness check NAME` measures.

Shapes: weights are `(n_in, n_out)`, biases `(n_out,)`, inputs `(n, n_inputs)`. Targets are labels `(n,)`, integers from
0, for the task "multiclass", and `(n, n_outputs)` numbers in the network's dtype for all others.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np

from harness.network.config import ACTIVATIONS as ACTIVATIONS
from harness.network.config import DECAYS as DECAYS
from harness.network.config import DTYPES as DTYPES
from harness.network.config import KEYS as KEYS
from harness.network.config import MEMBER_NUMBERS as MEMBER_NUMBERS
from harness.network.config import OPTIMIZER_CONSTANTS as OPTIMIZER_CONSTANTS
from harness.network.config import OPTIMIZER_KEYS as OPTIMIZER_KEYS
from harness.network.config import OUTPUT_ACTIVATIONS as OUTPUT_ACTIVATIONS
from harness.network.config import PLAIN_MEMBER_NUMBERS as PLAIN_MEMBER_NUMBERS
from harness.network.config import REDUCTIONS as REDUCTIONS
from harness.network.config import TASKS as TASKS
from harness.network.config import Config as Config
from harness.network.config import constants_of as constants_of
from harness.network.config import structure_of as structure_of
from harness.network.config import vary as vary
from harness.network.vocabulary import Entry
from harness.network.weights import Weights as Weights
from harness.network.weights import member as member
from harness.network.weights import stacked as stacked

AfterEpoch = Callable[[int], bool]
"""Called with the number of finished epochs, from 1, once the device has finished; `True` means: stop now."""

AfterStackedEpoch = Callable[[int], np.ndarray]
"""The same for a stack: gives a boolean for each member that is still in it, `(members,)`; `True` means: it leaves."""


class Diverged(Exception):
    """Raised by a trainer whose framework refuses to go on with weights that are not finite."""


@dataclass(frozen=True)
class Epoch:
    """What the harness drew for one epoch.

    `rows` is `(steps, batch)` int64: the rows of the training set that each step sees, padded at the end of a step
    with -1 where its batch is shorter. `learning_rate` is `(steps,)`, the schedule already evaluated. `masks` holds
    one `(steps, batch, units)` boolean array for each of `Network.dropouts`: a unit is kept where it is True.

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

    `vocabulary` are the classes of layers, losses, optimizers and clipping that it has (`harness.network`), such as the
    keys of the tables by which it builds them; a layer of somebody else's package may bring its part along
    (`Layer.parts`). One that says none is handed networks of `config.network.dense` alone: dense layers in a row.
    `native_vocabulary` is what its native way has, where that is not the same. `modes` are those that it is for.

    A trainer leaves the process as it is: the states of `random` and `numpy.random`, NumPy's `seterr`, `os.environ`,
    and the framework's own global `switches`: dotted paths of what reads them, functions or values.

    `Weights` are one dict for each layer of `config.network` that owns any array, in their order: a dense layer has
    `"W"` `(n_in, n_out)` and `"b"` `(n_out,)`. Batch normalisation is a layer of its own, behind a dense one that has
    no `"b"`: `"gamma"`, `"beta"`, and the running `"mean"` and `"variance"`, each `(n_out,)`.
    """

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()
    arithmetic: ClassVar[tuple[str, ...]] = ()
    vocabulary: ClassVar[Collection[type[Entry]]] = ()
    native_vocabulary: ClassVar[Collection[type[Entry]] | None] = None
    modes: ClassVar[tuple[str, ...]] = ("controlled", "native")
    switches: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def refuses(cls, config: Config, mode: str = "controlled") -> str | None:
        """The reason why the harness does not hand it `config`: its own, or a part of the network that it lacks."""
        if mode not in cls.modes:
            return f"{cls.name} has no mode {mode}: it is for mode {' and '.join(cls.modes)}"
        native, network = mode == "native", config.network
        if not cls.vocabulary and not network.dense:
            return f"{cls.name} has no list of layers: it trains what hidden and activation can write"
        known = cls.native_vocabulary if native and cls.native_vocabulary is not None else cls.vocabulary
        own = cls.unsupported(config)
        if own is not None or not known:
            return own
        lacking = [each.name for each in config.entries if type(each) not in known and cls.name not in each.parts]
        told = f"{cls.name} has no {', '.join(dict.fromkeys(lacking))}"
        return f"{told}{' of its own' if native else ''}" if lacking else None

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
