"""What each backend's native way declares: the row of the conventions table that its users' few lines follow."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.conventions import CONSTANTS, GIVEN, Row, family
from harness.errors import RequestError, unknown
from harness.trainer import Config


@dataclass(frozen=True)
class Declared:
    """What one backend's native way uses: the value, or a rule that gives it for a config, and where that is written.

    `source` is the file of the library (or of ours, for the codes that we wrote down ourselves) that shows it.
    """

    value: Any
    source: str
    says: str = ""

    def at(self, config: Config) -> Any:
        """The value for one config."""
        return self.value(config) if callable(self.value) else self.value

    def __str__(self) -> str:
        return self.says or str(self.value)


def _momentum(default: float) -> Callable[[Config], float]:
    """What momentum is under a framework whose plain SGD has `default`."""
    return lambda config: config.momentum if config.optimizer != "sgd" else default


def _nesterov(default: bool) -> Callable[[Config], bool]:
    return lambda config: config.optimizer == "nesterov" or (config.optimizer == "sgd" and default)


_MLP = "sklearn/neural_network/_multilayer_perceptron.py"
_SKLEARN = {
    "init": Declared(
        lambda config: "sklearn_uniform" if "sigmoid" in config.activation else "glorot_uniform",
        f"{_MLP}: _init_coef",
        "sklearn_uniform for sigmoid, else glorot_uniform",
    ),
    "bias": Declared("as_weights", f"{_MLP}: _init_coef"),
    "batches": Declared("permutation", f"{_MLP}: _fit_stochastic"),
    "batch_size": Declared(GIVEN, f"{_MLP}: _fit_stochastic", "min(200, n) unless given"),
    "learning_rate": Declared(GIVEN, f"{_MLP}: MLPClassifier", "0.001 unless given"),
    "outputs": Declared(
        lambda config: "half sum" if config.loss == "mse" else "sum",
        "sklearn/neural_network/_base.py: squared_loss, binary_log_loss",
        "half sum for squared errors, else sum",
    ),
    "l2_divisor": Declared("rows of the batch", f"{_MLP}: _compute_loss_grad"),
    "momentum": Declared(_momentum(0.9), f"{_MLP}: MLPClassifier", "0.9 unless given"),
    "nesterov": Declared(
        _nesterov(True),
        f"{_MLP}: MLPClassifier",
        "True, for sgd too",
    ),
    "momentum_form": Declared("inside", "sklearn/neural_network/_stochastic_optimizers.py: SGDOptimizer"),
    "epsilon_place": Declared("hat", "sklearn/neural_network/_stochastic_optimizers.py: AdamOptimizer"),
    "stop": Declared("tolerance", f"{_MLP}: _update_no_improvement_count"),
    "logged_loss": Declared("with penalty", f"{_MLP}: _backprop"),
}

_KERAS_OPTIMIZERS = {
    "learning_rate": Declared(GIVEN, "keras/src/optimizers/adam.py, sgd.py", "0.001, for sgd 0.01, unless given"),
    "momentum": Declared(_momentum(0.0), "keras/src/optimizers/sgd.py", "0 unless given"),
    "momentum_form": Declared("inside", "keras/src/optimizers/sgd.py: update_step"),
    "epsilon": Declared(1e-7, "keras/src/optimizers/adam.py, adagrad.py, rmsprop.py"),
    "epsilon_place": Declared(
        lambda config: "hat" if config.optimizer == "adam" else "inside",
        "keras/src/optimizers/adam.py, adagrad.py, rmsprop.py: update_step",
        "hat in Adam, inside in Adagrad and RMSprop",
    ),
    "initial_accumulator": Declared(0.1, "keras/src/optimizers/adagrad.py"),
}
_KERAS = {
    "batch_size": Declared(GIVEN, "keras/src/backend/tensorflow/trainer.py: fit", "32 unless given"),
    "init": Declared("glorot_uniform", "keras/src/layers/core/dense.py"),
    "bias": Declared(0.0, "keras/src/layers/core/dense.py"),
    "batches": Declared("permutation", "keras/src/trainers/data_adapters/array_data_adapter.py"),
    "l2_factor": Declared("full", "keras/src/regularizers/regularizers.py: L2"),
    **_KERAS_OPTIMIZERS,
    "leaky_slope": Declared(0.2, "keras/src/activations/activations.py: leaky_relu"),
    "dtype": Declared("float32", "keras/src/backend/config.py: floatx"),
    "constants": Declared("float32", "keras/src/backend/tensorflow/core.py: convert_to_tensor"),
    "logged_loss": Declared("with penalty", "keras/src/trainers/trainer.py: compute_loss"),
}
_TENSORFLOW = {
    "init": Declared("truncated_normal(0.1)", "backends/tensorflow.py: fit_native"),
    "bias": Declared(0.1, "backends/tensorflow.py: fit_native"),
    "batches": Declared("independent", "backends/tensorflow.py: fit_native"),
    "last_batch": Declared("drop", "backends/tensorflow.py: fit_native"),
    "l2_factor": Declared("half", "tensorflow/python/ops/nn_ops.py: l2_loss"),
    **_KERAS_OPTIMIZERS,
    "leaky_slope": Declared(0.2, "tensorflow/python/ops/nn_ops.py: leaky_relu"),
    "dtype": Declared("float32", "tensorflow/python/framework/constant_op.py"),
    "constants": Declared("float32", "keras/src/backend/tensorflow/core.py: convert_to_tensor"),
    "logged_loss": Declared("with penalty", "backends/tensorflow.py: fit_native"),
}
_TORCH = {
    "init": Declared("torch_uniform", "torch/nn/modules/linear.py: reset_parameters"),
    "bias": Declared("as_weights", "torch/nn/modules/linear.py: reset_parameters"),
    "batches": Declared("permutation", "torch/utils/data/sampler.py: RandomSampler"),
    "l2_tensors": Declared("weights and biases", "torch/optim/sgd.py: weight_decay"),
    "learning_rate": Declared(GIVEN, "torch/optim/adam.py, sgd.py", "0.001 unless given"),
    "momentum": Declared(_momentum(0.0), "torch/optim/sgd.py", "0 unless given"),
    "epsilon": Declared(
        lambda config: 1e-10 if config.optimizer == "adagrad" else 1e-8,
        "torch/optim/adam.py, rmsprop.py, adagrad.py",
        "1e-8, in Adagrad 1e-10",
    ),
    "rho": Declared(0.99, "torch/optim/rmsprop.py: alpha"),
    "leaky_slope": Declared(0.01, "torch/nn/modules/activation.py: LeakyReLU"),
    "softplus_threshold": Declared(20.0, "torch/nn/modules/activation.py: Softplus"),
    "dtype": Declared("float32", "torch/_tensor.py: get_default_dtype"),
}
_NUMPY = {
    "init": Declared("normal(1)", "backends/lecture.py: NeuralNetwork"),
    "bias": Declared(0.01, "backends/lecture.py: NeuralNetwork"),
    "batches": Declared("independent", "backends/lecture.py: train"),
    "last_batch": Declared("drop", "backends/lecture.py: train"),
    "reduction": Declared("sum", "backends/lecture.py: back_propagation"),
    "outputs": Declared(
        lambda config: "half sum" if config.loss == "mse" else "sum",
        "backends/lecture.py: output_error",
        "half sum for squared errors, else sum",
    ),
}

NATIVE: dict[str, dict[str, Declared]] = {
    "numpy": _NUMPY,
    "sklearn": _SKLEARN,
    "tensorflow": _TENSORFLOW,
    "keras": _KERAS,
    "torch": _TORCH,
}
"""What each backend's native way declares; whatever it leaves out is as in `Row`."""


def native_row(backend: str, config: Config) -> Row:
    """The row that one backend's native way declares for `config`; `RequestError` where it declares none.

    A constant that the experiment writes is handed over, and so stands in for the framework's own default.
    """
    if backend not in NATIVE:
        raise RequestError(unknown("backend with declared conventions", backend, NATIVE))
    declared = {name: entry.at(config) for name, entry in NATIVE[backend].items()}
    written = {name: getattr(config, name) for name in (*CONSTANTS, "dtype") if name in config.written}
    if config.optimizer == "sgd":
        written.pop("momentum", None)  # plain SGD reads none, and none is handed over
    plain = {"momentum": _momentum(0.0)(config), "nesterov": _nesterov(False)(config)}
    return Row(**{**plain, "optimizer": family(config.optimizer), **declared, **written})
