"""Every way in which frameworks read the same hyperparameters differently, as one table.

A `Row` holds one value for each convention, and with it says completely how a `Config` is trained. The harness has a
row of its own (`controlled_row`); `native.py` holds one for every backend, the way its users write it, and
`profiles.py` those of some course codes. `harness/replay` trains under any of them. What two rows have in common cannot
be what makes two trainings differ.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.contract import ACTIVATIONS, OPTIMIZER_CONSTANTS, OPTIMIZER_KEYS, Config
from harness.draws.starts import parse_law
from harness.support.errors import RequestError, unknown

GIVEN = "given"
"""The value of a convention that is a default: the experiment's own number is handed over."""

DENOMINATOR, LOG_OF_P, UNSHIFTED, NAN_FIRST = "denominator + 1e-9", "log(p + 1e-9)", "unshifted", "argmax over NaN"
"""Values of `probabilities` and of `accuracy` that more than one file speaks of."""


@dataclass(frozen=True)
class Row:
    """A value for every convention. The defaults are the harness's own, `controlled` mode.

    `hidden`, `activation`, `epochs`, `learning_rate` and `batch_size` are "given" unless a code has its own.
    `optimizer` is "sgd" for all three of plain SGD, momentum and Nesterov: `momentum` and `nesterov` tell them apart.
    """

    hidden: tuple[int, ...] | str = GIVEN
    activation: str = GIVEN
    epochs: int | str = GIVEN
    learning_rate: float | str = GIVEN
    batch_size: int | str = GIVEN
    init: str = "glorot_uniform"
    bias: float | str = 0.0
    batches: str = "permutation"
    n_batches: int | None = None
    last_batch: str = "keep"
    reduction: str = "mean"
    outputs: str = "mean"
    probabilities: str = "logits"
    l2_factor: str = "half"
    l2_divisor: str = "none"
    l2_tensors: str = "weights"
    l2_form: str = "coupled"
    update_order: str = "after"
    optimizer: str = "sgd"
    momentum: float = 0.0
    nesterov: bool = False
    momentum_form: str = "outside"
    beta_1: float = 0.9
    beta_2: float = 0.999
    rho: float = 0.9
    epsilon: float = 1e-8
    epsilon_place: str = "outside"
    bias_correction: str = "step"
    moments_reset: str = "never"
    initial_accumulator: float = 0.0
    accumulator: str = "weight"
    bias_unit: float = 1.0
    leaky_slope: float = 0.01
    elu_alpha: float = 1.0
    softplus_threshold: float | None = None
    dtype: str = "float64"
    constants: str = "exact"
    stop: str = "never"
    accuracy: str = "argmax"
    auc: str = "scores"
    metric_rows: str = "test"
    logged_loss: str = "without penalty"

    def __post_init__(self) -> None:
        """Raise `RequestError` for a word that a convention does not know."""
        for name, allowed in _WORDS.items():
            if (value := getattr(self, name)) not in allowed:
                raise RequestError(unknown(CONVENTIONS[name].title, value, allowed))
        for name in ("init", "bias"):
            if isinstance(law := getattr(self, name), str) and law != "as_weights":
                try:
                    parse_law(law)
                except ValueError as error:
                    raise RequestError(f"{CONVENTIONS[name].title}: {error}") from None


@dataclass(frozen=True)
class Convention:
    """One line of the table.

    `values` gives each value that it can take with its formula; a convention that is a number or a law has one entry,
    under the name of what stands for the value. `phase` is where in a step it shows first: "start", "order", "forward",
    "loss", "gradient", "state", "update", "stop" or "metric". `applies` says whether it has any effect on a training of
    `config` under a row.
    """

    name: str
    title: str
    phase: str
    values: Mapping[str, str]
    applies: Callable[[Config, Row], bool] = lambda config, row: True

    def formula(self, value: Any) -> str:
        """What a value means: its own entry, that of its law, or that of all numbers; "" for what is none of these."""
        text = str(value)
        if text in self.values:
            return self.values[text]
        law = next((key for key in self.values if "(" in text and key.startswith(text.partition("(")[0] + "(")), None)
        if law is None and _is_number(text):
            law = "number"
        if law is None and (isinstance(value, tuple) or text in ACTIVATIONS or text in OPTIMIZER_CONSTANTS):
            law = next(iter(self.values))
        return self.values.get(law, "") if law else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _adaptive(config: Config, row: Row) -> bool:
    return row.optimizer in ("adagrad", "adagrad_momentum", "rmsprop", "adam")


