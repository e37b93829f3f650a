"""What each backend's native way declares: the row of the conventions table that its users' few lines follow."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.contract import Config
from harness.conventions.table import CONSTANTS, GIVEN, Row, family
from harness.support.errors import RequestError, unknown


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


def _momentum(default: float) -> Callable[[Config], float]:
    """What momentum is under a framework whose plain SGD has `default`."""
    return lambda config: config.momentum if config.optimizer != "sgd" else default


def _nesterov(default: bool) -> Callable[[Config], bool]:
    return lambda config: config.optimizer == "nesterov" or (config.optimizer == "sgd" and default)


def _outputs(config: Config) -> str:
    return "half sum" if config.loss == "mse" else "sum"


# The harness takes every metric itself, from the logits; what a framework logs on the way is `logged_loss`.
_METRICS = {
    "accuracy": Declared("argmax", "harness/training/metrics.py: predicted"),
    "auc": Declared("scores", "harness/training/metrics.py: roc_auc"),
    "metric_rows": Declared("test", "harness/training/metrics.py: evaluate"),
}

_MLP = "sklearn/neural_network/_multilayer_perceptron.py"
_MLP_OPTIMIZERS = "sklearn/neural_network/_stochastic_optimizers.py"
_SKLEARN = {
    "learning_rate": Declared(GIVEN, f"{_MLP}: MLPClassifier, learning_rate_init", "0.001 unless given"),
    "batch_size": Declared(GIVEN, f"{_MLP}: _fit_stochastic", "min(200, n) unless given"),
    "init": Declared(
        lambda config: "sklearn_uniform" if "sigmoid" in config.activation else "glorot_uniform",
        f"{_MLP}: _init_coef",
        "sklearn_uniform for sigmoid, else glorot_uniform",
    ),
    "bias": Declared("as_weights", f"{_MLP}: _init_coef"),
    "batches": Declared("permutation", f"{_MLP}: _fit_stochastic"),
    "last_batch": Declared("keep", "sklearn/utils/_chunking.py: gen_batches"),
    "reduction": Declared("mean", f"{_MLP}: _compute_loss_grad"),
    # its logged loss is another: _base.py's squared_loss takes half the mean over the outputs
    "outputs": Declared(_outputs, f"{_MLP}: _backprop", "half sum for squared errors, else sum"),
    "probabilities": Declared("logits", f"{_MLP}: _backprop"),
    "l2_factor": Declared("half", f"{_MLP}: _compute_loss_grad"),
    "l2_divisor": Declared("rows of the batch", f"{_MLP}: _compute_loss_grad"),
    "l2_tensors": Declared("weights", f"{_MLP}: _compute_loss_grad"),
    "l2_form": Declared("coupled", f"{_MLP}: _compute_loss_grad"),
    "update_order": Declared("after", f"{_MLP}: _fit_stochastic, update_params"),
    "momentum": Declared(_momentum(0.9), f"{_MLP}: MLPClassifier", "0.9 unless given"),
    "nesterov": Declared(_nesterov(True), f"{_MLP}: MLPClassifier, nesterovs_momentum", "True, for sgd too"),
    "momentum_form": Declared("inside", f"{_MLP_OPTIMIZERS}: SGDOptimizer, _get_updates"),
    "beta_1": Declared(0.9, f"{_MLP}: MLPClassifier"),
    "beta_2": Declared(0.999, f"{_MLP}: MLPClassifier"),
    "epsilon": Declared(1e-8, f"{_MLP}: MLPClassifier"),
    "epsilon_place": Declared("hat", f"{_MLP_OPTIMIZERS}: AdamOptimizer, _get_updates"),
    "bias_correction": Declared("step", f"{_MLP_OPTIMIZERS}: AdamOptimizer, _get_updates"),
    "moments_reset": Declared("never", f"{_MLP}: _fit_stochastic"),
    "bias_unit": Declared(1.0, f"{_MLP}: _forward_pass"),
    "dtype": Declared("float64", f"{_MLP}: _validate_input", "that of X: float64"),
    "constants": Declared("exact", f"{_MLP_OPTIMIZERS}: _get_updates"),
    "stop": Declared("tolerance", f"{_MLP}: _update_no_improvement_count"),
    "logged_loss": Declared("with penalty", f"{_MLP}: _backprop"),
    **_METRICS,
}

_KERAS_OPTIMIZERS = {
    "learning_rate": Declared(
        GIVEN, "keras/src/optimizers/sgd.py, adam.py, adagrad.py, rmsprop.py", "0.001, for sgd 0.01, unless given"
    ),
    "momentum": Declared(_momentum(0.0), "keras/src/optimizers/sgd.py", "0 unless given"),
    "nesterov": Declared(_nesterov(False), "keras/src/optimizers/sgd.py", "False unless asked for"),
    "momentum_form": Declared("inside", "keras/src/optimizers/sgd.py: update_step"),
    "beta_1": Declared(0.9, "keras/src/optimizers/adam.py"),
    "beta_2": Declared(0.999, "keras/src/optimizers/adam.py"),
    "rho": Declared(0.9, "keras/src/optimizers/rmsprop.py"),
    "epsilon": Declared(1e-7, "keras/src/optimizers/adam.py, adagrad.py, rmsprop.py"),
    "epsilon_place": Declared(
        lambda config: "hat" if config.optimizer == "adam" else "inside",
        "keras/src/optimizers/adam.py, adagrad.py, rmsprop.py: update_step",
        "hat in Adam, inside in Adagrad and RMSprop",
    ),
    "bias_correction": Declared("step", "keras/src/optimizers/adam.py: update_step"),
    "moments_reset": Declared("never", "keras/src/optimizers/adam.py, adagrad.py, rmsprop.py: build"),
    "initial_accumulator": Declared(0.1, "keras/src/optimizers/adagrad.py"),
    "accumulator": Declared("weight", "keras/src/optimizers/adagrad.py: update_step"),
}
_KERAS = {
    "batch_size": Declared(GIVEN, "keras/src/trainers/data_adapters/array_data_adapter.py", "32 unless given"),
    "init": Declared("glorot_uniform", "keras/src/layers/core/dense.py: kernel_initializer"),
    "bias": Declared(0.0, "keras/src/layers/core/dense.py: bias_initializer"),
    # `fit` makes the dataset anew for every epoch, and under `set_random_seed` each of them shuffles alike
    "batches": Declared(
        "one_permutation",
        "keras/src/trainers/data_adapters/array_data_adapter.py: get_tf_dataset",
        "one_permutation under a seed, else permutation",
    ),
    "last_batch": Declared("keep", "keras/src/trainers/data_adapters/array_data_adapter.py: get_tf_dataset"),
    "reduction": Declared("mean", "keras/src/losses/loss.py: reduction"),
    "outputs": Declared("mean", "keras/src/losses/losses.py: mean_squared_error, binary_crossentropy"),
    "probabilities": Declared(
        "logits",
        "keras/src/backend/tensorflow/nn.py: sparse_categorical_crossentropy",
        "logits, behind a softmax layer too; clipped 1e-7 for probabilities from elsewhere",
    ),
    "l2_factor": Declared("full", "keras/src/regularizers/regularizers.py: L2"),
    "l2_divisor": Declared("none", "keras/src/regularizers/regularizers.py: L2"),
    "l2_tensors": Declared("weights", "keras/src/layers/core/dense.py: kernel_regularizer"),
    "l2_form": Declared("coupled", "keras/src/trainers/trainer.py: compute_loss"),
    "update_order": Declared("after", "keras/src/backend/tensorflow/trainer.py: train_step"),
    **_KERAS_OPTIMIZERS,
    "leaky_slope": Declared(0.2, "keras/src/activations/activations.py: leaky_relu"),
    "elu_alpha": Declared(1.0, "keras/src/activations/activations.py: elu"),
    "softplus_threshold": Declared(None, "keras/src/backend/tensorflow/nn.py: softplus"),
    "bias_unit": Declared(1.0, "keras/src/layers/core/dense.py: call"),
    "dtype": Declared("float32", "keras/src/backend/config.py: floatx"),
    "constants": Declared("float32", "keras/src/backend/tensorflow/core.py: cast"),
    "stop": Declared("never", "keras/src/backend/tensorflow/trainer.py: fit"),
    "logged_loss": Declared("with penalty", "keras/src/trainers/trainer.py: compute_loss"),
    **_METRICS,
}
_TENSORFLOW = {
    "batch_size": Declared(GIVEN, "backends/tensorflow_native.py: fit", "none: written by hand"),
    "init": Declared("truncated_normal(0.1)", "backends/tensorflow_native.py: fit"),
    "bias": Declared(0.1, "backends/tensorflow_native.py: fit"),
    "batches": Declared("independent", "backends/tensorflow_native.py: fit"),
    "last_batch": Declared("drop", "backends/tensorflow_native.py: fit"),
    "reduction": Declared("mean", "backends/tensorflow_native.py: fit"),
    "outputs": Declared("mean", "backends/tensorflow_native.py: losses_of"),
    "probabilities": Declared("logits", "tensorflow/python/ops/nn_ops.py: sparse_softmax_cross_entropy_with_logits"),
    "l2_factor": Declared("half", "tensorflow/python/ops/gen_nn_ops.py: l2_loss"),
    "l2_divisor": Declared("none", "backends/tensorflow_native.py: fit"),
    "l2_tensors": Declared("weights", "backends/tensorflow_native.py: fit"),
    "l2_form": Declared("coupled", "backends/tensorflow_native.py: fit"),
    "update_order": Declared("after", "backends/tensorflow_native.py: fit"),
    **_KERAS_OPTIMIZERS,
    "leaky_slope": Declared(0.2, "tensorflow/python/ops/nn_ops.py: leaky_relu"),
    "elu_alpha": Declared(1.0, "tensorflow/python/ops/gen_nn_ops.py: elu"),
    "softplus_threshold": Declared(None, "tensorflow/python/ops/gen_nn_ops.py: softplus"),
    "bias_unit": Declared(1.0, "backends/tensorflow_native.py: fit"),
    "dtype": Declared("float32", "tensorflow/python/framework/constant_op.py"),
    # the variables are float64 where that is asked for, and the optimizer's floatx is float32 still
    "constants": Declared("float32 rate", "keras/src/optimizers/base_optimizer.py: floatx"),
    "stop": Declared("never", "backends/tensorflow_native.py: fit"),
    "logged_loss": Declared("with penalty", "backends/tensorflow_native.py: fit"),
    **_METRICS,
}
_TORCH = {
    "learning_rate": Declared(
        GIVEN,
        "torch/optim/sgd.py, adam.py, adagrad.py, rmsprop.py",
        "0.001, for Adagrad and RMSprop 0.01, unless given",
    ),
    "batch_size": Declared(GIVEN, "torch/utils/data/dataloader.py: DataLoader", "1 unless given"),
    "init": Declared("torch_uniform", "torch/nn/modules/linear.py: reset_parameters"),
    "bias": Declared("as_weights", "torch/nn/modules/linear.py: reset_parameters"),
    "batches": Declared("permutation", "torch/utils/data/sampler.py: RandomSampler"),
    "last_batch": Declared("keep", "torch/utils/data/dataloader.py: drop_last"),
    "reduction": Declared("mean", "torch/nn/modules/loss.py: reduction"),
    "outputs": Declared("mean", "torch/nn/modules/loss.py: MSELoss"),
    "probabilities": Declared("logits", "torch/nn/modules/loss.py: CrossEntropyLoss"),
    "l2_factor": Declared("half", "torch/optim/sgd.py: weight_decay"),
    "l2_divisor": Declared("none", "torch/optim/sgd.py: weight_decay"),
    "l2_tensors": Declared("weights and biases", "torch/optim/sgd.py: weight_decay"),
    "l2_form": Declared("coupled", "torch/optim/sgd.py, adam.py, adagrad.py, rmsprop.py: weight_decay"),
    "update_order": Declared("after", "torch/optim/sgd.py: step"),
    "momentum": Declared(_momentum(0.0), "torch/optim/sgd.py", "0 unless given"),
    "nesterov": Declared(_nesterov(False), "torch/optim/sgd.py", "False unless asked for"),
    "momentum_form": Declared("outside", "torch/optim/sgd.py: _single_tensor_sgd"),
    "beta_1": Declared(0.9, "torch/optim/adam.py: betas"),
    "beta_2": Declared(0.999, "torch/optim/adam.py: betas"),
    "rho": Declared(0.99, "torch/optim/rmsprop.py: alpha"),
    "epsilon": Declared(
        lambda config: 1e-10 if config.optimizer == "adagrad" else 1e-8,
        "torch/optim/adam.py, rmsprop.py, adagrad.py: eps",
        "1e-8, in Adagrad 1e-10",
    ),
    "epsilon_place": Declared("outside", "torch/optim/adam.py, rmsprop.py, adagrad.py: eps"),
    "bias_correction": Declared("step", "torch/optim/adam.py: _single_tensor_adam"),
    "moments_reset": Declared("never", "torch/optim/adam.py, rmsprop.py, adagrad.py: state"),
    "initial_accumulator": Declared(0.0, "torch/optim/adagrad.py: initial_accumulator_value"),
    "accumulator": Declared("weight", "torch/optim/adagrad.py: _single_tensor_adagrad"),
    "leaky_slope": Declared(0.01, "torch/nn/modules/activation.py: LeakyReLU"),
    "elu_alpha": Declared(1.0, "torch/nn/modules/activation.py: ELU"),
    "softplus_threshold": Declared(20.0, "torch/nn/modules/activation.py: Softplus"),
    "bias_unit": Declared(1.0, "torch/nn/modules/linear.py: forward"),
    "dtype": Declared("float32", "torch/__init__.py: set_default_dtype"),
    "constants": Declared("exact", "torch/optim/sgd.py: _single_tensor_sgd"),
    "stop": Declared("never", "backends/torch_native.py: fit"),
    "logged_loss": Declared("without penalty", "backends/torch_native.py: fit"),
    **_METRICS,
}
_LECTURE = "backends/lecture.py"
_NUMPY = {
    "learning_rate": Declared(GIVEN, f"{_LECTURE}: update", "none: written by hand"),
    "batch_size": Declared(GIVEN, f"{_LECTURE}: train", "none: written by hand"),
    "init": Declared("normal(1)", f"{_LECTURE}: NeuralNetwork"),
    "bias": Declared(0.01, f"{_LECTURE}: NeuralNetwork"),
    "batches": Declared("independent", f"{_LECTURE}: train"),
    "last_batch": Declared("drop", f"{_LECTURE}: train"),
    "reduction": Declared("sum", f"{_LECTURE}: back_propagation"),
    "outputs": Declared(_outputs, f"{_LECTURE}: output_error", "half sum for squared errors, else sum"),
    "probabilities": Declared("logits", f"{_LECTURE}: output_error"),
    "l2_factor": Declared("half", f"{_LECTURE}: back_propagation"),
    "l2_divisor": Declared("none", f"{_LECTURE}: back_propagation"),
    "l2_tensors": Declared("weights", f"{_LECTURE}: back_propagation"),
    "l2_form": Declared("coupled", f"{_LECTURE}: back_propagation"),
    "update_order": Declared("after", f"{_LECTURE}: train"),
    "momentum": Declared(_momentum(0.0), f"{_LECTURE}: update", "0 unless given"),
    "nesterov": Declared(_nesterov(False), f"{_LECTURE}: update", "False unless asked for"),
    "momentum_form": Declared("outside", f"{_LECTURE}: update"),
    "beta_1": Declared(0.9, f"{_LECTURE}: LECTURE"),
    "beta_2": Declared(0.999, f"{_LECTURE}: LECTURE"),
    "rho": Declared(0.9, f"{_LECTURE}: LECTURE"),
    "epsilon": Declared(1e-8, f"{_LECTURE}: LECTURE"),
    "epsilon_place": Declared("outside", f"{_LECTURE}: update"),
    "bias_correction": Declared("step", f"{_LECTURE}: update"),
    "moments_reset": Declared("never", f"{_LECTURE}: NeuralNetwork"),
    "initial_accumulator": Declared(0.0, f"{_LECTURE}: LECTURE"),
    "accumulator": Declared("weight", f"{_LECTURE}: update"),
    "leaky_slope": Declared(0.01, f"{_LECTURE}: LECTURE"),
    "elu_alpha": Declared(1.0, f"{_LECTURE}: LECTURE"),
    "softplus_threshold": Declared(None, f"{_LECTURE}: LECTURE_ACTIVATION"),
    "bias_unit": Declared(1.0, f"{_LECTURE}: feed_forward"),
    "dtype": Declared("float64", f"{_LECTURE}: LECTURE"),
    "constants": Declared("exact", f"{_LECTURE}: update"),
    "stop": Declared("never", f"{_LECTURE}: train"),
    **_METRICS,
}

NATIVE: dict[str, dict[str, Declared]] = {
    "numpy": _NUMPY,
    "sklearn": _SKLEARN,
    "tensorflow": _TENSORFLOW,
    "keras": _KERAS,
    "torch": _TORCH,
}
"""What each backend's native way declares. Left out is what the experiment alone decides, and what it does not have."""


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
