"""What the recorders write of a real training is what happened in it, and `harness.recording.file` reads it."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.recording.file import read
from harness.registry import backend
from harness.tracing.trace import trace

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/recording.md").read_text()

torch = pytest.importorskip("torch", reason=backend("torch").missing())
keras = pytest.importorskip("keras", reason=backend("keras").missing())

from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

from backends.keras.trainer import precision  # noqa: E402
from backends.keras_recorder import KerasRecorder  # noqa: E402
from backends.torch_recorder import TorchRecorder, epochs_of  # noqa: E402

N, STEPS = 70, 6  # two epochs of 32, 32 and 6 rows


def data(dtype):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, 5)).astype(dtype)
    return X, (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)


def torch_model(dtype):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).to(getattr(torch, dtype))
    return model, torch.optim.Adam(model.parameters(), lr=0.01)


def train_torch(model, optimizer, loader):
    for _ in range(2):
        for inputs, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
    return [parameter.detach().numpy() for parameter in model.parameters()]


def record_torch(dtype, path):
    X, y = (torch.tensor(array) for array in data(dtype))
    model, optimizer = torch_model(dtype)
    recorder = TorchRecorder(model, optimizer, X, y)
    train_torch(model, optimizer, DataLoader(recorder, 32, shuffle=True, generator=torch.Generator().manual_seed(2)))
    recorder.save(path, optimizer="adam")
    return read(path)


def unrecorded_torch(dtype):
    X, y = (torch.tensor(array) for array in data(dtype))
    loader = DataLoader(TensorDataset(X, y), 32, shuffle=True, generator=torch.Generator().manual_seed(2))
    return [parameter.T for parameter in train_torch(*torch_model(dtype), loader)]


def keras_model():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model


def record_keras(dtype, path):
    with precision(dtype):
        recorder = KerasRecorder(keras_model(), *data(dtype))
        recorder.fit(batch_size=32, epochs=1, verbose=0)
        recorder.fit(batch_size=32, epochs=1, verbose=0)
    recorder.save(path, optimizer="adam")
    return read(path)


def unrecorded_keras(dtype):
    with precision(dtype):
        model = keras_model()
        for _ in range(2):
            model.fit(*data(dtype), batch_size=32, epochs=1, verbose=0)
    return [np.array(weight) for weight in model.trainable_weights]


RECORDERS = {"torch": (record_torch, unrecorded_torch), "keras": (record_keras, unrecorded_keras)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RECORDERS)
def test_a_recorded_training_ends_bit_for_bit_as_one_that_nobody_records(name, dtype, tmp_path):
    record, unrecorded = RECORDERS[name]
    recording = record(dtype, tmp_path / "run.npz")
    assert recording.dtype == dtype
    ends = [value for layer in recording.weights_at(STEPS) for value in layer.values()]
    for end, expected in zip(ends, unrecorded(dtype), strict=True):
        np.testing.assert_array_equal(end, expected)


def passed(recording, step):
    """The logits and the gradients of cross entropy, from the weights before a step and its rows."""
    rows, (first, last) = recording.batch(step), recording.weights_at(step)
    hidden = np.tanh(recording.X[rows] @ first["W"] + first["b"])
    z = hidden @ last["W"] + last["b"]
    p = np.exp(z)
    delta = (p / p.sum(axis=1, keepdims=True) - np.eye(3)[recording.y[rows]]) / len(rows)
    back = delta @ last["W"].T * (1 - hidden**2)
    return z, ({"W": recording.X[rows].T @ back, "b": back.sum(0)}, {"W": hidden.T @ delta, "b": delta.sum(0)})


@pytest.mark.parametrize("name", RECORDERS)
def test_the_gradients_belong_to_the_rows_and_to_the_weights_before_the_step(name, tmp_path):
    recording = RECORDERS[name][0]("float64", tmp_path / "run.npz")
    assert recording.rows.shape == (STEPS, 32)
    assert recording.epoch.tolist() == [0, 0, 0, 1, 1, 1]
    for step in range(STEPS):
        z, expected = passed(recording, step)
        for noted, gradient in zip(recording.gradients, expected, strict=True):
            for key, value in gradient.items():
                np.testing.assert_allclose(noted[key][step], value, rtol=0, atol=1e-14)
        if recording.logits is not None:
            np.testing.assert_allclose(recording.logits[step, : len(z)], z, rtol=0, atol=1e-14)
    np.testing.assert_allclose(recording.learning_rate, 0.01, rtol=1e-7)
    settings = {"activation": ["tanh"], "output_activation": "identity", "optimizer": "adam"}
    assert dict(recording.settings) == settings


BOUND = 0.1


def clipped_torch(bound, path):
    """Plain SGD on batches in order, the gradient clipped to a norm in PyTorch's own way."""
    X, y = (torch.tensor(array) for array in data("float32"))
    model, _ = torch_model("float32")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    recorder = TorchRecorder(model, optimizer, X, y)
    for _ in range(2):
        for rows in torch.arange(N).split(32):
            inputs, labels = recorder[rows]
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            if bound:
                nn.utils.clip_grad_norm_(model.parameters(), bound)
            optimizer.step()
    recorder.save(path, optimizer="sgd", loss="cross_entropy")
    return read(path)


