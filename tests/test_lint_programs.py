"""Lint on whole programs: the honest ones train as they are meant to and are told nothing, the faulty ones are named.

Each program is a network of one layer that takes one step in its framework. What the step takes off the weights is held
against the gradient of the loss that was meant, written out in NumPy: that is what makes a program honest, or not.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import harness
from harness.linting.losses import LOSSES, loss_of
from harness.registry import backend

torch = pytest.importorskip("torch", reason=backend("torch").missing())
keras = pytest.importorskip("keras", reason=backend("keras").missing())

import sklearn.metrics  # noqa: E402
import tensorflow as tf  # noqa: E402
from sklearn.neural_network import MLPClassifier, MLPRegressor  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

N, K = 48, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4)).astype(np.float32)
LABELS = (X @ RNG.normal(size=(4, K))).argmax(axis=1)
ONE_HOT = np.eye(K, dtype=np.float32)[LABELS]
SEVERAL = (X[:, :K] > 0).astype(np.float32)
TWO = (X[:, 0] > 0).astype(np.float32)
TARGET = (X @ np.array([1.0, -2.0, 0.5, 0.0], np.float32) + 3).astype(np.float32)
W = RNG.normal(size=(4, K)).astype(np.float32) * 0.5
SHIFTED, SMALL = X + 4, np.abs(W) * 0.05  # whose sums lie from 0 to 1 in every row


@dataclass(frozen=True)
class Program:
    """What a program gives to its loss, and `train`, one step of it, which gives the gradient of the weights.

    `X` and `W` are the rows and the weights before the step.
    """

    outputs: Any
    loss: Any
    train: Callable[[], np.ndarray]
    X: np.ndarray
    W: np.ndarray

    def meant(self, kind, y):
        """The gradient of the mean loss that was meant."""
        z = self.X.astype(np.float64) @ self.W
        if kind == "softmax":
            delta = softmax(z) - np.eye(z.shape[1])[y]
        elif kind == "sigmoid":
            delta = (1 / (1 + np.exp(-z)) - y.reshape(z.shape)) / z.shape[1]
        elif kind == "square":
            delta = 2 * (z - y.reshape(z.shape))
        else:
            delta = np.sign(z - y.reshape(z.shape))
        return self.X.T.astype(np.float64) @ delta / len(z)


def in_torch(criterion, y, *last, units=K, X=X, W=W):
    W = W[:, :units]
    model = nn.Sequential(nn.Linear(4, units), *last)
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor(W.T))
        model[0].bias.zero_()

    def train():
        criterion(model(torch.tensor(X)), torch.as_tensor(y)).backward()
        return model[0].weight.grad.numpy().T

    return Program(model(torch.tensor(X)), criterion, train, X, W)


def in_keras(loss, y, activation=None, *last, units=K):
    start = W[:, :units]
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation), *last])
    model.layers[0].set_weights([start, np.zeros(units, np.float32)])
    model.compile(keras.optimizers.SGD(1.0), loss)

    def train():
        model.train_on_batch(X, y)
        return start - model.layers[0].get_weights()[0]

    return Program(model(X), model.loss, train, X, start)


def in_sklearn(estimator, y):
    """One step of scikit-learn's own training, from the weights that it has after its first."""
    estimator.set_params(hidden_layer_sizes=(), solver="sgd", learning_rate_init=1.0, momentum=0, alpha=0)
    estimator.set_params(batch_size=N, random_state=0)
    classifier = isinstance(estimator, MLPClassifier)
    estimator.partial_fit(X, y, **({"classes": np.unique(y)} if classifier else {}))
    start, bias = estimator.coefs_[0].copy(), estimator.intercepts_[0].copy()

    def train():
        estimator.partial_fit(X, y)
        return start - estimator.coefs_[0]

    outputs = estimator.predict_proba(X) if classifier else estimator.predict(X)
    with_ones = np.hstack([X, np.ones((N, 1), np.float32)])  # the bias among the weights
    return Program(outputs, estimator.loss, train, with_ones, np.vstack([start, bias]))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


class Scratch:
    """A class as courses write it."""

    def __init__(self, units):
        self.W = W[:, :units].astype(np.float64)

    def forward(self, X):
        self.X, self.z = X, X @ self.W
        return softmax(self.z)

    def backward(self, error):
        return self.X.T @ error / len(self.X)


SparseCCE, CCE, BCE = (
    keras.losses.SparseCategoricalCrossentropy,
    keras.losses.CategoricalCrossentropy,
    keras.losses.BinaryCrossentropy,
)
IGNORED = np.where(np.arange(N) % 5 == 0, -100, LABELS)  # -100 is what CrossEntropyLoss leaves out

