"""How Keras' `compile` and `fit` read every hyperparameter."""

from harness.conventions.declared import METRICS, Declared, momentum_default, nesterov_default
from harness.conventions.table import GIVEN

OPTIMIZERS = {
    "learning_rate": Declared(
        GIVEN, "keras/src/optimizers/sgd.py, adam.py, adagrad.py, rmsprop.py", "0.001, for sgd 0.01, unless given"
    ),
    "momentum": Declared(momentum_default(0.0), "keras/src/optimizers/sgd.py", "0 unless given"),
    "nesterov": Declared(nesterov_default(False), "keras/src/optimizers/sgd.py", "False unless asked for"),
    "momentum_form": Declared("inside", "keras/src/optimizers/sgd.py: update_step"),
    "beta_1": Declared(0.9, "keras/src/optimizers/adam.py"),
    "beta_2": Declared(0.999, "keras/src/optimizers/adam.py"),
    "rho": Declared(0.9, "keras/src/optimizers/rmsprop.py"),
    "epsilon": Declared(1e-7, "keras/src/optimizers/adam.py, adagrad.py, rmsprop.py"),
    "epsilon_place": Declared(
        lambda config: "hat" if config.optimizer.name == "adam" else "inside",
        "keras/src/optimizers/adam.py, adagrad.py, rmsprop.py: update_step",
        "hat in Adam, inside in Adagrad and RMSprop",
    ),
    "bias_correction": Declared("step", "keras/src/optimizers/adam.py: update_step"),
    "moments_reset": Declared("never", "keras/src/optimizers/adam.py, adagrad.py, rmsprop.py: build"),
    "initial_accumulator": Declared(0.1, "keras/src/optimizers/adagrad.py"),
    "accumulator": Declared("weight", "keras/src/optimizers/adagrad.py: update_step"),
}
CONVENTIONS = {
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
    **OPTIMIZERS,
    "leaky_slope": Declared(0.2, "keras/src/activations/activations.py: leaky_relu"),
    "elu_alpha": Declared(1.0, "keras/src/activations/activations.py: elu"),
    "softplus_threshold": Declared(None, "keras/src/backend/tensorflow/nn.py: softplus"),
    "bias_unit": Declared(1.0, "keras/src/layers/core/dense.py: call"),
    "dtype": Declared("float32", "keras/src/backend/config.py: floatx"),
    "constants": Declared("float32", "keras/src/backend/tensorflow/core.py: cast"),
    "stop": Declared("never", "keras/src/backend/tensorflow/trainer.py: fit"),
    "logged_loss": Declared("with penalty", "keras/src/trainers/trainer.py: compute_loss"),
    **METRICS,
}
