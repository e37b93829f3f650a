"""One network and one way to train it, and what follows from the vocabulary for all that reads it by keys."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from inspect import signature
from typing import Any, TypeVar

from harness.network.activations import ACTIVATIONS as BY_NAME
from harness.network.keys import CONSTANTS, DEFAULTS
from harness.network.layers import BatchNorm, Dense, Layer
from harness.network.losses import LOSSES, OUTPUTS, Loss
from harness.network.network import Network, dense_layers
from harness.network.optimizers import OPTIMIZERS, Optimizer
from harness.network.penalties import CLIPPINGS, NO_PENALTY, ClipNorm, Clipping, ClipValue, Penalty
from harness.network.vocabulary import Entry

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
    for name, activation in BY_NAME.items()
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
        hidden: tuple[int, ...] = (),
        activation: tuple[str, ...] = (),
        *,
        optimizer: str,
        learning_rate: float,
        batch_size: int,
        epochs: int,
        layers: tuple[Layer, ...] | None = None,
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
        """A network and one way to train it, from the keys of an experiment file.

        `activation` is one name for each hidden layer; `dropout` holds the rate at which the inputs and then the units
        of each hidden layer are dropped, or nothing at all. Or `layers` are those before the last, the dense one that
        gives the logits; then `hidden`, `activation`, `dropout` and `batch_norm` say nothing. Constants that nothing
        reads are left out. Raises `TypeError` for a key that is none, and for layers that are said twice.
        """
        if unknown := set(constants) - set(DEFAULTS):
            raise TypeError(f"{', '.join(sorted(unknown))}: no constant of the vocabulary")
        if layers is not None and (hidden or activation or dropout or batch_norm):
            raise TypeError("layers: stand in place of hidden, activation, dropout and batch_norm")
        functions = tuple(BY_NAME[name].of(constants) for name in activation)
        norm = BatchNorm.of(constants) if batch_norm and hidden else None
        loss = loss or ("perceptron" if optimizer == "perceptron" else TASKS[task][0])
        output = {}
        if task == "regression" and output_activation is not None:
            output = {"output": BY_NAME[output_activation].of(constants)}
        clipping: Clipping | None = None
        if clip_norm is not None:
            clipping = ClipNorm(clip_norm)
        elif clip_value is not None:
            clipping = ClipValue(clip_value)
        if layers is None:
            layers = dense_layers(tuple(hidden), functions, tuple(dropout), norm)
        return cls(
            network=Network((n_inputs,), (*layers, Dense(n_outputs))),
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
            **(self.network.dense or {"layers": self.network.layers[:-1]}),
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

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What a backend must have to train this, beside penalties: the layers, the loss, what stands at the
        output of a regression, the optimizer, and clipping."""
        output = (self.loss.output,) if self.task == "regression" else ()
        clipping = () if self.clipping is None else (self.clipping,)
        return (*self.network.layers, self.loss, *output, self.optimizer, *clipping)

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
