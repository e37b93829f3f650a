"""How `MLPClassifier` and `MLPRegressor` read every hyperparameter."""

from harness.conventions.declared import METRICS, Declared, half_squares, momentum_default, nesterov_default
from harness.conventions.table import GIVEN

_MLP = "sklearn/neural_network/_multilayer_perceptron.py"
_MLP_OPTIMIZERS = "sklearn/neural_network/_stochastic_optimizers.py"
CONVENTIONS = {
    "learning_rate": Declared(GIVEN, f"{_MLP}: MLPClassifier, learning_rate_init", "0.001 unless given"),
    "batch_size": Declared(GIVEN, f"{_MLP}: _fit_stochastic", "min(200, n) unless given"),
    "init": Declared(
        lambda config: "sklearn_uniform" if "sigmoid" in config.network.dense["activation"] else "glorot_uniform",
        f"{_MLP}: _init_coef",
        "sklearn_uniform for sigmoid, else glorot_uniform",
    ),
    "bias": Declared("as_weights", f"{_MLP}: _init_coef"),
    "batches": Declared("permutation", f"{_MLP}: _fit_stochastic"),
    "last_batch": Declared("keep", "sklearn/utils/_chunking.py: gen_batches"),
    "reduction": Declared("mean", f"{_MLP}: _compute_loss_grad"),
    # its logged loss is another: _base.py's squared_loss takes half the mean over the outputs
    "outputs": Declared(half_squares, f"{_MLP}: _backprop", "half sum for squared errors, else sum"),
    "probabilities": Declared("logits", f"{_MLP}: _backprop"),
    "l2_factor": Declared("half", f"{_MLP}: _compute_loss_grad"),
    "l2_divisor": Declared("rows of the batch", f"{_MLP}: _compute_loss_grad"),
    "l2_tensors": Declared("weights", f"{_MLP}: _compute_loss_grad"),
    "l2_form": Declared("coupled", f"{_MLP}: _compute_loss_grad"),
    "update_order": Declared("after", f"{_MLP}: _fit_stochastic, update_params"),
    "momentum": Declared(momentum_default(0.9), f"{_MLP}: MLPClassifier", "0.9 unless given"),
    "nesterov": Declared(nesterov_default(True), f"{_MLP}: MLPClassifier, nesterovs_momentum", "True, for sgd too"),
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
    **METRICS,
}
