"""How a loop of TensorFlow's own operations, with Keras' optimizers, reads every hyperparameter."""

from backends.keras.conventions import OPTIMIZERS
from harness.conventions.declared import METRICS, Declared
from harness.conventions.table import GIVEN

CONVENTIONS = {
    "batch_size": Declared(GIVEN, "backends/tensorflow/native.py: fit", "none: written by hand"),
    "init": Declared("truncated_normal(0.1)", "backends/tensorflow/native.py: fit"),
    "bias": Declared(0.1, "backends/tensorflow/native.py: fit"),
    "batches": Declared("independent", "backends/tensorflow/native.py: fit"),
    "last_batch": Declared("drop", "backends/tensorflow/native.py: fit"),
    "reduction": Declared("mean", "backends/tensorflow/native.py: fit"),
    "outputs": Declared("mean", "backends/tensorflow/native.py: losses_of"),
    "probabilities": Declared("logits", "tensorflow/python/ops/nn_ops.py: sparse_softmax_cross_entropy_with_logits"),
    "l2_factor": Declared("half", "tensorflow/python/ops/gen_nn_ops.py: l2_loss"),
    "l2_divisor": Declared("none", "backends/tensorflow/native.py: fit"),
    "l2_tensors": Declared("weights", "backends/tensorflow/native.py: fit"),
    "l2_form": Declared("coupled", "backends/tensorflow/native.py: fit"),
    "update_order": Declared("after", "backends/tensorflow/native.py: fit"),
    **OPTIMIZERS,
    "leaky_slope": Declared(0.2, "tensorflow/python/ops/nn_ops.py: leaky_relu"),
    "elu_alpha": Declared(1.0, "tensorflow/python/ops/gen_nn_ops.py: elu"),
    "softplus_threshold": Declared(None, "tensorflow/python/ops/gen_nn_ops.py: softplus"),
    "bias_unit": Declared(1.0, "backends/tensorflow/native.py: fit"),
    "dtype": Declared("float32", "tensorflow/python/framework/constant_op.py"),
    # the variables are float64 where that is asked for, and the optimizer's floatx is float32 still
    "constants": Declared("float32 rate", "keras/src/optimizers/base_optimizer.py: floatx"),
    "stop": Declared("never", "backends/tensorflow/native.py: fit"),
    "logged_loss": Declared("with penalty", "backends/tensorflow/native.py: fit"),
    **METRICS,
}