def _adam(config: Config, row: Row) -> bool:
    return row.optimizer == "adam"


def _adagrad(config: Config, row: Row) -> bool:
    return row.optimizer.startswith("adagrad")


def _penalised(config: Config, row: Row) -> bool:
    return config.penalty.l2 > 0


def _heavy(config: Config, row: Row) -> bool:
    return row.momentum > 0 and row.optimizer in ("sgd", "adagrad_momentum")


def _probabilities(config: Config, row: Row) -> bool:
    own = row.probabilities in ("logits", LOG_OF_P) or config.loss.name == "cross_entropy"
    return own and config.loss.name in ("cross_entropy", "binary_cross_entropy")


def _biases(config: Config, row: Row) -> bool:
    return not config.network.dense["batch_norm"] or not activations_under(config, row)


def _logged(config: Config, row: Row) -> bool:
    return config.penalty.l2 > 0 or row.logged_loss == "answers"


def _has(activation: str) -> Callable[[Config, Row], bool]:
    return lambda config, row: activation in activations_under(config, row)


def family(optimizer: str) -> str:
    """`Row.optimizer`: what an optimizer of the experiment is, apart from its momentum."""
    return "sgd" if optimizer in ("sgd", "momentum", "nesterov", "perceptron") else optimizer


_TABLE = (
    Convention("hidden", "hidden layers", "start", {"(units, …)": "units of each hidden layer"}),
    Convention("activation", "activation", "forward", {"name": "a = name(z) in every hidden layer"}),
    Convention("epochs", "epochs", "stop", {"number": "how often the training rows are gone through"}),
    Convention("learning_rate", "learning-rate default", "update", {"number": "used where none is given"}),
    Convention(
        "batch_size",
        "batch-size default",
        "order",
        {
            "number": "rows of a batch",
            "min(200, n)": "the smaller of 200 and the training rows",
            "n": "all rows",
            "n // (n // b)": "n // b batches of equal length, b the rows that are given",
        },
    ),
    Convention(
        "init",
        "start of the weights",
        "start",
        {
            "glorot_uniform": "U(-a, a), a = sqrt(6 / (n_in + n_out))",
            "sklearn_uniform": "U(-a, a), a = sqrt(2 / (n_in + n_out))",
            "torch_uniform": "U(-a, a), a = 1 / sqrt(n_in)",
            "normal(s)": "N(0, s²)",
            "truncated_normal(s)": "N(0, s²), cut at 2 s",
        },
    ),
    Convention(
        "bias",
        "start of the biases",
        "start",
        {
            "number": "b = number",
            "as_weights": "U(-a, a) with the a of the layer's weights",
            "torch_uniform": "U(-a, a), a = 1 / sqrt(n_in)",
            "normal(s)": "N(0, s²)",
        },
    ),
    Convention(
        "batches",
        "how batches are drawn",
        "order",
        {
            "permutation": "a new order of all rows each epoch, cut into batches",
            "independent": "each batch drawn without replacement, whatever the others hold",
            "replacement": "each batch drawn with replacement",
            "in_order": "rows in the order of the file",
            "one_permutation": "one order of all rows, drawn before the training, then always that one",
            "bootstrap": "n rows drawn with replacement before the training, then always in that order",
            "skipping": "consecutive slices, one row left out after each",
        },
    ),
    Convention("n_batches", "number of batches", "order", {"number": "in place of a batch size", "None": "batch_size"}),
    Convention(
        "last_batch",
        "last batch",
        "order",
        {
            "keep": "a shorter one is kept",
            "drop": "left out",
            "merge": "the last batch takes what is left",
            "drop stride": "left out, and a whole one too that has no row behind it for skipping",
        },
    ),
    Convention(
        "reduction",
        "loss over the rows",
        "loss",
        {"mean": "sum over rows / n", "sum": "sum over rows", "mean of n + 1": "sum over rows / (n + 1)"},
    ),
    Convention(
        "outputs",
        "loss over the outputs",
        "loss",
        {"mean": "mean over outputs", "sum": "sum over outputs", "half sum": "half the sum over outputs"},
        lambda config, row: (
            config.loss.name != "cross_entropy" and (config.network.n_outputs > 1 or config.loss.name == "mse")
        ),
    ),
    Convention(
        "probabilities",
        "what the loss is computed from",
        "loss",
        {
            "logits": "log-sum-exp of the logits",
            DENOMINATOR: "p = e / (sum(e) + 1e-9), e = exp(z - max z), gradient p - y",
            "clipped 1e-7": "softmax first, then p cut to [1e-7, 1 - 1e-7]: no gradient where it is cut",
            LOG_OF_P: "loss of p + 1e-9 and 1 - p + 1e-9, and its gradient, which is not p - y",
            UNSHIFTED: "p = exp(z) / sum(exp(z)), gradient p - y: NaN where exp(z) overflows",
        },
        _probabilities,
    ),
    Convention(
        "l2_factor",
        "L2 with a half",
        "loss",
        {"half": "(l2/2) sum(W²): gradient l2 W", "full": "l2 sum(W²): gradient 2 l2 W"},
        _penalised,
    ),
    Convention(
        "l2_divisor",
        "L2 divided by the rows",
        "loss",
        {"none": "as it is", "rows of the batch": "penalty / n of the batch"},
        _penalised,
    ),
    Convention(
        "l2_tensors",
        "what L2 penalises",
        "loss",
        {
            "weights": "all W",
            "weights and biases": "all W and b",
            "hidden": "all W but that of the last layer",
            "nothing": "the code has no L2",
        },
        _penalised,
    ),
    Convention(
        "l2_form",
        "L2 in the gradient or beside it",
        "update",
        {
            "coupled": "g + l2 W is what the optimizer sees, clipped where gradients are",
            "after clipping": "clip(g) + l2 W is what the optimizer sees",
            "decoupled": "W -= lr l2 W, apart from the optimizer",
        },
        _penalised,
    ),
    Convention(
        "update_order",
        "when a layer is updated",
        "gradient",
        {
            "after": "all layers, when all gradients are known",
            "during": "each, from the last, when its gradient is known: errors go back through new W",
        },
        lambda config, row: bool(activations_under(config, row)),
    ),
    Convention("optimizer", "optimizer", "update", {"name": "sgd, adagrad, adagrad_momentum, rmsprop or adam"}),
    Convention(
        "momentum",
        "momentum",
        "state",
        {"number": "m in v = m v + g; 0 is plain SGD"},
        lambda config, row: row.optimizer in ("sgd", "adagrad_momentum"),
    ),
    Convention(
        "nesterov",
        "Nesterov's momentum",
        "update",
        {"False": "w -= lr v", "True": "w -= lr (g + m v)"},
        lambda config, row: row.optimizer == "sgd" and row.momentum > 0,
    ),
    Convention(
        "momentum_form",
        "where momentum has the learning rate",
        "state",
        {
            "outside": "v = m v + g; w -= lr v",
            "inside": "v = m v - lr g; w += v",
            "dampened": "v = m v + (1 - m) g; w -= lr v",
        },
        _heavy,
    ),
    Convention("beta_1", "Adam's beta_1", "state", {"number": "m = beta_1 m + (1 - beta_1) g"}, _adam),
    Convention("beta_2", "Adam's beta_2", "state", {"number": "v = beta_2 v + (1 - beta_2) g²"}, _adam),
    Convention(
        "rho",
        "RMSprop's rho",
        "state",
        {"number": "v = rho v + (1 - rho) g²"},
        lambda config, row: row.optimizer == "rmsprop",
    ),
    Convention("epsilon", "size of epsilon", "update", {"number": "eps"}, _adaptive),
    Convention(
        "epsilon_place",
        "place of epsilon",
        "update",
        {
            "outside": "sqrt(v) + eps; in Adam sqrt(v_hat) + eps",
            "hat": "Adam's shorter form: lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + eps)",
            "inside": "sqrt(v + eps); in Adam sqrt(v_hat + eps)",
        },
        _adaptive,
    ),
    Convention(
        "bias_correction",
        "Adam's bias correction",
        "update",
        {"step": "1 - beta^t, t the step", "epoch": "1 - beta^t, t the epoch", "none": "none"},
        _adam,
    ),
    Convention(
        "moments_reset",
        "moments reset",
        "state",
        {"never": "kept for the whole training", "epoch": "m, v and G start anew with every epoch"},
        _adaptive,
    ),
    Convention("initial_accumulator", "Adagrad's first accumulator", "state", {"number": "G before step 1"}, _adagrad),
    Convention(
        "accumulator",
        "Adagrad's accumulators",
        "state",
        {"weight": "G += g², one a weight", "row": "G += sum over the row of W of g²; one for all of b"},
        _adagrad,
    ),
    Convention(
        "bias_unit",
        "what a bias counts for",
        "forward",
        {"number": "z = a W + number b, with the gradient of z = a W + b for b"},
        _biases,
    ),
    Convention(
        "leaky_slope", "slope of leaky ReLU", "forward", {"number": "a = slope z for z <= 0"}, _has("leaky_relu")
    ),
    Convention("elu_alpha", "alpha of ELU", "forward", {"number": "a = alpha (exp(z) - 1) for z <= 0"}, _has("elu")),
    Convention(
        "softplus_threshold",
        "threshold of softplus",
        "forward",
        {"None": "log(1 + exp(z))", "number": "a = z where z is above it"},
        _has("softplus"),
    ),
    Convention("dtype", "dtype", "start", {"float64": "53 bits", "float32": "24 bits"}),
    Convention(
        "constants",
        "dtype of the constants",
        "state",
        {
            "exact": "every constant in the dtype of the weights",
            "float32": "l2, momentum, beta in beta^t, first G and leaky slope go through float32",
            "float32 rate": "as float32, but with the learning rate in place of l2",
        },
        # in float32 it is Adam's 1 - beta^t alone that it changes, by 1e-5
        lambda config, row: row.dtype == "float64" or row.optimizer == "adam",
    ),
    Convention(
        "stop",
        "early stop",
        "stop",
        {
            "never": "all epochs",
            "tolerance": "after more than 10 epochs in a row whose loss, with L2, is not 1e-4 below the best",
        },
    ),
    Convention(
        "accuracy",
        "accuracy",
        "metric",
        {
            "argmax": "the share of rows whose largest output is the right one",
            NAN_FIRST: "the same, where NaN is larger than all: class 0, where every p is NaN",
            "thresholded": "the share of entries of the one-hot targets that p > 0.5 meets",
        },
        lambda config, row: config.task == "multiclass",
    ),
    Convention(
        "auc",
        "ROC AUC",
        "metric",
        {"scores": "from the probabilities", "labels": "from the answers 0 and 1"},
        lambda config, row: config.task == "binary",
    ),
    Convention("metric_rows", "rows of the metrics", "metric", {"test": "test rows", "training": "training rows"}),
    Convention(
        "logged_loss",
        "logged loss",
        "metric",
        {
            "without penalty": "the data's loss alone",
            "with penalty": "L2 is added",
            "answers": "after the epoch, without L2; of classes that of 1 where p > 0.5, else 0",
        },
        _logged,
    ),
)

