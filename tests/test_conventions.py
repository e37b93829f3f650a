"""The table of conventions is true: of the installed libraries, of what they do, and of the lines that it writes."""

import inspect
import json
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from harness.calls.keywords import controlled_call, native_call
from harness.cli import invoke
from harness.contract import OPTIMIZER_CONSTANTS, Config, vary
from harness.conventions.table import CONVENTIONS, GIVEN, Row
from harness.conventions.translation import config_under
from harness.draws.batches import draw_batches
from harness.draws.recipe import Recipe
from harness.recording.file import RecordedBatches
from harness.registry import BUILT_IN, declared_by, native_backends, native_row
from harness.replay.stack import replay
from harness.replay.training import Member
from harness.training.parity import deviation
from tests.test_native import prepared
from tests.watch import watch

ROOT = Path(__file__).resolve().parent.parent
BACKENDS = [backend.name for backend in BUILT_IN if backend.name in native_backends() and backend.missing() is None]
SGD = ("sgd", "momentum", "nesterov")
RATE = {**dict.fromkeys(SGD, 0.05), "adam": 0.003, "rmsprop": 0.002, "adagrad": 0.02, "adagrad_momentum": 0.01}

# What the experiment alone decides, and what a framework does not have.
UNDECLARED = {"hidden", "activation", "epochs", "optimizer", "n_batches"}
LACKS = {
    "sklearn": {"rho", "initial_accumulator", "accumulator", "leaky_slope", "elu_alpha", "softplus_threshold"},
    "numpy": {"logged_loss"},
}


@cache
def digits():
    return prepared("digits", "multiclass", 16).train


def settings(optimizer="sgd", **changes):
    base = {"hidden": (20,), "activation": ("sigmoid",), "batch_size": 100, "epochs": 2, "l2": 0.01, **changes}
    return Config.of(64, 10, optimizer=optimizer, learning_rate=RATE[optimizer], **base)


def installed(file):
    """The text of a file of a library, or of ours."""
    package = file.partition("/")[0]
    if package in ("backends", "harness"):
        return (ROOT / file).read_text()
    found = __import__("importlib.util").util.find_spec(package)
    if found is None:
        pytest.skip(f"{package} is not installed")
    return (Path(found.submodule_search_locations[0]).parent / file).read_text(encoding="utf-8")


# ---------------------------------------------------------------- the declarations


@pytest.mark.parametrize("backend", native_backends())
def test_every_backend_declares_every_convention_that_it_has(backend):
    assert set(CONVENTIONS) - set(declared_by(backend)) == UNDECLARED | LACKS.get(backend, set())


def test_the_table_has_every_convention_of_a_row():
    assert set(CONVENTIONS) == set(Row.__dataclass_fields__)


@pytest.mark.parametrize("backend", native_backends())
def test_every_declared_value_is_one_of_the_table_s(backend):
    for optimizer in ("sgd", "nesterov", "adam", "adagrad", "rmsprop"):
        for name, declared in declared_by(backend).items():
            value, values = declared.at(settings(optimizer)), CONVENTIONS[name].values
            law = str(value).partition("(")[0]
            named = str(value) in values or any(key.startswith(f"{law}(") for key in values if "(" in str(value))
            number = isinstance(value, int | float) and not isinstance(value, bool) and "number" in values
            assert named or number or value == GIVEN, (name, value)


@pytest.mark.parametrize(
    ("backend", "name"), [(backend, name) for backend in native_backends() for name in declared_by(backend)]
)
def test_the_source_of_a_declaration_exists_and_holds_what_it_names(backend, name):
    declared = declared_by(backend)[name]
    texts = [installed(file) for file in declared.files]
    for symbol in declared.source.partition(": ")[2].split(", "):
        assert any(symbol in text for text in texts), symbol


