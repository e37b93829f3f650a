"""A backend on its way to another row of the conventions table."""

from dataclasses import dataclass

from harness.contract import Config
from harness.conventions.table import GIVEN, Row

L2 = ("l2_factor", "l2_divisor", "l2_tensors", "l2_form")
FORMS = ("momentum_form", "epsilon_place", "bias_correction", "moments_reset", "accumulator")
NUMBERS = ("learning_rate", "optimizer", "momentum", "nesterov", "beta_1", "beta_2", "rho", "epsilon")
OPTIMIZER = (*NUMBERS, "initial_accumulator", *FORMS)


@dataclass(frozen=True)
class Switch:
    """From the row `own` to `row`, which differ in `changed`; both read `config`."""

    own: Row
    row: Row
    changed: frozenset[str]
    config: Config

    @property
    def batch(self) -> str:
        """The rows of a batch, as code."""
        size = self.config.batch_size if self.row.batch_size == GIVEN else self.row.batch_size
        even = f"(len(X) // (len(X) // {self.config.batch_size}))"
        return {"min(200, n)": "min(200, len(X))", "n": "len(X)", "n // (n // b)": even}.get(str(size), str(size))

    @property
    def epochs(self) -> int:
        """Epochs under the row."""
        return int(self.config.epochs if self.row.epochs == GIVEN else self.row.epochs)

    @property
    def learning_rate(self) -> float:
        """The learning rate under the row."""
        return float(self.config.optimizer.learning_rate if self.row.learning_rate == GIVEN else self.row.learning_rate)

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of the hidden layers under the row."""
        return self.config.network.dense["hidden"] if isinstance(self.row.hidden, str) else self.row.hidden

    @property
    def kind(self) -> str:
        """The experiment's name of the optimizer that the row has."""
        if self.row.optimizer != "sgd" or self.row.momentum == 0:
            return self.row.optimizer
        return "nesterov" if self.row.nesterov else "momentum"
