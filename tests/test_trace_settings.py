"""What a trace makes of targets in every form that people keep them in, and of what a recording says of itself."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the recordings are of trainings in PyTorch")

import torch

from harness.recording.file import read
from harness.registry import backend
from harness.support.errors import RequestError
from harness.tracing.identify import identify
from harness.tracing.settings import assumed_row, config_of
from harness.tracing.trace import trace
from tests.planted import Training, record

A = record(Training(epochs=1))
CLASSES = A.layers[-1]
ONE_HOT = np.eye(CLASSES)[A.y]
SILENT = {key: value for key, value in A.settings.items() if key not in ("task", "loss")}

FORMS = {
    "int8": A.y.astype(np.int8),
    "uint64": A.y.astype(np.uint64),
    "float32": A.y.astype(np.float32),
    "float64": A.y.astype(np.float64),
    "a column": A.y[:, None],
    "a column of numbers": A.y[:, None] * 1.0,
    "columns": ONE_HOT,
    "columns of whole numbers": ONE_HOT.astype(int),
    "columns of truths": ONE_HOT.astype(bool),
}


@pytest.mark.parametrize("settings", [A.settings, SILENT], ids=["told", "silent"])
@pytest.mark.parametrize("form", FORMS)
def test_labels_are_the_same_in_every_form(form, settings):
    a, b = replace(A, settings=settings), replace(A, y=FORMS[form], settings=settings)
    for pair in ((a, b), (b, a)):
        found = trace(*pair)
        assert (found.free, found.forced, found.causes, found.notes) == (None, None, (), ())
        assert found.unnamed == found.unnamed_a == ""


@pytest.mark.parametrize("dtype", [bool, np.int32, np.uint8, np.float32])
def test_two_classes_are_the_same_in_every_dtype_and_shape(dtype):
    a = record(Training(epochs=1, task="multilabel", layers=(6, 7, 1)))
    a = replace(a, settings={**a.settings, "task": "binary"})
    found = trace(a, replace(a, y=a.y.astype(dtype).ravel()))
    assert (found.free, found.causes, found.unnamed, found.notes) == (None, (), "", ())


@pytest.mark.parametrize(
    ("y", "settings", "task"),
    [
        (A.y * 1.0, {}, "multiclass"),
        (ONE_HOT, {"loss": "cross_entropy"}, "multiclass"),
        (ONE_HOT, {"output_activation": "softmax"}, "multiclass"),
        (ONE_HOT, {}, "regression"),
        (ONE_HOT, {"loss": "mse"}, "regression"),
        (ONE_HOT > 0, {"loss": "binary_cross_entropy"}, "multilabel"),
        (ONE_HOT * 0 > 0, {}, "multilabel"),
        (ONE_HOT * 2, {}, "regression"),
    ],
)
def test_the_task_is_read_from_loss_and_targets(y, settings, task):
    assert config_of(replace(A, y=y, settings={**SILENT, **settings})).task == task


def test_targets_that_are_no_labels_are_named_with_their_shape():
    for y, told in (
        (A.y + 0.5, r"y has shape \(46,\), float64; allowed for several classes: whole numbers \(n,\) from 0 to 3, or"),
        (ONE_HOT[:, :3], r"y has shape \(46, 3\)"),
        (ONE_HOT * 2, r"one column a class, \(n, 4\), with a single 1"),
    ):
        with pytest.raises(RequestError, match=told):
            trace(A, replace(A, y=y))


def test_other_targets_of_the_same_rows_are_noted():
    y = A.y.copy()
    y[:3] = (y[:3] + 1) % CLASSES
    assert "The targets are not the same: y differs in 3 of 46 rows." in trace(A, replace(A, y=y)).notes


def test_shapes_that_differ_are_named_tensor_by_tensor():
    wide = record(Training(epochs=1, layers=(5, 7, 3)))
    with pytest.raises(RequestError) as refused:
        trace(replace(A, name="a.npz"), replace(wide, name="b.npz"))
    assert str(refused.value) == (
        "a.npz and b.npz: X (46, 6) and (46, 5), weights/0/W (7, 6, 7) and (7, 5, 7), weights/1/W (7, 7, 4) and "
        "(7, 7, 3); inputs, outputs and the number of layers must be the same"
    )
    deep = record(Training(epochs=1, layers=(6, 7, 7, 4)))
    with pytest.raises(RequestError, match="planted and planted: 2 and 3 layers of weights; inputs"):
        trace(A, deep)


# --- adamw ---------------------------------------------------------------------------------------------------------

DECAY = 0.05
WORDS = {"optimizer": "adamw", "weight_decay": DECAY, "loss": "cross_entropy"}


def in_torch(path):
    from backends.torch_recorder import TorchRecorder

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 7), torch.nn.Tanh(), torch.nn.Linear(7, 4)).double()
    X, y = torch.tensor(A.X), torch.tensor(A.y)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=DECAY)
    recorder = TorchRecorder(model, optimizer, X, y)
    for _ in range(3):
        for rows in torch.randperm(len(X)).split(16):
            inputs, labels = recorder[rows]
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
    recorder.save(path, **WORDS)
    return read(path)


def in_keras(path):
    keras = pytest.importorskip("keras", reason=backend("keras").missing())
    from backends.keras.trainer import precision
    from backends.keras_recorder import KerasRecorder

    with precision("float64"):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(7, "tanh"), keras.layers.Dense(4)])
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.AdamW(0.01, weight_decay=DECAY), loss)
        recorder = KerasRecorder(model, A.X, ONE_HOT)
        recorder.fit(batch_size=16, epochs=3, verbose=0)
    recorder.save(path, **WORDS)
    return read(path)


@pytest.mark.parametrize("framework", [in_torch, in_keras])
def test_adamw_is_adam_with_a_decoupled_penalty_of_every_tensor(framework, tmp_path):
    recording = framework(tmp_path / "run.npz")
    config = config_of(recording)
    assert (config.optimizer.name, config.penalty.l2) == ("adam", DECAY)
    found = identify(recording, config)
    row = found.row
    assert (row.optimizer, row.l2_form, row.l2_tensors) == ("adam", "decoupled", "weights and biases")
    assert not {"l2", "l2_form", "l2_tensors", "l2_factor", "optimizer"} & {cause.name for cause in found.causes}
    assert found.followed


def test_what_adamw_says_of_its_decay_is_read_once():
    adam = replace(A, settings={**SILENT, "optimizer": "adamw", "l2": 0.1})
    assert config_of(adam).penalty.l2 == 0.1
    assert assumed_row(adam, config_of(adam)).l2_form == "decoupled"
    assert assumed_row(A, config_of(A)).l2_form == "coupled"
    for settings, told in (
        ({"optimizer": "adamw", "l2": 0.1, "weight_decay": 0.1}, "in place of l2"),
        ({"optimizer": "adam", "weight_decay": 0.1}, 'weight_decay is for optimizer = "adamw"'),
        ({"optimizer": "adamw", "weight_decay": -1}, "weight_decay = -1: must be a number, at least 0"),
        ({"optimizer": "adanw"}, "did you mean 'adamw'"),
    ):
        with pytest.raises(RequestError, match=told):
            config_of(
                replace(A, settings={**{key: SILENT[key] for key in ("activation", "learning_rate")}, **settings})
            )