# backend -> (convention, one of its files, a line there that shows the value); lines are compared without white space
SHOWN = {
    "sklearn": [
        ("learning_rate", "learning_rate_init=0.001"),
        ("batch_size", "batch_size = min(200, n_samples)"),
        ("init", 'factor = 6.0 if self.activation == "logistic": factor = 2.0'),
        ("init", "init_bound = np.sqrt(factor / (fan_in + fan_out))"),
        ("bias", "intercept_init = self._random_state.uniform(-init_bound, init_bound, fan_out)"),
        ("batches", "sample_idx = shuffle(sample_idx, random_state=self._random_state)"),
        ("last_batch", "if start < n: yield slice(start, n)"),
        ("reduction", "intercept_grads[layer] = np.sum(deltas[layer], axis=0) / sw_sum"),
        ("outputs", "deltas[last] = activations[-1] - y"),
        ("l2_divisor", "coef_grads[layer] += self.alpha * self.coefs_[layer] coef_grads[layer] /= sw_sum"),
        ("momentum", "momentum=0.9"),
        ("nesterov", "nesterovs_momentum=True"),
        ("momentum_form", "self.momentum * velocity - self.learning_rate * grad"),
        ("beta_1", "beta_1=0.9"),
        ("beta_2", "beta_2=0.999"),
        ("epsilon", "epsilon=1e-8"),
        ("epsilon_place", "-self.learning_rate * m / (np.sqrt(v) + self.epsilon)"),
        ("bias_correction", "np.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)"),
        ("moments_reset", 'if not incremental or not hasattr(self, "_optimizer")'),
        ("stop", "if self.loss_curve_[-1] > self.best_loss_ - self.tol"),
        ("stop", "tol=1e-4"),
        ("stop", "n_iter_no_change=10"),
        ("logged_loss", "loss += (0.5 * self.alpha) * values / sw_sum"),
    ],
    "keras": [
        ("learning_rate", "learning_rate=0.01,"),
        ("learning_rate", "learning_rate=0.001,"),
        ("batch_size", "if steps else 32"),
        ("init", 'kernel_initializer="glorot_uniform"'),
        ("bias", 'bias_initializer="zeros"'),
        ("batches", "indices = tf.random.shuffle(indices)"),
        ("last_batch", "flat_dataset = flat_dataset.concatenate(index_remainder)"),
        ("reduction", 'reduction="sum_over_batch_size"'),
        ("outputs", "return ops.mean(ops.square(y_true - y_pred), axis=-1)"),
        ("l2_factor", "return ops.cast(self.l2, dtype=x.dtype) * ops.sum(ops.square(x))"),
        ("momentum", "momentum=0.0,"),
        ("nesterov", "nesterov=False,"),
        ("momentum_form", "ops.multiply(m, momentum), ops.multiply(gradient, learning_rate),"),
        ("beta_1", "beta_1=0.9,"),
        ("beta_2", "beta_2=0.999,"),
        ("rho", "rho=0.9,"),
        ("epsilon", "epsilon=1e-7,"),
        ("epsilon_place", "ops.multiply(m, alpha), ops.add(ops.sqrt(v), self.epsilon)"),
        ("epsilon_place", "ops.sqrt(ops.add(accumulator, self.epsilon))"),
        ("epsilon_place", "denominator = ops.add(velocity, self.epsilon)"),
        ("bias_correction", "alpha = lr * ops.sqrt(1 - beta_2_power) / (1 - beta_1_power)"),
        ("initial_accumulator", "initial_accumulator_value=0.1,"),
        ("accumulator", "self.assign_add(accumulator, ops.square(gradient))"),
        ("leaky_slope", "def leaky_relu(x, negative_slope=0.2):"),
        ("elu_alpha", "def elu(x, alpha=1.0):"),
        ("softplus_threshold", "return tf.math.softplus(x)"),
        ("dtype", '_FLOATX = "float32"'),
        ("constants", "return tf.cast(x, dtype=dtype)"),
    ],
    "tensorflow": [
        ("init", "tf.random.truncated_normal([n_in, n_out], stddev=0.1, dtype=dtype)"),
        ("bias", "tf.constant(0.1, dtype, shape=[n_out])"),
        ("batches", "rng.choice(n, size=batch_size, replace=False)"),
        ("last_batch", "range(n // batch_size)"),
        ("l2_factor", "output = sum(t ** 2) / 2"),
        ("leaky_slope", "def leaky_relu(features, alpha=0.2, name=None):"),
        ("constants", "dtype=backend.floatx()"),
    ],
    "torch": [
        ("learning_rate", "lr: float | Tensor = 1e-3,"),
        ("learning_rate", "lr: float | Tensor = 1e-2,"),
        ("batch_size", "batch_size: int | None = 1,"),
        ("init", "init.kaiming_uniform_(self.weight, a=math.sqrt(5))"),
        ("bias", "bound = 1 / math.sqrt(fan_in)"),
        ("last_batch", "drop_last: bool = False"),
        ("l2_factor", "grad = grad.add(param, alpha=weight_decay)"),
        ("momentum", "momentum: float = 0,"),
        ("momentum_form", "buf.mul_(momentum).add_(grad, alpha=1 - dampening)"),
        ("beta_1", "= (0.9, 0.999),"),
        ("rho", "alpha: float = 0.99,"),
        ("epsilon", "eps: float = 1e-8,"),
        ("epsilon", "eps: float = 1e-10,"),
        ("initial_accumulator", "initial_accumulator_value: float = 0,"),
        ("leaky_slope", "negative_slope: float = 1e-2"),
        ("elu_alpha", "def __init__(self, alpha: float = 1.0"),
        ("softplus_threshold", "threshold: float = 20.0"),
        ("dtype", "default floating point dtype is torch.float32"),
    ],
    "numpy": [
        ("init", "self.rng.standard_normal(shape)"),
        ("bias", "np.full(n_out, 0.01, config.dtype)"),
        ("batches", "self.rng.choice(n, size=batch_size, replace=False)"),
        ("last_batch", "range(n // batch_size)"),
        ("reduction", "bias_gradients.insert(0, error.sum(axis=0))"),
        ("l2_factor", "self.a[k].T @ error + self.config.l2 * self.weights[k]"),
    ],
}