CONVENTIONS: dict[str, Convention] = {convention.name: convention for convention in _TABLE}
"""The table, in the order of a training: by name."""

_NUMBERS = {"hidden", "epochs", "learning_rate", "batch_size", "init", "bias", "n_batches", "nesterov"}
_WORDS: dict[str, tuple[str, ...]] = {
    name: tuple(convention.values)
    for name, convention in CONVENTIONS.items()
    if "number" not in convention.values and name not in _NUMBERS
}
_WORDS |= {
    "activation": (GIVEN, *ACTIVATIONS),
    "optimizer": tuple({family(name): name for name in OPTIMIZER_CONSTANTS}),
}
"""Convention -> the words that it takes, where it takes words only."""


_CAST = ("momentum", "beta_1", "beta_2", "initial_accumulator", "leaky_slope")
THROUGH_FLOAT32: dict[str, tuple[str, ...]] = {
    "exact": (),
    "float32": ("l2", *_CAST),
    "float32 rate": ("learning_rate", *_CAST),
}
"""Value of the convention `constants` -> the numbers that are rounded to float32 before they meet float64 tensors."""

CONSTANTS = (*OPTIMIZER_KEYS, *dict.fromkeys(key for keys in ACTIVATIONS.values() for key in keys))
"""The conventions that are constants of an optimizer or an activation: an experiment may write them."""


def activations_under(config: Config, row: Row) -> tuple[str, ...]:
    """The activation of each hidden layer; where a row has more layers than the config, the last one's goes on."""
    layers = len(config.network.dense["hidden"] if row.hidden == GIVEN else row.hidden)
    if row.activation != GIVEN:
        return (row.activation,) * layers
    last = config.network.dense["activation"][-1] if config.network.dense["activation"] else "sigmoid"
    return (*config.network.dense["activation"][:layers], *[last] * (layers - len(config.network.dense["activation"])))