def clipped_keras(bound, path):
    """The same in Keras's own way, from the same start."""
    model = keras_model()
    model.set_weights([tensor.detach().numpy().T for tensor in torch_model("float32")[0].parameters()])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5, global_clipnorm=bound), loss)
    recorder = KerasRecorder(model, *data("float32"))
    recorder.fit(batch_size=32, epochs=2, shuffle=False, verbose=0)
    recorder.save(path, optimizer="sgd", loss="cross_entropy")
    return read(path)


CLIPPED = {"torch": clipped_torch, "keras": clipped_keras}


@pytest.mark.parametrize("name", CLIPPED)
def test_gradients_are_those_before_clipping_and_clipping_shows_in_the_update(name, tmp_path):
    recording = CLIPPED[name](BOUND, tmp_path / "run.npz")
    for step in range(STEPS):
        _, gradients = passed(recording, step)
        norm = np.sqrt(sum((value**2).sum() for layer in gradients for value in layer.values()))
        assert norm > 1.5 * BOUND
        after = recording.weights_at(step + 1)
        for noted, gradient, before, then in zip(
            recording.gradients, gradients, recording.weights_at(step), after, strict=True
        ):
            for key, value in gradient.items():
                np.testing.assert_allclose(noted[key][step], value, rtol=0, atol=1e-6)
                np.testing.assert_allclose(before[key] - then[key], 0.5 * value * BOUND / norm, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", CLIPPED)
def test_a_trace_finds_clipping_in_the_update(name, tmp_path):
    plain, clipped = (CLIPPED[name](bound, tmp_path / "run.npz") for bound in (None, BOUND))
    found = trace(plain, clipped)
    assert {cause.name: cause.found for cause in found.causes} == {"clip_norm": pytest.approx(BOUND, rel=1e-4)}
    for first in (found.free, found.forced):
        assert (first.step, first.phase) == (1, "optimizer state")
    assert found.unnamed == found.unnamed_a == ""


def test_the_same_clipped_training_in_both_is_one_training(tmp_path):
    found = trace(*(record(BOUND, tmp_path / "run.npz") for record in CLIPPED.values()))
    assert (found.free, found.forced, found.causes, found.unnamed) == (None, None, (), "")


def test_a_gradient_that_no_backward_made_is_recorded_as_it_was_given(tmp_path):
    X, y = (torch.tensor(array) for array in data("float32"))
    model, optimizer = torch_model("float32")
    recorder = TorchRecorder(model, optimizer, X, y)
    inputs, _ = recorder[torch.arange(32)]
    model(inputs)
    for tensor in model.parameters():
        tensor.grad = torch.full_like(tensor, 0.25)
    optimizer.step()
    recorder.save(tmp_path / "run.npz")
    assert all((value == 0.25).all() for layer in read(tmp_path / "run.npz").gradients for value in layer.values())


def test_an_epoch_ends_where_a_row_comes_again():
    batches = [np.array(rows) for rows in ([0, 2], [1], [1, 0], [2], [3, 2], [0])]
    assert epochs_of(batches).tolist() == [0, 0, 1, 1, 2, 2]


def test_batches_taken_by_their_numbers_count_and_an_evaluation_does_not(tmp_path):
    X, y = (torch.tensor(array) for array in data("float32"))
    model, optimizer = torch_model("float32")
    recorder = TorchRecorder(model, optimizer, X, y)
    for rows in torch.randperm(N).split(32):
        inputs, labels = recorder[rows]
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        model.eval()
        model(recorder[:10][0])
        model.train()
    recorder.save(tmp_path / "run.npz")
    recording = read(tmp_path / "run.npz")
    assert sorted(recording.rows[recording.rows >= 0]) == list(range(N))


def test_a_step_on_rows_from_elsewhere_is_an_error():
    X, y = (torch.tensor(array) for array in data("float32"))
    model, optimizer = torch_model("float32")
    TorchRecorder(model, optimizer, X, y)
    nn.functional.cross_entropy(model(X), y).backward()
    with pytest.raises(ValueError, match="step 1: 0 rows were taken from the recorder and 70 went through the model"):
        optimizer.step()


def test_what_cannot_be_recorded_is_named():
    X, y = data("float32")
    for layer in (nn.Dropout(), nn.BatchNorm1d(4), nn.Linear(4, 4, bias=False)):
        model = nn.Sequential(nn.Linear(5, 4), layer, nn.Linear(4, 3))
        with pytest.raises(ValueError, match=rf"layer 1 is {type(layer).__name__}\(.*; allowed: Linear with a bias"):
            TorchRecorder(model, torch.optim.SGD(model.parameters()), X, y)
    with pytest.raises(ValueError, match=r"the model is of Linear; a recording is of an nn\.Sequential"):
        TorchRecorder(nn.Linear(5, 3), None, X, y)

    for layer in (keras.layers.Dropout(0.5, name="x"), keras.layers.Dense(4, use_bias=False, name="x")):
        model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4), layer, keras.layers.Dense(3)])
        model.compile("sgd", "mse")
        with pytest.raises(ValueError, match=rf"layer 'x' is {type(layer).__name__}; allowed: trainable Dense layers"):
            KerasRecorder(model, X, y)
    recorder = KerasRecorder(keras_model(), X, y)
    with pytest.raises(ValueError, match="fit of a recorder has no validation_split"):
        recorder.fit(validation_split=0.2)
    with pytest.raises(ValueError, match="no step was recorded"):
        recorder.save("run.npz")


def test_after_a_recording_the_model_is_trained_as_before():
    X, y = data("float32")
    model = keras_model()
    recorder = KerasRecorder(model, X, y)
    history = recorder.fit(batch_size=32, epochs=1, verbose=0)
    assert set(history.history) == {"loss", "accuracy"}
    model.fit(X, y, sample_weight=np.ones(N), verbose=0)
    assert len(recorder.rows) == 3


@pytest.mark.parametrize("name", RECORDERS)
def test_the_lines_of_the_page_run_as_they_stand(name, tmp_path):
    (lines,) = [text for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if f"backends.{name}_" in text]
    (tmp_path / "script.py").write_text(lines)
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    recording = read(tmp_path / f"{name}.npz")
    assert recording.steps == 2 * 18
    assert recording.settings["loss"] == "cross_entropy"


@pytest.mark.parametrize("name", RECORDERS)
def test_a_recorder_needs_no_other_file_of_ours(name):
    """So that it can be copied beside anybody's script."""
    source = (ROOT / f"backends/{name}/recorder.py").read_text()
    assert not re.search(r"^\s*(from|import) (harness|backends|reports|experiments|tests)", source, re.MULTILINE)