@pytest.mark.parametrize(
    ("backend", "name", "line"),
    [(backend, *shown) for backend, lines in SHOWN.items() for shown in lines],
    ids=lambda value: value[:40],
)
def test_the_source_shows_the_value(backend, name, line):
    def bare(text):
        return "".join(text.split())

    assert any(bare(line) in bare(installed(file)) for file in declared_by(backend)[name].files)


DEFAULTS = {
    "keras": ("keras.optimizers", {"initial_accumulator": "initial_accumulator_value"}),
    "torch": ("torch.optim", {"epsilon": "eps", "rho": "alpha", "initial_accumulator": "initial_accumulator_value"}),
}


@pytest.mark.parametrize("backend", [name for name in DEFAULTS if name in BACKENDS])
@pytest.mark.parametrize(("kind", "optimizer"), [("Adam", "adam"), ("Adagrad", "adagrad"), ("RMSprop", "rmsprop")])
def test_the_constants_of_the_optimizers_are_the_installed_defaults(backend, kind, optimizer):
    module, names = DEFAULTS[backend]
    module = __import__(module, fromlist=[kind])
    given = {key: value.default for key, value in inspect.signature(getattr(module, kind)).parameters.items()}
    if "betas" in given:
        given["beta_1"], given["beta_2"] = given["betas"]
    row = native_row(backend, settings(optimizer))
    for name in OPTIMIZER_CONSTANTS[optimizer]:
        assert getattr(row, name) == given[names.get(name, name)], name


# ---------------------------------------------------------------- what a framework does


@cache
def recorded(backend, optimizer, **changes):
    config = settings(optimizer, dtype="float64", written=frozenset({"dtype"}), **changes)
    if backend == "numpy":  # its gradient is a sum
        config = vary(config, learning_rate=config.optimizer.learning_rate / 100)
    return config, watch(backend, config, digits().X, digits().y, 3)


def replayed(config, recording, row):
    """How far the replay under a row ends from the recorded training."""
    member = Member(
        config_under(config, row, len(recording.X)),
        row,
        recording.weights_at(0),
        RecordedBatches(recording, config.optimizer.learning_rate),
        recording.X.astype(row.dtype),
        recording.y,
    )
    (result,) = replay([member])
    return deviation(result.weights, recording.weights_at(recording.steps))


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam", "rmsprop", "adagrad"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_in_float64_a_framework_follows_its_row_to_the_last_digits(backend, optimizer):
    """The dtype of each constant too: the learning rate of tf.keras, the first accumulator of Keras."""
    if backend == "sklearn" and optimizer in ("rmsprop", "adagrad"):
        return
    config, recording = recorded(backend, optimizer)
    row = native_row(backend, config)
    assert replayed(config, recording, row) < 1e-13
    if backend in ("keras", "tensorflow"):
        wrong = "float32" if row.constants == "float32 rate" else "float32 rate"
        assert replayed(config, recording, replace(row, constants=wrong)) > 1e-11


def test_the_leaky_slope_goes_through_float32_where_the_table_says_so():
    for backend in [name for name in ("keras", "tensorflow", "torch") if name in BACKENDS]:
        config, recording = recorded(backend, "sgd", activation=("leaky_relu",))
        assert replayed(config, recording, native_row(backend, config)) < 1e-13


def test_one_permutation_is_one_order_for_all_epochs():
    batches = draw_batches(settings(epochs=3), Recipe(batches="one_permutation"), 250, 0, 0)
    orders = [batches[e].rows.ravel() for e in range(3)]
    assert sorted(orders[0][orders[0] >= 0]) == list(range(250))
    assert all(np.array_equal(orders[0], order) for order in orders[1:])


# ---------------------------------------------------------------- the command


