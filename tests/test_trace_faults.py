"""What a trace does with recordings that cannot be, with what it cannot name, and with what it must not invent."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the recordings are of trainings in PyTorch")

from harness.cli import invoke
from harness.experiment.datasets import load_datasets
from harness.recording.file import Recording, read, write
from harness.registry import row_of
from harness.replay.training import member_of
from harness.support.errors import RequestError
from harness.tracing import identify as identifying
from harness.tracing.causes import _heavy, _root
from harness.tracing.identify import identify
from harness.tracing.peeling import peel
from harness.tracing.phases import Update
from harness.tracing.runs import stacked, trial_of, watched
from harness.tracing.settings import config_of, prepared
from harness.tracing.trace import trace, trace_names
from harness.tracing.walk import Hypothesis, Walk
from tests.planted import Training, record
from tests.test_trace import small

SETTINGS = {"optimizer": "sgd", "activation": "sigmoid", "learning_rate": 0.1}


def arrays(**changes):
    """A recording's arrays that are as they should be, but for the changes; None leaves one out."""
    rng = np.random.default_rng(0)
    good = {
        "X": rng.random((6, 4)),
        "y": np.array([0, 1, 2, 0, 1, 2]),
        "rows": np.array([[0, 1, 2], [3, 4, -1]]),
        "epoch": np.array([0, 0]),
        "weights/0/W": rng.random((3, 4, 5)),
        "weights/0/b": rng.random((3, 5)),
        "weights/1/W": rng.random((3, 5, 3)),
        "weights/1/b": rng.random((3, 3)),
        "settings": json.dumps(SETTINGS),
    }
    return {key: value for key, value in (good | changes).items() if value is not None}


BAD = [
    ({"X": np.zeros(6)}, "X has shape"),
    ({"X": np.array(3.0)}, "X has shape"),
    ({"X": np.full((6, 4), "a")}, "X is of"),
    ({"X": np.full((6, 4), np.nan)}, "X holds NaN"),
    ({"y": np.array(list("abcabc"))}, "y is of"),
    ({"y": np.array(1)}, "y has shape"),
    ({"rows": np.array(3)}, "rows has shape"),
    ({"rows": np.array([["a", "b", "c"]] * 2)}, "rows is of"),
    ({"rows": np.array([[0.5, 1, 2], [3, 4, 5]])}, "no whole number"),
    ({"rows": np.array([[np.nan, 1, 2], [3, 4, 5]])}, "no whole number"),
    ({"rows": np.array([[0, -1, 2], [3, 4, 5]])}, "rows has -1 before"),
    ({"rows": np.array([[0, 1, -2], [3, 4, 5]])}, "rows must hold row numbers"),
    ({"epoch": np.array(["a", "b"])}, "epoch is of"),
    ({"epoch": np.array(0)}, "epoch has shape"),
    ({"weights/1/W": np.zeros((5, 3)), "activations/0": np.zeros((2, 3, 5))}, "weights/1/W has shape"),
    ({"weights/1/b": np.zeros((3, 3), np.float32)}, "one dtype"),
    ({"learning_rate": np.array([0.1, np.nan])}, "learning_rate holds"),
    ({"learning_rate": np.array([-1.0, 0])}, "learning_rate holds"),
    ({"gradients/0/W": np.zeros((2, 4, 5))}, "gradients must be"),
    (
        {f"gradients/{k}/{key}": np.full((2, *s), np.nan) for k, key, s in
         ((0, "W", (4, 5)), (0, "b", (5,)), (1, "W", (5, 3)), (1, "b", (3,)))},
        "gradients/0/W holds NaN",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "told"), BAD)
