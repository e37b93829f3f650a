"""The contract between the harness and a backend: all that the author of an adapter has to read.

A trainer translates one `Config` into one framework, and owns no policy. The harness draws the start and the
batches, says when to stop, computes every metric and takes every time. What each number of a `Config` means is
defined by `harness/reference/trainer.py`, a plain NumPy trainer; an adapter is right when its weights equal those of
the reference to rounding, which `harness check NAME` measures.

Shapes: weights are `(n_in, n_out)`, biases `(n_out,)`, inputs `(n, n_inputs)`. Targets are labels `(n,)`, integers from
0, for the task "multiclass", and `(n, n_outputs)` numbers in the network's dtype for all others.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import numpy as np

Weights = tuple[dict[str, np.ndarray], ...]
"""One dict a layer, first hidden layer first: `"W"` `(n_in, n_out)` and `"b"` `(n_out,)`.

With batch normalisation a hidden layer holds, in place of `"b"`, which it would cancel: `"gamma"`, `"beta"`, and the
running `"mean"` and `"variance"`, each `(n_out,)`.
"""

AfterEpoch = Callable[[int], bool]
"""Called with the number of finished epochs, from 1, once the device has finished; `True` means: stop now."""

AfterStackedEpoch = Callable[[int], np.ndarray]
"""The same for a stack: gives a boolean for each member that is still in it, `(members,)`; `True` means: it leaves."""

TASKS: dict[str, tuple[str, ...]] = {
    "multiclass": ("cross_entropy",),
    "binary": ("binary_cross_entropy",),
    "multilabel": ("binary_cross_entropy",),
    "regression": ("mse", "mae", "huber"),
}
"""Every task, with the losses that it can be trained by; the first is its default."""

OPTIMIZER_CONSTANTS: dict[str, tuple[str, ...]] = {
    "sgd": (),
    "momentum": ("momentum",),
    "nesterov": ("momentum",),
    "adagrad": ("initial_accumulator", "epsilon"),
    "adagrad_momentum": ("momentum", "initial_accumulator", "epsilon"),
    "rmsprop": ("rho", "epsilon"),
    "adam": ("beta_1", "beta_2", "epsilon"),
}
"""Every optimizer of back propagation, with the constants that it reads beside the learning rate."""

ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "identity": (),
    "sigmoid": (),
    "tanh": (),
    "relu": (),
    "leaky_relu": ("leaky_slope",),
    "elu": ("elu_alpha",),
    "selu": (),
    "softplus": (),
}
"""Every activation of a hidden layer, with the constants that it reads."""


def constants_of(optimizer: str, activation: tuple[str, ...]) -> tuple[str, ...]:
    """The constants that a training with this optimizer and these activations reads beside the learning rate."""
    read = (constant for name in activation for constant in ACTIVATIONS[name])
    return tuple(dict.fromkeys((*OPTIMIZER_CONSTANTS.get(optimizer, ()), *read)))


SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
"""The constants of `selu`. Source: Klambauer et al., "Self-normalizing neural networks", 2017."""

OUTPUT_ACTIVATIONS: tuple[str, ...] = ("identity", "relu", "softplus", "sigmoid", "tanh")
"""The activations that the outputs of a regression can have."""

REDUCTIONS: tuple[str, ...] = ("mean", "sum")
DTYPES: tuple[str, ...] = ("float64", "float32")


class Diverged(Exception):
    """Raised by a trainer whose framework refuses to go on with weights that are not finite."""


@dataclass(frozen=True, slots=True)
class Config:
    """One network and one way to train it. Every number is written out; none is a library's default.

    `hidden` gives the units of each hidden layer, `activation` one name for each of them. What stands at the output
    follows from the task: softmax with `cross_entropy` ("multiclass"), a logistic unit an output with
    `binary_cross_entropy` ("binary", "multilabel"), or `output_activation` with `mse`, `mae` or `huber`
    ("regression"). A row's loss is the mean over its outputs; the loss of a batch is the mean over its rows
    (`reduction="mean"`) or the sum ("sum"). To it are added, in either case, `(l2 / 2) * sum(W**2)` and
    `l1 * sum(abs(W))` over the weight matrices, never over biases, gamma or beta.

    With the error `e = o - y`, `mse` is `e**2` (no half), `mae` is `abs(e)`, `huber` is `e**2 / 2` up to `huber_delta`
    and `huber_delta * (abs(e) - huber_delta / 2)` beyond. Derivatives at a kink are the left ones (0 for relu at 0);
    sign(0) is 0 in `mae` and L1.

    With the gradient g (penalties included), the learning rate lr, the step t from 1 and all states from 0:

        sgd               w -= lr*g
        momentum          v = m*v + g; w -= lr*v
        nesterov          v = m*v + g; w -= lr*(g + m*v)
        adagrad           G += g*g; w -= lr*g/(sqrt(G)+eps)
        adagrad_momentum  G += g*g; v = m*v + lr*g/(sqrt(G)+eps); w -= v
        rmsprop           v = rho*v + (1-rho)*g*g; w -= lr*g/(sqrt(v)+eps)
        adam              Kingma and Ba's Algorithm 1: w -= lr*m_hat/(sqrt(v_hat)+eps), both bias-corrected

    where Adagrad's G starts at `initial_accumulator`. `optimizer="perceptron"`, with the loss "perceptron", the output
    "heaviside" and no hidden layer, is the perceptron rule: `w -= lr * x * (step(z) - y)` with targets 0 and 1 and
    step(0) = 0.

    `dropout` holds the rate at which the inputs and then the units of each hidden layer are dropped, or nothing at
    all; what is kept, after the activation, is divided by `1 - rate`. Batch normalisation stands before the activation
    of every hidden layer: `gamma * (z - mean) / sqrt(variance + epsilon) + beta`, in training with the batch's own mean
    and biased variance, otherwise with the running ones, `running = momentum * running + (1 - momentum) * batch`.
    `clip_norm` is `g * min(1, c / norm)`, the norm over all tensors together; `clip_value` bounds each element; None
    leaves the gradient alone. `harness/reference/trainer.py` is all of this, written out.

    `written` names the optional settings that the experiment itself states (such as `"epsilon"` or `"dtype"`). Only
    those are handed to a framework in native mode, where everything unsaid is left to the framework's own default.
    """

    n_inputs: int
    n_outputs: int
    hidden: tuple[int, ...]
    activation: tuple[str, ...]
    optimizer: str
    learning_rate: float
    batch_size: int
    epochs: int
    task: str = "multiclass"
    loss: str = "cross_entropy"
    output_activation: str = "softmax"
    huber_delta: float = 1.0
    reduction: str = "mean"
    leaky_slope: float = 0.01
    elu_alpha: float = 1.0
    l2: float = 0.0
    l1: float = 0.0
    dropout: tuple[float, ...] = ()
    batch_norm: bool = False
    batch_norm_momentum: float = 0.9
    batch_norm_epsilon: float = 1e-5
    clip_norm: float | None = None
    clip_value: float | None = None
    momentum: float = 0.9
    beta_1: float = 0.9
    beta_2: float = 0.999
    rho: float = 0.9
    epsilon: float = 1e-8
    initial_accumulator: float = 0.0
    dtype: str = "float64"
    written: frozenset[str] = field(default=frozenset())

    @property
    def layers(self) -> tuple[int, ...]:
        """Units of every layer, inputs and outputs included: `(64, 50, 10)`."""
        return (self.n_inputs, *self.hidden, self.n_outputs)

    @property
    def dropout_layers(self) -> tuple[int, ...]:
        """Which layers are dropped out, in the order of `Epoch.masks`: 0 are the inputs, 1 the first hidden layer."""
        return tuple(k for k, rate in enumerate(self.dropout) if rate > 0)

    @property
    def regularisation(self) -> tuple[str, ...]:
        """The parts beyond L2 that are in use: of "l1", "dropout", "batch_norm", "clip_norm" and "clip_value"."""
        in_use = {
            "l1": self.l1 > 0,
            "dropout": bool(self.dropout_layers),
            "batch_norm": self.batch_norm,
            "clip_norm": self.clip_norm is not None,
            "clip_value": self.clip_value is not None,
        }
        return tuple(name for name, used in in_use.items() if used)


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

    `Weights` are one dict a layer, first hidden layer first: `"W"` `(n_in, n_out)` and `"b"` `(n_out,)`. With batch
    normalisation a hidden layer holds, in place of `"b"`, `"gamma"`, `"beta"`, and the running `"mean"` and
    `"variance"`, each `(n_out,)`.
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


MEMBER_NUMBERS: tuple[str, ...] = (
    *("learning_rate", "l2", "l1", "dropout", "clip_norm", "clip_value"),
    *("momentum", "beta_1", "beta_2", "rho", "epsilon", "initial_accumulator"),
)
"""The numbers in which the members of a stack may differ; beside them their starts and what `written` names."""


def structure_of(config: Config) -> Config:
    """What the members of a stack share: `config` with `MEMBER_NUMBERS` struck out, but for on or off.

    On or off are L1, the dropout of each layer and both kinds of clipping: a stack has a part in all members or in
    none. L2 is everywhere, with 0 for none.
    """
    shared: dict[str, Any] = {
        **dict.fromkeys(MEMBER_NUMBERS, 0.0),
        "l1": float(config.l1 > 0),
        "dropout": tuple(float(rate > 0) for rate in config.dropout),
        "clip_norm": None if config.clip_norm is None else 1.0,
        "clip_value": None if config.clip_value is None else 1.0,
    }
    return replace(config, **shared, written=frozenset())


def stacked(members: Sequence[Weights]) -> Weights:
    """The weights of several networks of the same shapes, along a leading member axis."""
    layers = zip(*members, strict=True)
    return tuple({key: np.stack([layer[key] for layer in same]) for key in same[0]} for same in layers)


def member(weights: Weights, i: int) -> Weights:
    """The weights of one member of a stack."""
    return tuple({key: value[i] for key, value in layer.items()} for layer in weights)


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
