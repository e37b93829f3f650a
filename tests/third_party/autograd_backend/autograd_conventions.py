"""How the native way of this backend reads every hyperparameter, and the file that shows it."""

from harness import Declared
from harness.conventions.declared import METRICS

_FIT, _LOSS = "autograd_native.py: fit_native", "autograd_backend.py: loss"
_SGD = "autograd/misc/optimizers.py: sgd"

CONVENTIONS = {
    "learning_rate": Declared("given", _SGD, "0.1 unless given"),
    "batch_size": Declared("given", _FIT, "none: written by hand"),
    "init": Declared("normal(0.1)", _FIT),
    "bias": Declared("normal(0.1)", _FIT),
    "batches": Declared("in_order", _FIT),
    "last_batch": Declared("keep", _FIT),
    "reduction": Declared("mean", _LOSS),
    "outputs": Declared("mean", "autograd_backend.py: LOSSES"),
    "probabilities": Declared("logits", "autograd_backend.py: LOSSES"),
    "l2_factor": Declared("half", _LOSS),
    "l2_divisor": Declared("none", _LOSS),
    "l2_tensors": Declared("weights", _LOSS),
    "l2_form": Declared("coupled", _LOSS),
    "update_order": Declared("after", _SGD),
    "momentum": Declared(0.9, _SGD, "0.9: its mass"),
    "nesterov": Declared(False, _SGD),
    "momentum_form": Declared("dampened", _SGD),
    "bias_unit": Declared(1.0, "autograd_backend.py: forward"),
    "dtype": Declared("float64", _FIT),
    "constants": Declared("exact", _SGD),
    "stop": Declared("never", _FIT),
    **METRICS,
}