def test_an_array_that_cannot_be_is_named_in_one_line(changes, told, tmp_path, capsys):
    path = tmp_path / "run.npz"
    np.savez(path, **arrays(**changes))
    assert invoke(["trace", str(path), str(path)]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert told in line


def test_one_array_under_the_name_of_many_is_no_recording(tmp_path):
    with (tmp_path / "run.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(RequestError, match="not an NPZ file"):
        read(tmp_path / "run.npz")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"activation": 3}, "activation = 3"),
        ({"activation": [3]}, "activation"),
        ({"momentun": 0.9}, "did you mean 'momentum'"),
        ({"momentum": 5}, "momentum = 5: must be below 1"),
        ({"dtype": "int"}, "unknown dtype 'int'"),
        ({"output_activation": "zzz"}, "unknown output_activation"),
        ({"clip_norm": 0}, "clip_norm = 0: must be above 0"),
        ({"batch_size": "a"}, "batch_size = 'a'"),
        ({"task": ["regression"]}, "unknown task"),
        ({"dropout": 0.5}, "dropout is not replayed"),
        ({"batch_norm": True}, "batch_norm is not replayed"),
    ],
)
def test_a_setting_that_cannot_be_is_named(settings, told, tmp_path):
    np.savez(tmp_path / "run.npz", **arrays(settings=json.dumps(SETTINGS | settings)))
    with pytest.raises(RequestError, match=told):
        config_of(read(tmp_path / "run.npz"))


def test_networks_with_other_numbers_of_layers_part_at_the_start():
    experiment = small(epochs=6)
    found = trace_names(experiment, ("torch", "course-2018-keras"), next(iter(experiment.cells())), steps=4)
    assert (found.first.phase, found.first.tensor) == ("start", "layers")
    assert (found.causes[0].name, found.causes[0].effect) == ("hidden", None)  # it cannot be undone
    assert {cause.name for cause in found.causes if cause.effect is None} <= {"hidden", "init", "bias"}
    assert found.a == "torch (replay of its declared row)"


def in_torch(make, steps=12, clip=None, output=None, dampened=False):
    """A small training in PyTorch, each gradient noted before `clip` is applied to it."""
    import torch

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 6)), rng.integers(0, 4, 60)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 7), torch.nn.Tanh(), torch.nn.Linear(7, 4)).double()
    optimizer, layers = make(model.parameters()), (model[0], model[2])
    rows = np.stack([rng.permutation(60)[:20] for _ in range(steps)])

    def noted(what):
        return tuple({"W": what(layer.weight).T.copy(), "b": what(layer.bias).copy()} for layer in layers)

    weights, gradients = [noted(lambda p: p.detach().numpy())], []
    for chosen in rows:
        optimizer.zero_grad()
        z = model(torch.tensor(X[chosen]))
        z = z.softmax(1) if output == "softmax" else z
        torch.nn.functional.cross_entropy(z, torch.tensor(y[chosen])).backward()
        gradients.append(noted(lambda p: p.grad.numpy()))
        if clip:
            norm = torch.sqrt(sum((p.grad**2).sum() for p in model.parameters()))
            for p in model.parameters():
                p.grad *= min(1.0, clip / float(norm))
        optimizer.step()
        weights.append(noted(lambda p: p.detach().numpy()))
    settings = {"optimizer": "sgd", "activation": "tanh", "output_activation": output or "identity"}
    rate = optimizer.param_groups[0]["lr"]
    return Recording(
        X, y, rows, np.arange(steps) // 3, stacked(weights), stacked(gradients),
        learning_rate=np.full(steps, rate), settings=settings,
    )  # fmt: skip


def sgd(**options):
    import torch

    return lambda parameters: torch.optim.SGD(parameters, lr=0.1, **options)


@pytest.mark.parametrize("clip", [0.1, 0.3])
def test_clipping_behind_the_recorded_gradient_is_named_and_no_other_learning_rate(clip):
    recording = in_torch(sgd(), clip=clip)
    found = identify(recording, config_of(recording))
    assert {cause.name: cause.found for cause in found.causes if cause.phase == "loss"} == {
        "clip_norm": pytest.approx(clip, rel=1e-6)
    }
    assert found.followed


def test_dampening_as_pytorch_has_it_is_said_to_have_no_name_and_nothing_is_invented():
    recording = in_torch(sgd(momentum=0.9, dampening=0.9))
    recording = replace(recording, settings={**recording.settings, "optimizer": "momentum", "momentum": 0.9})
    config = config_of(recording)
    found = peel(prepared(recording, config), config, identifying.controlled_row(config, identifying.Recipe()))
    assert "update: off by" in found.unnamed
    assert all(cause.guess and cause.after < cause.before for cause in found.causes)
    assert not {"optimizer", "beta_1", "beta_2", "epsilon", "learning_rate"} & {cause.name for cause in found.causes}


