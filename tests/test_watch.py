"""A watched native fit is the fit itself, to the last bit, and what was noted of it is what happened."""

from functools import cache

import numpy as np
import pytest

from harness.contract import Config
from harness.recording.file import read, write
from harness.registry import BUILT_IN, load_trainer, native_backends
from harness.registry import backend as find
from harness.training.parity import deviation
from tests.test_native import TASKS, prepared
from tests.watch import watch

BACKENDS = [backend.name for backend in BUILT_IN if backend.name in native_backends() and backend.missing() is None]
SEED, L2 = 3, 0.01

# What each framework adds to the gradient that its optimizer is given, as a factor of L2 * W in a batch of n rows, and
# to the loss, as a factor of L2 * sum(W**2). PyTorch's optimizer adds it later; the lecture class has no loss.
L2_IN_GRADIENT = {"numpy": lambda n: 1, "sklearn": lambda n: 1 / n, "tensorflow": lambda n: 1, "keras": lambda n: 2}
L2_IN_LOSS = {"sklearn": lambda n: 0.5 / n, "tensorflow": lambda n: 0.5, "keras": lambda n: 1}


@cache
def data():
    return prepared("digits", "multiclass", 16).train


def settings(**changes):
    base = {"n_inputs": 64, "n_outputs": 10, "hidden": (20,), "activation": ("sigmoid",), "learning_rate": 0.01}
    return Config.of(**{**base, "optimizer": "sgd", "batch_size": 100, "epochs": 2, "l2": L2, **changes})


def in_dtype(dtype):
    return {} if dtype == "default" else {"dtype": dtype, "written": frozenset({"dtype"})}


def unwatched(backend, config, X, y):
    trainer = load_trainer(find(backend).trainer)(config, None)
    return trainer, trainer.fit_native(X, y, SEED)


@cache
def watched(backend, optimizer="sgd", dtype="default"):
    return watch(backend, settings(optimizer=optimizer, **in_dtype(dtype)), data().X, data().y, SEED)


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


def assert_the_same_fit(recording, trainer, told):
    assert deviation(recording.weights_at(recording.steps), trainer.weights()) == 0
    assert deviation(recording.weights_at(0), trainer.weights()) > 0
    assert recording.dtype == str(trainer.weights()[0]["W"].dtype)
    assert recording.settings["logged"] == told.curves
    assert recording.epoch[-1] + 1 == told.epochs_run


@pytest.mark.parametrize("dtype", ["default", "float32", "float64"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_watched_fit_ends_bit_for_bit_as_one_that_nobody_watches(backend, optimizer, dtype):
    config = settings(optimizer=optimizer, **in_dtype(dtype))
    assert_the_same_fit(watched(backend, optimizer, dtype), *unwatched(backend, config, data().X, data().y))


@pytest.mark.parametrize("task", TASKS)
def test_so_does_one_of_every_other_task(backend, task):
    prepared_data, told, _ = TASKS[task]
    X, y = prepared_data.train.X, prepared_data.train.y
    config = settings(**told, task=task, n_inputs=X.shape[1])
    recording = watch(backend, config, X, y, SEED)
    assert_the_same_fit(recording, *unwatched(backend, config, X, y))
    assert recording.logits.shape == (*recording.rows.shape, config.network.n_outputs)


@pytest.mark.parametrize("dtype", ["default", "float64"])
def test_the_steps_follow_from_what_was_noted_before_them(backend, dtype):
    """Logits, loss and gradients of every step by NumPy, from the weights before it and the rows that it saw."""
    recording = watched(backend, "sgd", dtype)
    close = {"rtol": 0, "atol": 1e-12 if recording.dtype == "float64" else 2e-5}
    l2 = float(np.float32(L2)) if backend == "keras" else L2
    for step in range(recording.steps):
        rows, (first, last) = recording.batch(step), recording.weights_at(step)
        X, n = recording.X[rows], len(rows)
        hidden = 1 / (1 + np.exp(-(X @ first["W"] + first["b"])))
        logits = hidden @ last["W"] + last["b"]
        np.testing.assert_allclose(recording.logits[step, :n], logits, **close)

        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        targets = np.eye(10)[recording.y[rows]]
        if backend == "numpy":
            assert recording.loss is None
        else:
            squares = np.sum(first["W"] ** 2) + np.sum(last["W"] ** 2)
            penalty = L2_IN_LOSS.get(backend, lambda n: 0)(n) * l2 * squares
            np.testing.assert_allclose(recording.loss[step], penalty - np.mean(np.log(p[targets == 1])), **close)

        delta = (p - targets) / (1 if backend == "numpy" else n)
        back = delta @ last["W"].T * hidden * (1 - hidden)
        factor = L2_IN_GRADIENT.get(backend, lambda n: 0)(n) * l2
        expected = (
            {"W": X.T @ back + factor * first["W"], "b": back.sum(axis=0)},
            {"W": hidden.T @ delta + factor * last["W"], "b": delta.sum(axis=0)},
        )
        for noted, gradient in zip(recording.gradients, expected, strict=True):
            for key, value in gradient.items():
                np.testing.assert_allclose(noted[key][step], value, **close)


def test_the_weights_after_a_step_are_the_gradient_s_work(backend):
    """Plain SGD with each framework's own reading of it: PyTorch adds L2 here, scikit-learn has momentum 0.9."""
    recording = watched(backend, "sgd", "float64")
    # tf.keras holds the learning rate in its floatx, which is float32 whatever the variables are
    learning_rate = float(np.float32(0.01)) if backend == "tensorflow" else 0.01
    for weights, gradients in zip(recording.weights, recording.gradients, strict=True):
        for key, given in gradients.items():
            decay = L2 * weights[key][:-1] if backend == "torch" else 0
            velocity, moves = 0.0, []
            for gradient in given + decay:
                velocity = 0.9 * velocity + gradient
                moves.append(gradient + 0.9 * velocity if backend == "sklearn" else gradient)
            expected = -learning_rate * np.array(moves)
            np.testing.assert_allclose(np.diff(weights[key], axis=0), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name not in ("numpy", "tensorflow")])
def test_an_epoch_is_every_row_once(backend):
    recording = watched(backend)
    orders = [recording.rows[recording.epoch == epoch].ravel() for epoch in (0, 1)]
    for order in orders:
        assert sorted(order[order >= 0]) == list(range(len(recording.X)))
    assert (orders[0] != orders[1]).any() == (backend != "keras")  # under a seed Keras repeats its first order for ever
    assert (recording.rows[[14, 29]] >= 0).sum(axis=1).tolist() == [37, 37]


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name in ("numpy", "tensorflow")])
def test_each_batch_of_the_lecture_class_is_a_draw_of_its_own(backend):
    recording = watched(backend)
    assert recording.rows.shape == (2 * 14, 100)
    assert recording.epoch.tolist() == [0] * 14 + [1] * 14
    first = recording.rows[:14].ravel()
    assert len(np.unique(first)) < len(first)


