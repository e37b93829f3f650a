"""One recording of a foreign training: its row is named, what it cannot tell is said, what is false is not claimed."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the foreign trainings are in PyTorch")

from torch import nn  # noqa: E402

from harness.cli import invoke  # noqa: E402
from harness.conventions.table import CONVENTIONS  # noqa: E402
from harness.recording.file import Recording, write  # noqa: E402
from harness.tracing.identify import identify  # noqa: E402
from harness.tracing.schedules import schedule_of  # noqa: E402
from harness.tracing.settings import config_of  # noqa: E402
from harness.tracing.start_and_batches import law_of_biases, law_of_weights  # noqa: E402
from harness.tracing.trace import trace  # noqa: E402
from tests.planted import Training, record  # noqa: E402

SAID = ("activation", "loss", "task", "learning_rate")


def foreign(**training):
    """A training that says no more of itself than the page on recordings asks for."""
    recording = record(Training(**training))
    return replace(recording, settings={key: recording.settings[key] for key in SAID})


def found_in(recording):
    return identify(recording, config_of(recording))


# What no search over one change or two found: an L2 of unknown size beside other numbers of its phase.
FOREIGN = {
    "momentum, L2 on hidden layers": (
        {"optimizer": "momentum", "momentum": 0.7, "l2": 0.013, "l2_tensors": "hidden", "seed": 3},
        {"optimizer": "sgd", "momentum": 0.7, "l2": 0.013, "l2_tensors": "hidden"},
    ),
    "AdamW on everything, weights alone": (
        {
            "optimizer": "adam",
            "learning_rate": 0.013,
            "l2": 0.03,
            "l2_tensors": "weights and biases",
            "l2_decoupled": True,
            "beta_1": 0.8,
            "watched": (),
            "seed": 4,
        },
        {"optimizer": "adam", "beta_1": 0.8, "l2": 0.03, "l2_form": "decoupled", "l2_tensors": "weights and biases"},
    ),
    "Nesterov, summed, clipped, L2, gradients in float32": (
        {
            "optimizer": "momentum",
            "nesterov": True,
            "momentum": 0.8,
            "learning_rate": 0.01,
            "reduction": "sum",
            "clip_norm": 2.3,
            "l2": 0.021,
            "l2_tensors": "hidden",
            "dtype": "float32",
            "watched": ("gradients",),
            "seed": 5,
        },
        {"nesterov": True, "momentum": 0.8, "reduction": "sum", "clip_norm": 2.3, "l2_tensors": "hidden"},
    ),
    "RMSprop, L2 over the rows, weights alone": (
        {
            "optimizer": "rmsprop",
            "rho": 0.95,
            "learning_rate": 0.004,
            "l2": 0.3,
            "l2_divided": True,
            "watched": (),
            "seed": 6,
        },
        {"optimizer": "rmsprop", "rho": 0.95, "l2": 0.3, "l2_divisor": "rows of the batch"},
    ),
}


def at(found, name):
    return getattr(found.row, name) if hasattr(found.row, name) else found.config.value(name)


@pytest.mark.parametrize("name", FOREIGN)
def test_l2_of_unknown_size_is_named_together_with_the_other_numbers_of_its_phase(name):
    training, expected = FOREIGN[name]
    found = found_in(foreign(**training))
    assert found.unnamed == ""
    for key, value in expected.items():
        close = pytest.approx(value, rel=1e-3) if type(value) is float else value
        assert at(found, key) == close, (key, at(found, key))


def test_a_falling_rate_that_nobody_recorded_is_named_as_a_schedule():
    recording = replace(foreign(decay=0.9, l2=0.02, seed=7, watched=()), learning_rate=None)
    found = found_in(recording)
    assert found.unnamed == ""
    assert found.config.penalty.l2 == pytest.approx(0.02)
    (cause,) = [cause for cause in found.causes if cause.name == "learning_rate"]
    assert cause.title == "learning-rate schedule"
    assert cause.found == "0.1, times 0.9 every step"


def test_a_learning_rate_that_neither_file_nor_settings_know_is_found():
    whole = foreign(optimizer="adam", beta_1=0.8, learning_rate=0.013, epochs=2, seed=8)
    settings = {key: value for key, value in whole.settings.items() if key != "learning_rate"}
    found = found_in(replace(whole, learning_rate=None, settings=settings))
    assert found.unnamed == ""
    assert (found.row.optimizer, found.rates) == ("adam", None)
    assert (found.config.optimizer.learning_rate, found.row.beta_1) == pytest.approx((0.013, 0.8))
    (cause,) = [cause for cause in found.causes if cause.name == "learning_rate"]
    assert (cause.title, cause.found) == (CONVENTIONS["learning_rate"].title, pytest.approx(0.013))


def test_targets_of_0_and_1_without_a_loss_are_those_of_cross_entropy_first(tmp_path, capsys):
    whole = foreign(task="multilabel", layers=(6, 5, 1), epochs=2)
    settings = {key: value for key, value in whole.settings.items() if key not in ("loss", "task")}
    write(replace(whole, settings=settings), tmp_path / "run.npz")
    assert invoke(["explain", str(tmp_path / "run.npz")]) == 0
    told = capsys.readouterr()
    assert "binary cross entropy averaged over" in " ".join(told.out.split())
    assert told.err.count("update:") == 1


@pytest.mark.parametrize(
    ("fall", "said"),
    [
        (lambda t, e: 0.1 * 0.5**e, "0.1, times 0.5 every epoch"),
        (lambda t, e: 0.1 / (1 + 0.25 * t), "0.1 / (1 + 0.25 step), steps from 0"),
        (lambda t, e: 0.1 * 0.5 ** (e // 2), "0.1, times 0.5 every 2 epochs"),
        (lambda t, e: np.full(len(t), 0.1), "0.1 in every step"),
        (lambda t, e: 0.1 * 0.5 ** (t // 7), "0.1, times 0.5 every 7 steps"),
    ],
)
def test_rates_are_told_by_their_schedule(fall, said):
    epoch = np.repeat(np.arange(6), 4)
    rates = fall(np.arange(24), epoch)
    assert schedule_of(rates[:15], epoch, 1e-9).said == said
    np.testing.assert_allclose(schedule_of(rates[:15], epoch, 1e-9).rates, rates, rtol=1e-9)
    wild = rates * (1 + 0.1 * np.sin(np.arange(24.0) ** 2))
    assert schedule_of(wild, epoch, 1e-9) is None


def test_a_bound_and_an_epsilon_that_are_as_many_times_as_large_are_told_as_the_same():
    """Where every step is clipped; for one side it is Keras' own epsilon, for the other ours."""
    found = found_in(foreign(optimizer="adam", learning_rate=0.01, clip_norm=0.01, epochs=2, seed=9, watched=()))
    assert found.unnamed == ""
    pairs = [(each.row.epsilon, each.config.value("clip_norm")) for each in (found, *found.equal)]
    for pair in ((1e-8, 0.01), (1e-7, 0.1), (1e-9, 0.001)):
        assert any(each == pytest.approx(pair) for each in pairs), pairs