def output(capsys, *arguments):
    assert invoke(["conventions", *arguments]) == 0
    return capsys.readouterr().out


CELL = ("--cell", "learning_rate=0.1,l2=0.001")


def test_the_whole_table_names_every_convention_value_and_backend(capsys):
    text = output(capsys)
    for name, convention in CONVENTIONS.items():
        block = text.partition(f"{name}: {convention.title} (")[2].partition("\n\n")[0]
        for value, formula in convention.values.items():
            assert value in block
            assert formula in block
        assert all(f"\n  {backend}" in block for backend in native_backends())


def test_two_rows_show_only_where_they_differ(capsys):
    names = {line.partition(":")[0] for line in output(capsys, "keras", "torch").splitlines() if line[:1].isalpha()}
    assert {"l2_factor", "init", "rho", "epsilon"} <= names
    assert not names & {"reduction", "l2_form", "dtype", "beta_1"}
    assert output(capsys, "keras", "keras") == "keras and keras: no convention differs\n"


def test_in_an_experiment_it_shows_what_applies_and_what_each_framework_is_given(capsys):
    text = output(capsys, "keras", "torch", "digits-quick", *CELL)
    assert "l2_factor" in text
    assert "rho" not in text  # the experiment trains by SGD
    assert "leaky_slope" not in text
    assert "\nreduction:" not in text  # which is the same in both
    config = Config.of(
        64, 10, (50,), ("sigmoid",), optimizer="sgd", learning_rate=0.1, batch_size=100, epochs=20, l2=0.001
    )
    for backend in ("keras", "torch"):
        for lines in (native_call(backend, config), controlled_call(backend, config)):
            assert "\n".join(f"    {line}" for line in lines) in text
    assert "kernel_regularizer=keras.regularizers.L2(0.0005)" in text


@pytest.mark.parametrize("suite", ["digits-quick", "course-2024"])  # the other is a profile too
def test_the_experiment_stands_first_or_last(suite, capsys):
    cell = ("--cell", first_cell(suite))
    first = output(capsys, suite, "keras", "torch", *cell)
    assert first == output(capsys, "keras", "torch", suite, *cell)
    assert "keras, native:" in first


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("sklearn", "course-2018-tensorflow"),
        ("sklearn", "keras", "digits-quick", *CELL),
        ("tensorflow", "torch", "digits-quick", *CELL),
        ("digits-quick", *CELL),
    ],
    ids=str,
)
def test_it_reads_at_a_hundred_columns(arguments, capsys):
    assert max(map(len, output(capsys, *arguments).splitlines())) <= 100


def test_json_holds_the_same_as_data(capsys):
    found = json.loads(output(capsys, "keras", "torch", "digits-quick", *CELL, "--format", "json"))
    uses = {entry["name"]: {use["row"]: use["value"] for use in entry["uses"]} for entry in found["conventions"]}
    assert uses["l2_factor"] == {"keras": "full", "torch": "half"}
    assert set(found["native"]) == set(found["controlled"]) == set(found["agree"]) == {"keras", "torch"}
    assert found["cell"]["l2"] == 0.001


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["keras"], "give two backends or profiles"),
        (["keras", "tork"], "did you mean 'torch'"),
        (["keras", "torch", "digits-quik"], "did you mean 'digits-quick'"),
        (["keras", "torch", "sklearn"], "give two backends or profiles"),
        (["keras", "torch", "--cell", "l2=1"], "needs an experiment"),
        (["nowhere.toml"], "no such experiment file"),
        (["-o", "/dev/null/x"], "cannot be written"),
    ],
    ids=str,
)
def test_a_wrong_request_is_one_line(arguments, expected, capsys):
    assert invoke(["conventions", *arguments]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_name_of_a_profile_and_a_suite_is_both(capsys):
    assert "accuracy" in output(capsys, "course-2024", "assignment-2019")
    assert "torch, native:" in output(capsys, "keras", "torch", "course-2024", *CELL[:1], first_cell("course-2024"))


def first_cell(suite):
    from harness.experiment.axes import describe_cell
    from harness.experiment.file import load

    return describe_cell(next(iter(load(suite).cells())))


def test_the_page_is_up_to_date(capsys):
    assert (ROOT / "docs/conventions.md").read_text() == output(capsys, "--format", "markdown")


def test_it_imports_no_framework():
    code = (
        "import sys; from harness.cli import invoke; "
        "invoke(['conventions', 'keras', 'torch', 'digits-quick', '--cell', 'learning_rate=0.1,l2=0.001']); "
        "print(sorted({'torch', 'keras', 'tensorflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