def test_softmax_in_the_network_and_in_the_loss_is_called_by_its_name():
    recording = in_torch(sgd(), output="softmax", steps=4)
    config = config_of(recording)
    found = peel(prepared(recording, config), config, identifying.controlled_row(config, identifying.Recipe()))
    assert "softmax applied twice" in found.unnamed
    once = in_torch(sgd(), steps=4)
    assert peel(prepared(once, config), config, identifying.controlled_row(config, identifying.Recipe())).unnamed == ""


def native(backend, optimizer, steps=12):
    experiment = small(epochs=6, optimizer=optimizer)
    datasets = load_datasets(experiment)
    trial = trial_of(experiment, datasets, next(iter(experiment.cells())), 0, "native")
    train = trial.prepare(datasets[trial.data.key]).train
    member = member_of(trial, row_of(backend, trial.config, trial.recipe), train)
    settings = {
        "optimizer": optimizer,
        "l2": 0.01,
        "learning_rate": 0.05,
        "activation": list(trial.config.network.dense["activation"]),
    }
    return replace(watched(member, steps, backend), gradients=None, activations=None, logits=None, settings=settings)


def test_where_the_search_finds_nothing_the_backends_own_rows_are_tried(monkeypatch):
    monkeypatch.setattr("harness.tracing.peeling._MOST_CAUSES", 0)  # the search gives up at once
    recording = native("sklearn", "adam")
    found = identify(recording, config_of(recording))
    assert (found.unnamed, found.nearest, found.differs) == ("", "sklearn", ())
    # what was assumed is what the file says, and not what the row has that was tried
    told = {cause.name: (cause.assumed, cause.found) for cause in found.causes}
    assert told["l2_divisor"] == ("none", "rows of the batch")
    assert told["epsilon_place"] == ("outside", "hat")


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_tie_goes_to_the_nearest_declared_row(optimizer):
    recording = native("keras", optimizer)
    found = identify(recording, config_of(recording))
    assert (found.nearest, found.differs) == ("keras", ())


def test_a_last_batch_that_is_dropped_is_told_where_the_other_side_has_none():
    a = record(Training(n=60, batch_size=20))
    keep = np.flatnonzero((a.rows >= 0).all(axis=1))
    b = replace(a, X=np.vstack([a.X, a.X[:7]]), y=np.append(a.y, a.y[:7]), rows=a.rows[:, ::-1].copy())
    found = trace(a, b)
    assert len(keep) == a.steps
    assert {cause.name: cause.found for cause in found.causes}["last_batch"] == "drop"
    assert not any("same law" in note and "batches" in note for note in found.notes)


def test_a_data_order_that_parts_is_placed_in_its_own_epoch():
    a = record(Training())
    first = int(np.searchsorted(a.epoch, 1))
    rows = a.rows.copy()
    rows[first, :2] = rows[first, 1::-1]
    found = trace(a, replace(a, rows=rows))
    assert (found.free.phase, found.free.step, found.free.epoch) == ("data order", first + 1, 2)


def following(training):
    """A recording, its walk, and the hypothesis that it follows."""
    recording = record(training)
    config = config_of(recording)
    found = peel(prepared(recording, config), config, identifying.controlled_row(config, identifying.Recipe()))
    h = Hypothesis(found.config, found.row)
    return Update(Walk(prepared(recording, config)), h), h


def test_momentum_s_evidence_has_the_learning_rate_divided_out():
    stage, h = following(Training(optimizer="momentum", momentum=0.9, learning_rate=0.02))
    assert _heavy(stage, h).startswith("u/lr = 1 g + 0.9 u'/lr' + 0 g'")


def test_epsilon_s_evidence_is_of_adam_s_corrected_moment():
    stage, h = following(Training(optimizer="adam", learning_rate=0.01, said={"epsilon": 1e-4}, epsilon=1e-4))
    middle = float(_root(stage, h).split("x - s = ")[1].split(" ")[0])
    assert middle == pytest.approx(1e-4, rel=1e-3)


def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch, capsys):
    write(record(Training()), tmp_path / "a.npz")
    monkeypatch.setattr("harness.cli.trace.trace", lambda *a, **k: pytest.fail("worked first"))
    files = [str(tmp_path / "a.npz")] * 2
    assert invoke(["trace", *files, "-o", str(tmp_path / "none" / "x.json")]) == 2
    assert "cannot be written" in capsys.readouterr().err
