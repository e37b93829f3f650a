"""How the lecture class of `native.py` reads every hyperparameter."""

from harness.conventions.declared import METRICS, Declared, half_squares, momentum_default, nesterov_default
from harness.conventions.table import GIVEN

_LECTURE = "backends/numpy/native.py"
CONVENTIONS = {
    "learning_rate": Declared(GIVEN, f"{_LECTURE}: update", "none: written by hand"),
    "batch_size": Declared(GIVEN, f"{_LECTURE}: train", "none: written by hand"),
    "init": Declared("normal(1)", f"{_LECTURE}: NeuralNetwork"),
    "bias": Declared(0.01, f"{_LECTURE}: NeuralNetwork"),
    "batches": Declared("independent", f"{_LECTURE}: train"),
    "last_batch": Declared("drop", f"{_LECTURE}: train"),
    "reduction": Declared("sum", f"{_LECTURE}: back_propagation"),
    "outputs": Declared(half_squares, f"{_LECTURE}: output_error", "half sum for squared errors, else sum"),
    "probabilities": Declared("logits", f"{_LECTURE}: output_error"),
    "l2_factor": Declared("half", f"{_LECTURE}: back_propagation"),
    "l2_divisor": Declared("none", f"{_LECTURE}: back_propagation"),
    "l2_tensors": Declared("weights", f"{_LECTURE}: back_propagation"),
    "l2_form": Declared("coupled", f"{_LECTURE}: back_propagation"),
    "update_order": Declared("after", f"{_LECTURE}: train"),
    "momentum": Declared(momentum_default(0.0), f"{_LECTURE}: update", "0 unless given"),
    "nesterov": Declared(nesterov_default(False), f"{_LECTURE}: update", "False unless asked for"),
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
    **METRICS,
}