def test_what_few_weights_cannot_tell_of_their_law_is_said():
    rng = np.random.default_rng(1)
    few = tuple({"W": rng.normal(0, 0.5, shape)} for shape in ((4, 6), (6, 3)))
    law = law_of_weights(few)
    assert {"normal(0.5)", "glorot_normal"} <= {law.value, *law.others}
    many = tuple({"W": rng.normal(0, 0.5, shape)} for shape in ((40, 60), (60, 30)))
    assert (law_of_weights(many).value, law_of_weights(many).others) == ("normal(0.5)", ())


def in_torch(change, optimizer=torch.optim.SGD, dtype=torch.float64, note_after=False, **options):
    """A small training whose gradients `change` sees before the step; they are noted before or after it."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(48, 6)), rng.integers(0, 4, 48)
    model = nn.Sequential(nn.Linear(6, 7), nn.Tanh(), nn.Linear(7, 4)).to(dtype)
    step = optimizer(model.parameters(), **options)
    noted = {"weights": [], "gradients": []}

    def note(key, of):
        layers = (model[0], model[2])
        noted[key].append([of(tensor).numpy().copy() for layer in layers for tensor in (layer.weight.T, layer.bias)])

    def gradients():
        layers = (model[0], model[2])
        noted["gradients"].append(
            [g.numpy().copy() for layer in layers for g in (layer.weight.grad.T, layer.bias.grad)]
        )

    note("weights", lambda w: w.detach())
    rows = np.concatenate([rng.permutation(48).reshape(4, 12) for _ in range(4)])
    for chosen in rows:
        step.zero_grad()
        loss = nn.functional.cross_entropy(model(torch.tensor(X[chosen], dtype=dtype)), torch.tensor(y[chosen]))
        loss.backward()
        if not note_after:
            gradients()
        change(list(model.parameters()))
        if note_after:
            gradients()
        step.step()
        note("weights", lambda w: w.detach())

    def series(steps):
        columns = [np.stack(column) for column in zip(*steps, strict=True)]
        return ({"W": columns[0], "b": columns[1]}, {"W": columns[2], "b": columns[3]})

    return Recording(
        X=X.astype(str(dtype).partition(".")[2]),
        y=y,
        rows=rows,
        epoch=np.repeat(np.arange(4), 4),
        weights=series(noted["weights"]),
        gradients=series(noted["gradients"]),
        learning_rate=np.full(16, options["lr"]),
        settings={"activation": "tanh", "loss": "cross_entropy"},
    )


@pytest.mark.parametrize("note_after", [False, True])
def test_weight_decay_behind_clipping_is_told_from_l2_that_is_clipped(note_after):
    bounded = in_torch(
        lambda parameters: nn.utils.clip_grad_norm_(parameters, 0.2),
        note_after=note_after,
        lr=0.1,
        momentum=0.9,
        weight_decay=0.03,
    )
    found = found_in(bounded)
    assert found.unnamed == ""
    assert (found.row.l2_form, found.row.l2_tensors) == ("after clipping", "weights and biases")
    assert found.config.penalty.l2 == pytest.approx(0.03)
    assert found.config.value("clip_norm") == pytest.approx(0.2, rel=1e-5)


def decayed(parameters):
    """A second L2, beside the weight decay of the optimizer and apart from it: the table has one."""
    with torch.no_grad():
        for parameter in parameters:
            if parameter.ndim == 2:
                parameter -= 0.1 * 0.02 * parameter


def by_tensor(parameters):
    for parameter in parameters:
        nn.utils.clip_grad_norm_([parameter], 0.05)


def scaled(parameters):
    for parameter in parameters:
        parameter.grad *= 0.37


def noisy(parameters):
    for parameter in parameters:
        parameter.grad += 1e-3 * torch.randn_like(parameter)


def frozen(parameters):
    parameters[3].grad *= 0


OUTSIDE = {
    "frozen biases": (frozen, torch.optim.SGD, {"lr": 0.1}, "1/b never moves"),
    "a second L2": (decayed, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}, ""),
    "clipping tensor by tensor": (by_tensor, torch.optim.SGD, {"lr": 0.1}, "clipping tensor by tensor"),
    "a factor": (scaled, torch.optim.SGD, {"lr": 0.1}, "0.37 times the replay's"),
    "noise": (noisy, torch.optim.Adam, {"lr": 0.01}, ""),
    "NAdam": (lambda parameters: None, torch.optim.NAdam, {"lr": 0.01}, ""),
    "RMSprop, centred": (lambda parameters: None, torch.optim.RMSprop, {"lr": 0.01, "centered": True}, ""),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_not_in_the_table_is_not_found_and_its_phase_is_named(name):
    change, optimizer, options, told = OUTSIDE[name]
    found = identify(
        recording := in_torch(change, optimizer, note_after=True, **options), config_of(recording), None, 5
    )
    assert not found.followed
    assert ("gradient" if told or name == "noise" else "update") in found.unnamed
    assert told in found.unnamed


def test_a_missing_zero_grad_is_what_it_looks_like():
    """Gradients that add up are told from the gradients, and from the weights alone."""
    before = {}

    def adds(parameters):
        for parameter in parameters:
            if parameter in before:
                parameter.grad += before[parameter]
            before[parameter] = parameter.grad.clone()

    recording = in_torch(adds, lr=0.02, note_after=True)
    alone = replace(recording, gradients=None)
    assert "without zero_grad()" in identify(recording, config_of(recording), seconds=1).unnamed
    assert "without zero_grad()" in identify(alone, config_of(alone), seconds=1).unnamed


def test_within_ten_floors_is_not_enough_where_a_better_row_is_there():
    """In float32 a small decoupled L2 moves no weight by ten floors, and every one by more than rounding does."""
    options = {"lr": 0.002, "weight_decay": 0.002, "eps": 1e-8}
    recording = in_torch(lambda parameters: None, torch.optim.AdamW, torch.float32, **options)
    found = found_in(recording)
    assert found.followed
    assert (found.row.optimizer, found.row.l2_form) == ("adam", "decoupled")
    assert found.config.penalty.l2 == pytest.approx(0.002, rel=0.05)


def test_a_listed_law_of_the_start_wins_over_one_that_was_fitted():
    named = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        shapes = ((8, 8), (8, 4))  # 96 weights
        start = tuple({"W": rng.normal(0, 0.1, shape), "b": np.zeros(shape[1])} for shape in shapes)
        named.append(law_of_weights(start).value)
    assert named.count("normal(0.1)") >= 18, named


def test_biases_that_pytorch_drew_are_told_where_the_weights_alone_were_drawn_anew():
    torch.manual_seed(0)
    layers = [nn.Linear(16, 24), nn.Linear(24, 10)]
    for layer in layers:
        nn.init.normal_(layer.weight, 0, 0.5)
    start = tuple({"W": layer.weight.detach().numpy().T, "b": layer.bias.detach().numpy()} for layer in layers)
    assert law_of_biases(start, law_of_weights(start).value).value == "torch_uniform"


def test_laws_of_a_few_biases_that_are_about_as_likely_are_named():
    rng = np.random.default_rng(2)
    start = ({"W": rng.normal(0, 0.5, (16, 6)), "b": rng.uniform(-0.25, 0.25, 6)},)
    law = law_of_biases(start, law_of_weights(start).value)
    assert law.value == "torch_uniform"
    assert any(other.startswith("normal(") for other in law.others), law


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "run.npz"
    write(foreign(**FOREIGN["momentum, L2 on hidden layers"][0]), path)
    return path


def test_a_recording_is_explained_without_an_experiment(run, capsys):
    assert invoke(["explain", str(run)]) == 0
    told = capsys.readouterr()
    text = " ".join(told.out.split())
    assert (
        "Found: SGD with momentum (0.7), learning rate 0.1 in every step; cross entropy averaged over the rows" in text
    )
    assert (
        "L2 of 0.013 on the weight matrices of the hidden layers, in the gradient, (l2/2) sum W²; no clipping" in text
    )
    assert "Assumed: activation tanh (the settings say so)" in text
    assert "Cannot be told:" in text
    assert "update: 24 steps" in told.err
    assert invoke(["explain", str(run), "--json", "--quiet"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    result = json.loads(told.out)["result"]
    assert result["sentence"].startswith("SGD with momentum")
    assert result["cannot_be_told"]


def test_a_training_that_no_row_explains_ends_with_exit_code_1(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("harness.tracing.identify.SECONDS", 1)
    write(in_torch(noisy, torch.optim.Adam, note_after=True, lr=0.01), tmp_path / "run.npz")
    assert invoke(["explain", str(tmp_path / "run.npz")]) == 1
    told = capsys.readouterr()
    assert told.out.splitlines()[1].startswith("Not found: no row of the table explains this training: gradient")
    assert "Found:" not in told.out.replace("Not found:", "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["digits-quick"], "A is missing"),
        (["RUN", "--cell", "l2=0.1"], "--cell: has no meaning for the recording"),
        (["nowhere.npz"], "no such file"),
    ],
)
def test_a_wrong_request_for_a_recording_alone_is_one_line(arguments, expected, run, capsys):
    assert invoke(["explain", *(str(run) if word == "RUN" else word for word in arguments)]) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert expected in told.err


def test_a_recorded_rate_that_falls_is_told_as_a_schedule_and_no_default():
    a, b = record(Training(epochs=2)), record(Training(epochs=2, decay=0.9))
    (cause,) = trace(a, b).causes
    assert (cause.title, cause.found) == ("learning-rate schedule", "0.1, times 0.9 every step")


def test_what_one_side_says_of_its_outputs_is_tried_on_it():
    """B's outputs go through a sigmoid, as its settings say; A's do not."""
    a = record(Training(task="regression", layers=(6, 7, 3), epochs=1))
    b = squashed(a)
    found = trace(a, b, steps=5)
    assert ("output_activation", "sigmoid") in {(cause.name, cause.found) for cause in found.causes}
    assert found.unnamed == ""


def squashed(a):
    """A's training again, its outputs through a sigmoid: plain SGD on the mean square."""
    tensors = [torch.tensor(value[0], requires_grad=True) for layer in a.weights for value in layer.values()]
    weights = [[tensor.detach().numpy().copy() for tensor in tensors]]
    for step in range(a.steps):
        chosen = a.batch(step)
        outputs = torch.sigmoid(
            torch.tanh(torch.tensor(a.X[chosen]) @ tensors[0] + tensors[1]) @ tensors[2] + tensors[3]
        )
        loss = ((outputs - torch.tensor(a.y[chosen])) ** 2).mean()
        for tensor, gradient in zip(tensors, torch.autograd.grad(loss, tensors), strict=True):
            tensor.data -= 0.1 * gradient
        weights.append([tensor.detach().numpy().copy() for tensor in tensors])
    columns = [np.stack(column) for column in zip(*weights, strict=True)]
    layers = ({"W": columns[0], "b": columns[1]}, {"W": columns[2], "b": columns[3]})
    settings = {**a.settings, "output_activation": "sigmoid"}
    rest = {"gradients": None, "activations": None, "logits": None, "loss": None}
    return replace(a, weights=layers, settings=settings, **rest)


@pytest.mark.parametrize("size", [1e-300, 1e200])
def test_weights_whose_squares_are_no_numbers_follow_no_law_with_a_number(size):
    rng = np.random.default_rng(0)
    start = tuple({"W": size * rng.normal(size=(9, 9)), "b": np.zeros(9)} for _ in range(2))
    assert not str(law_of_weights(start).value).startswith(("normal", "truncated"))
