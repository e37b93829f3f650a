"""What a backend declares of its native way: values of the conventions table, each with where it is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.contract import Config
from harness.conventions.table import CONSTANTS, Row, family
from harness.support.errors import RequestError, describe, short


@dataclass(frozen=True)
class Untold:
    """A value that the table does not have: `says` is its formula.

    It is shown, never switched, and what it does is left in the remainder of an explanation.
    """

    says: str

    def __str__(self) -> str:
        return self.says


@dataclass(frozen=True)
class Declared:
    """What one backend's native way uses: the value, or a rule that gives it for a config, and where that is written.

    `source` is the file of the library (or of ours, for the codes that we wrote down ourselves) that shows it, or
    several of one folder, and behind a colon the names to look for in it: "torch/optim/adam.py, sgd.py: lr". `says` is
    how the value reads where it depends on the config.
    """

    value: Any
    source: str
    says: str = ""

    def __post_init__(self) -> None:
        """Raise `TypeError` for what is no text."""
        for name, text in (("source", self.source), ("says", self.says)):
            if not isinstance(text, str):
                raise TypeError(f"Declared: {name} = {short(text)}: must be a text")

    def at(self, config: Config) -> Any:
        """The value for one config."""
        return self.value(config) if callable(self.value) else self.value

    @property
    def files(self) -> tuple[str, ...]:
        """The files of `source`, each with its folder."""
        first, *others = self.source.partition(":")[0].split(", ")
        folder = first.rpartition("/")[0]
        return (first, *(f"{folder}/{other}" for other in others))

    def __str__(self) -> str:
        return self.says or str(self.value)


def momentum_default(default: float) -> Callable[[Config], float]:
    """What momentum is under a framework whose plain SGD has `default`."""
    return lambda config: config.value("momentum") if config.optimizer.name != "sgd" else default


def nesterov_default(default: bool) -> Callable[[Config], bool]:
    """Whether momentum is Nesterov's under a framework whose plain SGD has `default`."""
    return lambda config: config.optimizer.name == "nesterov" or (config.optimizer.name == "sgd" and default)


def half_squares(config: Config) -> str:
    """How the loss sums over the outputs where squared errors are halved."""
    return "half sum" if config.loss.name == "mse" else "sum"


# The harness takes every metric itself, from the logits; what a framework logs on the way is `logged_loss`.
METRICS = {
    "accuracy": Declared("argmax", "harness/training/metrics.py: predicted"),
    "auc": Declared("scores", "harness/training/metrics.py: roc_auc"),
    "metric_rows": Declared("test", "harness/training/metrics.py: evaluate"),
}
"""What the harness measures of every backend alike."""


def _value(name: str, entry: Declared, config: Config) -> Any:
    try:
        return entry.at(config)
    except Exception as error:  # of somebody else's rule
        raise RequestError(f"the rule of {name} fails: {describe(error)}") from None


def untold_in(declared: Mapping[str, Declared], config: Config) -> dict[str, str]:
    """The conventions whose values for `config` the table does not have, with their formulas."""
    given = {name: _value(name, entry, config) for name, entry in declared.items()}
    return {name: value.says for name, value in given.items() if isinstance(value, Untold)}


def row_from(declared: Mapping[str, Declared], config: Config) -> Row:
    """The row that these declarations make for `config`, with the harness's own for what is `Untold`.

    A constant that the experiment writes is handed over, and so stands in for the framework's own default. Raises
    `RequestError` for a rule that fails, and for a word that is none.
    """
    given = {name: _value(name, entry, config) for name, entry in declared.items()}
    values = {name: value for name, value in given.items() if not isinstance(value, Untold)}
    written = {name: config.value(name) for name in (*CONSTANTS, "dtype") if name in config.written}
    if config.optimizer.name == "sgd":
        written.pop("momentum", None)  # plain SGD reads none, and none is handed over
    plain = {"momentum": momentum_default(0.0)(config), "nesterov": nesterov_default(False)(config)}
    return Row(**{**plain, "optimizer": family(config.optimizer.name), **values, **written})
