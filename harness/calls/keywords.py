"""The very lines that each framework is given for a training: its own way, and the harness's. Pure text.

The lines are Python that can be pasted and run. They read `X` `(n, n_inputs)` and `y` as `fit_native` gets them; those
of `controlled_call` as `train` gets them, beside `config`, `start` (weights) and `batches` (epochs).
"""

from collections.abc import Callable

from harness.calls.controlled_calls import CONTROLLED_LINES
from harness.calls.native_calls import NATIVE_LINES, SKLEARN_ACTIVATION
from harness.calls.taken_over import agree
from harness.contract import Config
from harness.registry import native_backends
from harness.support.errors import RequestError, unknown

__all__ = ["agree", "controlled_call", "native_call", "sklearn_lacks"]


def native_call(backend: str, config: Config, seed: int = 0) -> list[str]:
    """What the backend's native way runs for `config`; a comment with the reason where it has no such training."""
    reason = None
    if config.regularisation:
        reason = f"native mode has no {', '.join(config.regularisation)}: it hands over plain hyperparameters only"
    elif config.optimizer == "perceptron":
        reason = "native mode has no perceptron rule: it hands over plain hyperparameters only"
    elif config.optimizer == "adagrad_momentum" and backend != "numpy":
        reason = f"{backend} has no Adagrad with momentum"
    return _lines(NATIVE_LINES, backend, config, reason)(config, seed)


def controlled_call(backend: str, config: Config) -> list[str]:
    """What the backend's adapter runs in controlled mode, helpers of ours among it: `backends/NAME.py` has them."""
    reason = None
    if config.optimizer == "perceptron" and backend != "numpy":
        reason = "the perceptron rule is no gradient descent: its step has no derivative; only numpy has it"
    return _lines(CONTROLLED_LINES, backend, config, reason)(config)


def _lines(
    table: dict[str, Callable[..., list[str]]], backend: str, config: Config, reason: str | None
) -> Callable[..., list[str]]:
    if backend not in table and backend in native_backends():
        return lambda *arguments: [f"# {backend} declares its conventions, and no lines of code"]
    if backend not in table:
        raise RequestError(unknown("backend with declared conventions", backend, table))
    if reason is None and backend == "sklearn":
        reason = sklearn_lacks(config)
    return table[backend] if reason is None else lambda *arguments: [f"# {reason}"]


def sklearn_lacks(config: Config) -> str | None:
    """Why scikit-learn's networks cannot train `config`, or None. The adapter says it in more words."""
    model = "MLPRegressor" if config.task == "regression" else "MLPClassifier"
    lacking = [name for name in config.activation if name not in SKLEARN_ACTIVATION]
    lacking += [config.optimizer] if config.optimizer not in ("sgd", "momentum", "nesterov", "adam") else []
    lacking += [config.loss] if config.loss in ("mae", "huber") else []
    lacking += config.regularisation
    if lacking:
        return f"{model} has no {', '.join(dict.fromkeys(lacking))}"
    if len(set(config.activation)) > 1:
        return f"{model} has one activation for all hidden layers"
    if config.task == "regression" and config.output_activation != "identity":
        return f"{model} has no {config.output_activation} at its outputs"
    if config.task == "multiclass" and config.n_outputs < 3:
        return f"{model} gives two classes one logistic unit, not a softmax over two"
    return None