# name: (targets, the step, what was meant)
HONEST = {
    "keras: softmax, sparse": (LABELS, lambda y: in_keras(SparseCCE(), y, "softmax"), "softmax"),
    "keras: softmax, sparse by name, labels in a column": (
        LABELS[:, None],
        lambda y: in_keras("sparse_categorical_crossentropy", y, "softmax"),
        "softmax",
    ),
    "keras: linear, sparse from logits": (LABELS, lambda y: in_keras(SparseCCE(from_logits=True), y), "softmax"),
    "keras: softmax, categorical": (ONE_HOT, lambda y: in_keras(CCE(), y, "softmax"), "softmax"),
    "keras: softmax, categorical as a function": (
        ONE_HOT,
        lambda y: in_keras(keras.losses.categorical_crossentropy, y, "softmax"),
        "softmax",
    ),
    "keras: linear, categorical from logits": (ONE_HOT, lambda y: in_keras(CCE(from_logits=True), y), "softmax"),
    "keras: a layer of softmax, categorical": (
        ONE_HOT,
        lambda y: in_keras(CCE(), y, None, keras.layers.Softmax()),
        "softmax",
    ),
    "keras: sigmoid, binary, (n,) against (n, 1)": (TWO, lambda y: in_keras(BCE(), y, "sigmoid", units=1), "sigmoid"),
    "keras: linear, binary from logits, (n,) against (n, 1)": (
        TWO,
        lambda y: in_keras(BCE(from_logits=True), y, units=1),
        "sigmoid",
    ),
    "keras: sigmoids, binary, several labels": (
        SEVERAL,
        lambda y: in_keras("binary_crossentropy", y, "sigmoid"),
        "sigmoid",
    ),
    "keras: mse, (n,) against (n, 1)": (TARGET, lambda y: in_keras("mse", y, units=1), "square"),
    "keras: mean squared error, (n, 1)": (
        TARGET[:, None],
        lambda y: in_keras(keras.losses.MeanSquaredError(), y, units=1),
        "square",
    ),
    "keras: mae, (n,) against (n, 1)": (TARGET, lambda y: in_keras("mae", y, units=1), "absolute"),
    "torch: cross entropy, labels": (LABELS, lambda y: in_torch(nn.CrossEntropyLoss(), y), "softmax"),
    "torch: cross entropy, probabilities": (ONE_HOT, lambda y: in_torch(nn.CrossEntropyLoss(), y), "softmax"),
    "torch: cross entropy as a function": (LABELS, lambda y: in_torch(F.cross_entropy, y), "softmax"),
    "torch: log_softmax and cross entropy, which is harmless": (
        LABELS,
        lambda y: in_torch(nn.CrossEntropyLoss(), y, nn.LogSoftmax(1)),
        "softmax",
    ),
    "torch: log_softmax, nll": (LABELS, lambda y: in_torch(nn.NLLLoss(), y, nn.LogSoftmax(1)), "softmax"),
    "torch: one class against the rest, each": (
        ONE_HOT,
        lambda y: in_torch(nn.BCEWithLogitsLoss(), y),
        "sigmoid",
    ),
    "torch: bce with logits": (TWO[:, None], lambda y: in_torch(nn.BCEWithLogitsLoss(), y, units=1), "sigmoid"),
    "torch: bce with logits, squeezed": (
        TWO,
        lambda y: in_torch(nn.BCEWithLogitsLoss(), y, nn.Flatten(0), units=1),
        "sigmoid",
    ),
    "torch: bce on sigmoids": (TWO[:, None], lambda y: in_torch(nn.BCELoss(), y, nn.Sigmoid(), units=1), "sigmoid"),
    "torch: bce as a function": (
        SEVERAL,
        lambda y: in_torch(F.binary_cross_entropy, y, nn.Sigmoid()),
        "sigmoid",
    ),
    "torch: mse": (TARGET[:, None], lambda y: in_torch(nn.MSELoss(), y, units=1), "square"),
    "torch: mse, squeezed": (TARGET, lambda y: in_torch(nn.MSELoss(), y, nn.Flatten(0), units=1), "square"),
    "torch: l1": (TARGET[:, None], lambda y: in_torch(nn.L1Loss(), y, units=1), "absolute"),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_program_trains_as_it_is_meant_to_and_is_told_nothing(name):
    y, make, kind = HONEST[name]
    program = make(y)
    for outputs in (program.outputs, plain(program.outputs)):
        assert harness.lint(X, y, outputs=outputs, loss=program.loss) == []
    expected = program.meant(kind, LABELS if kind == "softmax" else y)
    np.testing.assert_allclose(program.train(), expected, rtol=0, atol=2e-6)


def plain(outputs):
    """The same numbers without a memory of where they are from."""
    return outputs.detach().numpy() if hasattr(outputs, "detach") else np.array(outputs)


@pytest.mark.parametrize("y", [LABELS, LABELS + 1, np.array(["a", "b", "c"])[LABELS]], ids=["0", "1", "text"])
def test_an_honest_classifier_of_scikit_learn_is_told_nothing(y):
    program = in_sklearn(MLPClassifier(), y)
    assert program.loss == "log_loss"
    assert harness.lint(X, y, outputs=program.outputs, loss=program.loss) == []
    np.testing.assert_allclose(program.train(), program.meant("softmax", LABELS)[:-1], rtol=0, atol=1e-6)


def test_an_honest_regressor_of_scikit_learn_is_told_nothing():
    program = in_sklearn(MLPRegressor(), TARGET)
    for y in (TARGET, TARGET[:, None]):
        assert harness.lint(X, y, outputs=program.outputs, loss=program.loss) == []
    half = program.meant("square", TARGET)[:-1] / 2
    np.testing.assert_allclose(program.train(), half, rtol=1e-5)


def test_an_honest_class_in_numpy_is_told_nothing():
    network = Scratch(K)
    p = network.forward(X)
    expected = in_torch(nn.CrossEntropyLoss(), LABELS).meant("softmax", LABELS)
    np.testing.assert_allclose(network.backward(p - ONE_HOT), expected, rtol=0, atol=1e-12)
    assert harness.lint(X, LABELS, logits=network.z) == []
    assert harness.lint(X, ONE_HOT, outputs=p) == []  # its loss is its own: nobody knows what it takes
    assert harness.lint(X, LABELS, outputs=p, loss=lambda y, p: 0) == []


def test_an_honest_program_that_leaves_rows_out_is_told_nothing():
    kept = IGNORED >= 0
    program = in_torch(nn.CrossEntropyLoss(), IGNORED)
    assert harness.lint(X, IGNORED, outputs=program.outputs, loss=program.loss) == []
    expected = replace(program, X=X[kept]).meant("softmax", LABELS[kept])
    np.testing.assert_allclose(program.train(), expected, rtol=0, atol=1e-6)
    void = np.where(kept, IGNORED, 255)
    program = in_keras(SparseCCE(ignore_class=255), void, "softmax")
    assert harness.lint(X, void, outputs=program.outputs, loss=program.loss) == []


def test_honest_logits_that_all_lie_from_0_to_1_are_told_nothing():
    program = in_torch(nn.BCEWithLogitsLoss(), TWO[:, None], units=1, X=SHIFTED, W=SMALL)
    values = plain(program.outputs)
    assert 0 < values.min() < values.max() < 1
    for outputs in (program.outputs, program.outputs.squeeze(), values):
        y = TWO.reshape(outputs.shape)
        assert harness.lint(SHIFTED, y, outputs=outputs, loss=program.loss) == []
        assert harness.lint(SHIFTED, y, logits=outputs) == []
    np.testing.assert_allclose(program.train(), program.meant("sigmoid", TWO), rtol=0, atol=1e-6)


# name: (targets, the step, the lint's name, what was meant)
FAULTY = {
    "torch: softmax before cross entropy": (
        LABELS,
        lambda y: in_torch(nn.CrossEntropyLoss(), y, nn.Softmax(1)),
        "double-softmax",
        "softmax",
    ),
    "torch: a sigmoid before bce with logits": (
        TWO[:, None],
        lambda y: in_torch(nn.BCEWithLogitsLoss(), y, nn.Sigmoid(), units=1, W=W * 0.1),
        "double-softmax",
        "sigmoid",
    ),
    "torch: bce on logits": (
        TWO[:, None],
        lambda y: in_torch(nn.BCELoss(), y, units=1),
        "missing-softmax",
        "sigmoid",
    ),
    "torch: bce on logits that happen to lie from 0 to 1": (
        TWO[:, None],
        lambda y: in_torch(nn.BCELoss(), y, units=1, X=SHIFTED, W=SMALL),
        "missing-softmax",
        "sigmoid",
    ),
    "torch: nll on logits": (LABELS, lambda y: in_torch(nn.NLLLoss(), y), "missing-softmax", "softmax"),
    "torch: nll on probabilities": (
        LABELS,
        lambda y: in_torch(nn.NLLLoss(), y, nn.Softmax(1)),
        "missing-log",
        "softmax",
    ),
    "torch: mse of (n,) against (n, 1)": (
        TARGET,
        lambda y: in_torch(nn.MSELoss(), y, units=1),
        "target-shape",
        "square",
    ),
    "torch: mse of (n, 1) against (n,)": (
        TARGET[:, None],
        lambda y: in_torch(nn.MSELoss(), y, nn.Flatten(0), units=1),
        "target-shape",
        "square",
    ),
    "torch: l1 of (n,) against (n, 1)": (
        TARGET,
        lambda y: in_torch(nn.L1Loss(), y, units=1),
        "target-shape",
        "absolute",
    ),
    "torch: bce with logits of (n,) against (n, 1)": (
        TWO,
        lambda y: in_torch(nn.BCEWithLogitsLoss(), y, units=1),
        "target-shape",
        "sigmoid",
    ),
    "torch: labels in a column": (
        LABELS[:, None],
        lambda y: in_torch(nn.CrossEntropyLoss(), y),
        "target-shape",
        "softmax",
    ),
    "torch: a sigmoid before cross entropy": (
        LABELS,
        lambda y: in_torch(nn.CrossEntropyLoss(), y, nn.Sigmoid()),
        "double-softmax",
        "softmax",
    ),
    "torch: one-hot labels for nll": (
        ONE_HOT.astype(int),
        lambda y: in_torch(nn.NLLLoss(), y, nn.LogSoftmax(1)),
        "one-hot",
        "softmax",
    ),
    "torch: one-hot labels as whole numbers": (
        ONE_HOT.astype(int),
        lambda y: in_torch(nn.CrossEntropyLoss(), y),
        "one-hot",
        "softmax",
    ),
    "torch: labels from 1": (LABELS + 1, lambda y: in_torch(nn.CrossEntropyLoss(), y), "labels-outside", "softmax"),
    "torch: labels -1 and 1 for a sigmoid": (
        2 * TWO[:, None] - 1,
        lambda y: in_torch(nn.BCEWithLogitsLoss(), y, units=1),
        "labels-outside",
        "sigmoid",
    ),
    "torch: cross entropy of one output": (
        TWO[:, None],
        lambda y: in_torch(nn.CrossEntropyLoss(), y, units=1),
        "one-output",
        "sigmoid",
    ),
    "torch: cross entropy of one output, squeezed": (
        TWO,
        lambda y: in_torch(nn.CrossEntropyLoss(), y, nn.Flatten(0), units=1),
        "one-output",
        "sigmoid",
    ),
    "keras: linear, sparse, without from_logits": (
        LABELS,
        lambda y: in_keras(SparseCCE(), y),
        "missing-softmax",
        "softmax",
    ),
    "keras: linear, binary, without from_logits": (
        TWO,
        lambda y: in_keras("binary_crossentropy", y, units=1),
        "missing-softmax",
        "sigmoid",
    ),
    "keras: softmax that Keras cannot see, from logits": (
        LABELS,
        lambda y: in_keras(SparseCCE(from_logits=True), y, "softmax", keras.layers.Reshape((K,))),
        "double-softmax",
        "softmax",
    ),
    "keras: softmax of one output": (
        TWO,
        lambda y: in_keras(BCE(), y, None, keras.layers.Softmax(), keras.layers.Reshape((1,)), units=1),
        "one-output",
        "sigmoid",
    ),
    "keras: one-hot labels for sparse": (ONE_HOT, lambda y: in_keras(SparseCCE(), y, "softmax"), "one-hot", "softmax"),
    "keras: labels for categorical": (LABELS, lambda y: in_keras(CCE(), y, "softmax"), "one-hot", "softmax"),
    "keras: labels from 1": (LABELS + 1, lambda y: in_keras(SparseCCE(), y, "softmax"), "labels-outside", "softmax"),
    "keras: labels -1 and 1 for a sigmoid": (
        2 * TWO - 1,
        lambda y: in_keras(BCE(), y, "sigmoid", units=1),
        "labels-outside",
        "sigmoid",
    ),
}


# what their framework says of those that it refuses to train
REFUSED = {
    "torch: bce on logits": "between 0 and 1",
    "torch: bce with logits of (n,) against (n, 1)": "must be the same as input size",
    "torch: labels in a column": "multi-target not supported",
    "torch: one-hot labels for nll": "multi-target not supported",
    "torch: one-hot labels as whole numbers": "floating point type for target with class probabilities",
    "torch: labels from 1": "out of bounds",
    "keras: one-hot labels for sparse": "must have rank",
    "keras: labels for categorical": "must have the same rank",
    "keras: labels from 1": "valid range",
}


@pytest.mark.parametrize("name", FAULTY)
@pytest.mark.filterwarnings("ignore")  # PyTorch warns of the broadcasts, Keras of the softmax
def test_a_faulty_program_trains_otherwise_or_not_at_all_and_is_named(name):
    y, make, expected, kind = FAULTY[name]
    program = make(y)
    found = harness.lint(program.X, y, outputs=program.outputs, loss=program.loss)
    assert [finding.name for finding in found] == [expected], found
    if name in REFUSED:
        with pytest.raises(Exception, match=REFUSED[name]):
            program.train()
    else:
        right = {"softmax": LABELS, "sigmoid": TWO}.get(kind, TARGET)
        assert not np.allclose(program.train(), program.meant(kind, right), rtol=0, atol=1e-3)


@pytest.mark.filterwarnings("ignore")
def test_keras_looks_behind_a_last_layer_of_softmax_and_lint_says_so():
    program = in_keras(SparseCCE(from_logits=True), LABELS, "softmax")
    (finding,) = harness.lint(X, LABELS, outputs=program.outputs, loss=program.loss)
    assert finding.name == "double-softmax"
    assert "on TensorFlow Keras looks behind a last layer of softmax and trains as it should" in finding.message
    np.testing.assert_allclose(program.train(), program.meant("softmax", LABELS), rtol=0, atol=2e-6)
    assert harness.lint(X, LABELS, logits=program.outputs) == []


def test_shapes_are_aligned_where_the_loss_does_it_and_nowhere_else():
    linear = in_torch(nn.MSELoss(), TARGET[:, None], units=1).outputs
    column = plain(linear)
    for loss, found in (
        ("mse", []),  # a word of Keras
        ("keras.losses.MeanSquaredError()", []),
        ("torch.nn.MSELoss()", ["target-shape"]),
        (nn.MSELoss, ["target-shape"]),
        (None, ["target-shape"]),
        (lambda y, p: ((y - p) ** 2).mean(), ["target-shape"]),
    ):
        assert [finding.name for finding in harness.lint(X, TARGET, outputs=column, loss=loss)] == found
    assert [finding.name for finding in harness.lint(X, TARGET, outputs=linear, loss="mse")] == ["target-shape"]
    assert harness.lint(X, TARGET, outputs=in_keras("mse", TARGET, units=1).outputs) == []


def named(value):
    """The same words in every process; what `str` says of an object is its address."""
    return value if isinstance(value, str) else getattr(value, "__name__", type(value).__name__)


@pytest.mark.parametrize(
    ("loss", "outputs", "targets"),
    [
        (nn.CrossEntropyLoss(label_smoothing=0.1), "logits", "either"),
        (F.binary_cross_entropy, "probabilities", "values"),
        (F.binary_cross_entropy_with_logits, "logits", "values"),
        (functools.partial(keras.losses.binary_crossentropy, from_logits=True), "logits", "values"),
        (keras.losses.get("sparse_categorical_crossentropy"), "probabilities", "labels"),
        (keras.losses.CategoricalFocalCrossentropy(from_logits=True), "logits", "columns"),
        (type("Mine", (nn.NLLLoss,), {})(), "log-probabilities", "labels"),
        (tf.nn.sparse_softmax_cross_entropy_with_logits, "logits", "labels"),
        ("tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)", "logits", "labels"),
        ("nn.BCELoss()", "probabilities", "values"),
        ("F.binary_cross_entropy", "probabilities", "values"),
        ("bce", "probabilities", "values"),
    ],
    ids=named,
)
def test_a_loss_is_known_by_its_object_its_function_or_its_name(loss, outputs, targets):
    found = loss_of(loss)
    assert (found.outputs, found.targets) == (outputs, targets)


@pytest.mark.parametrize(
    "loss", [lambda y, p: 0, type("MSELoss", (), {})(), nn.Linear(2, 2), 3, {"a": "mse"}], ids=named
)
def test_a_loss_of_somebody_s_own_is_known_to_nobody(loss):
    assert loss_of(loss) is None


def test_every_loss_of_the_table_is_one_of_its_library():
    libraries = (nn, F, keras.losses, tf.nn, sklearn.metrics)
    words = {"bce", "BCE", "mse", "MSE", "mae", "MAE", "mape", "MAPE", "msle", "MSLE", "kld", "KLD"}  # of Keras
    words.add("squared_error")  # what MLPRegressor calls it
    assert [name for name in LOSSES if not any(hasattr(each, name) for each in libraries)] == sorted(
        words & set(LOSSES), key=list(LOSSES).index
    )
    for word in words - {"squared_error"}:
        keras.losses.get(word)