def test_the_shuffles_of_scikit_learn_compose():
    """Replayed by the seed alone: W and b of each layer, then one shuffle an epoch, of the last epoch's order."""
    recording = watched("sklearn")
    rng = np.random.RandomState(SEED)
    for layer, (n_in, n_out) in zip(recording.weights_at(0), [(64, 20), (20, 10)], strict=True):
        bound = np.sqrt(2 / (n_in + n_out))
        np.testing.assert_array_equal(layer["W"], rng.uniform(-bound, bound, (n_in, n_out)))
        np.testing.assert_array_equal(layer["b"], rng.uniform(-bound, bound, n_out))
    order = np.arange(len(recording.X))
    for epoch in (0, 1):
        indices = np.arange(len(order))
        rng.shuffle(indices)
        order = order[indices]
        rows = recording.rows[recording.epoch == epoch].ravel()
        np.testing.assert_array_equal(rows[rows >= 0], order)


def test_where_scikit_learn_stops_early_the_recording_ends():
    config = settings(learning_rate=1e-6, epochs=40)
    recording = watch("sklearn", config, data().X, data().y, SEED)
    assert_the_same_fit(recording, *unwatched("sklearn", config, data().X, data().y))
    assert recording.epoch[-1] + 1 == recording.settings["epochs"] == 12  # the first, and eleven no better by 1e-4
    assert recording.steps == 12 * 15


@pytest.mark.skipif("keras" not in BACKENDS, reason="keras is not installed")
def test_behind_an_output_activation_keras_has_no_logits_to_note():
    prepared_data, told, _ = TASKS["regression"]
    X, y = prepared_data.train.X, prepared_data.train.y
    config = settings(**{**told, "output_activation": "sigmoid"}, task="regression", n_inputs=X.shape[1])
    recording = watch("keras", config, X, y, SEED)
    assert_the_same_fit(recording, *unwatched("keras", config, X, y))
    assert recording.logits is None


def test_a_recording_of_any_backend_is_one_that_can_be_read_again(backend, tmp_path):
    recording = watched(backend, "adam")
    write(recording, tmp_path / "run.npz")
    again = read(tmp_path / "run.npz")
    for key in ("X", "y", "rows", "epoch", "logits", "loss"):
        np.testing.assert_array_equal(getattr(again, key), getattr(recording, key))
    for step in (0, 7, recording.steps):
        assert deviation(again.weights_at(step), recording.weights_at(step)) == 0
    assert again.settings["optimizer"] == "adam"
    assert again.settings["backend"] == backend
