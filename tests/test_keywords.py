"""The lines that `harness.calls.keywords` writes are what the adapters run, and make a pair agree."""

import re
import sys
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest

from harness import registry
from harness.calls import backend_lines
from harness.calls.backend_lines import GROUPS, BackendLines
from harness.calls.keywords import agree, controlled_call, native_call, take_over
from harness.calls.start import FAMILY
from harness.calls.switch import Switch
from harness.contract import ACTIVATIONS, OPTIMIZER_CONSTANTS, Config, vary
from harness.conventions.table import CONVENTIONS
from harness.conventions.translation import differing
from harness.draws.batches import draw_batches
from harness.draws.recipe import Recipe
from harness.draws.starts import INITS, draw_start
from harness.manifest import Backend
from harness.registry import BUILT_IN, lines_of, load_trainer, native_backends, native_row, row_of
from harness.registry import backend as find
from harness.replay.stack import Stack, replay
from harness.replay.training import Member
from harness.support.errors import RequestError
from harness.training.parity import deviation
from tests.test_conventions import BACKENDS, digits, settings


def lacks(config):
    return lines_of("sklearn").lacks(config, native=False)


def run(lines, **names):
    """What the lines leave behind."""
    space = {"np": np, **names}
    exec("\n".join(lines), space)
    return space


def weights_of(backend, space):
    """The weights of what the lines trained, in the contract's form."""
    if "trainer" in space:
        return space["trainer"].weights()
    if backend == "numpy":
        pairs = zip(space["network"].weights, space["network"].biases, strict=True)
    elif backend == "sklearn":
        pairs = zip(space["model"].coefs_, space["model"].intercepts_, strict=True)
    elif backend == "tensorflow":
        pairs = space["layers"]
    elif backend == "keras":
        pairs = [layer.get_weights() for layer in space["model"].layers if layer.weights]
    else:
        pairs = [(layer.weight.detach().T, layer.bias.detach()) for layer in space["model"] if hasattr(layer, "weight")]
    return tuple({"W": np.array(W), "b": np.array(b)} for W, b in pairs)


@pytest.fixture(autouse=True)
def _float32_again():
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].config.set_floatx("float32")
        sys.modules["keras"].config.set_dtype_policy("float32")


# two adapters train stacks, and the lines a single network: other widths of a product, other roundings
ROUNDING = {"torch": 1e-12, "keras": 1e-12}

TRAININGS = {
    "sgd": settings(),
    "adam": settings("adam"),
    "nesterov, two layers": settings("nesterov", hidden=(20, 8), activation=("tanh", "tanh")),
    "momentum, linear": settings("momentum", hidden=(), activation=()),
    "rmsprop, written": settings("rmsprop", activation=("elu",), elu_alpha=0.5, rho=0.8, epsilon=1e-4, dtype="float64"),
    "adam, written": settings("adam", beta_1=0.8, epsilon=1e-4, dtype="float64"),
    "adagrad, slope": settings("adagrad", activation=("leaky_relu",), leaky_slope=0.3),
}
WRITTEN = {
    "rmsprop, written": {"elu_alpha", "rho", "epsilon", "dtype"},
    "adam, written": {"beta_1", "epsilon", "dtype"},
    "adagrad, slope": {"leaky_slope"},
}


@pytest.mark.parametrize("name", TRAININGS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_native_lines_are_the_native_fit_to_the_last_bit(backend, name):
    config = vary(TRAININGS[name], written=frozenset(WRITTEN.get(name, ())))
    lines = native_call(backend, config, seed=3)
    if backend == "sklearn" and lacks(config):
        assert lines == [f"# {lacks(config)}"]
        return
    trainer = load_trainer(find(backend).trainer)(config, None)
    X = digits().X.astype(config.dtype) if "dtype" in config.written else digits().X
    trainer.fit_native(X, digits().y, 3)
    weights = weights_of(backend, run(lines, X=X, y=digits().y))
    assert str(weights[0]["W"].dtype) == str(trainer.weights()[0]["W"].dtype)
    assert deviation(weights, trainer.weights()) == 0


@pytest.mark.parametrize("name", TRAININGS)
@pytest.mark.parametrize("backend", [each.name for each in BUILT_IN if each.missing() is None])
def test_the_controlled_lines_are_the_adapter_to_rounding(backend, name):
    config = vary(TRAININGS[name], dtype="float64")
    if backend == "sklearn" and lacks(config):
        return
    start, batches = draw_start(config, Recipe(), 0, 0), draw_batches(config, Recipe(), len(digits().y), 0, 0)
    trainer = load_trainer(find(backend).trainer)(config, start)
    trainer.train(digits().X, digits().y, batches, lambda epoch: False)
    names = {"X": digits().X, "y": digits().y, "config": config, "start": start, "batches": batches}
    measured = deviation(weights_of(backend, run(controlled_call(backend, config), **names)), trainer.weights())
    assert measured <= ROUNDING.get(backend, 0)


def regression(**changes):
    return Config.of(
        64, 3, (8,), ("tanh",), optimizer="sgd", learning_rate=0.01, batch_size=50, epochs=2,
        task="regression", loss="mse", output_activation="identity", l2=0.01, **changes,
    )  # fmt: skip


OTHER_TASKS = {
    "regression": regression(),
    "huber": vary(regression(), loss="huber", huber_delta=0.5),
    "output": vary(regression(), output_activation="sigmoid"),
    "multilabel": vary(regression(), task="multilabel", loss="binary_cross_entropy", output_activation="sigmoid"),
    "binary": vary(regression(), task="binary", loss="binary_cross_entropy", output_activation="sigmoid", n_outputs=1),
}


@pytest.mark.parametrize("name", OTHER_TASKS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_so_are_those_of_the_other_tasks(backend, name):
    config = OTHER_TASKS[name]
    if backend == "sklearn" and lacks(config):
        return
    X = digits().X
    y = (digits().y[:, None] % np.arange(2, 2 + config.network.n_outputs) == 0).astype(float)
    fitted = load_trainer(find(backend).trainer)(config, None)
    fitted.fit_native(X, y, 0)
    assert deviation(weights_of(backend, run(native_call(backend, config), X=X, y=y)), fitted.weights()) == 0
    start, batches = draw_start(config, Recipe(), 0, 0), draw_batches(config, Recipe(), len(y), 0, 0)
    trainer = load_trainer(find(backend).trainer)(config, start)
    trainer.train(X, y, batches, lambda epoch: False)
    space = run(controlled_call(backend, config), X=X, y=y, config=config, start=start, batches=batches)
    assert deviation(weights_of(backend, space), trainer.weights()) <= ROUNDING.get(backend, 0)


def test_what_scikit_learn_lacks_is_what_its_adapter_does_not_support():
    trainer = load_trainer(find("sklearn").trainer)
    cases = [settings(optimizer) for optimizer in OPTIMIZER_CONSTANTS]
    cases += [settings(activation=(name,)) for name in ACTIVATIONS]
    cases += [settings(hidden=(4, 4), activation=names) for names in (("tanh", "relu"), ("tanh", "tanh"))]
    cases += [*OTHER_TASKS.values(), vary(regression(), loss="mae"), vary(settings(), n_outputs=2)]
    cases += [settings(l1=0.1), settings(dropout=(0.0, 0.5)), settings(batch_norm=True), settings(clip_norm=1.0)]
    for config in cases:
        assert (lacks(config) is None) == (trainer.refuses(config) is None), config


def test_what_has_no_native_form_is_a_comment_with_the_reason():
    for changes in ({"l1": 0.1}, {"dropout": (0.0, 0.5)}):
        for backend in native_backends():
            (line,) = native_call(backend, settings(**changes))
            assert line.startswith("# native mode has no ")
    assert native_call("keras", settings("adagrad_momentum")) == ["# keras has no Adagrad with momentum"]
    with pytest.raises(RequestError, match="did you mean 'torch'"):
        native_call("torh", settings())


# ---------------------------------------------------------------- the lines that make a pair agree


needs = {
    name: pytest.mark.skipif(name not in BACKENDS, reason=f"{name} is not installed") for name in native_backends()
}


@pytest.mark.parametrize(
    ("a", "b", "names", "config", "expected"),
    [
        ("keras", "torch", ["l2_factor"], settings(), "kernel_regularizer=keras.regularizers.L2(0.005)"),
        ("torch", "keras", ["l2_factor"], settings(), "weight_decay=0.02"),
        ("sklearn", "torch", ["l2_divisor"], settings(), "alpha=1.0"),
        ("sklearn", "keras", ["l2_factor", "l2_divisor"], settings(), "alpha=2.0"),
        ("torch", "sklearn", ["l2_divisor"], settings(), "weight_decay=0.0001"),
        ("sklearn", "torch", ["momentum", "nesterov"], settings(), "momentum=0.0, nesterovs_momentum=False"),
        ("keras", "sklearn", ["momentum", "nesterov"], settings(), "SGD(learning_rate=0.05, momentum=0.9, nesterov=T"),
        ("sklearn", "keras", ["epsilon"], settings("adam"), "epsilon=1e-07"),
        ("keras", "torch", ["rho"], settings("rmsprop"), "RMSprop(learning_rate=0.002, rho=0.99)"),
        ("torch", "keras", ["initial_accumulator"], settings("adagrad"), "initial_accumulator_value=0.1"),
        ("keras", "sklearn", ["dtype"], settings(), 'keras.config.set_floatx("float64")'),
        ("sklearn", "numpy", ["reduction"], settings(), "learning_rate_init=5.0"),
        ("sklearn", "torch", ["stop"], settings(), "tol=0.0, n_iter_no_change=np.inf"),
        ("keras", "course-2018-sklearn", ["batch_size"], settings(), "batch_size=min(200, len(X))"),
        ("torch", "numpy", ["last_batch"], settings(), "shuffle=True, drop_last=True"),
        ("keras", "torch", ["epsilon_place"], settings("adam"), "no keyword argument; see PaperAdam"),
    ],
)  # fmt: skip
def test_the_numbers_are_filled_in(a, b, names, config, expected):
    assert expected in "\n".join(agree(a, b, names, config)[a])


def test_only_what_is_named_is_switched_and_only_backends_are_told():
    config = settings()
    assert agree("keras", "torch", [], config) == {"keras": [], "torch": []}
    assert agree("keras", "torch", ["leaky_slope", "momentum"], config)["keras"] == [
        "activation=lambda z: keras.activations.leaky_relu(z, negative_slope=0.01)"
    ]
    assert set(agree("keras", "course-2024", ["init"], config)) == {"keras"}
    with pytest.raises(RequestError, match="did you mean 'momentum'"):
        agree("keras", "torch", ["momentun"], config)


ALL_ROWS = ("numpy", "sklearn", "tensorflow", "keras", "torch", "course-2018-numpy", "course-2018-sklearn")
ALL_ROWS += ("course-2018-tensorflow", "course-2018-keras", "course-2024", "assignment-2019", "controlled")


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam", "adagrad", "rmsprop"])
def test_every_pair_has_a_line_for_every_convention_in_which_it_differs(optimizer):
    config = settings(optimizer, activation=("leaky_relu",))
    for task in (config, vary(OTHER_TASKS["regression"], optimizer=optimizer, activation=("softplus",))):
        for a in native_backends():
            for b in ALL_ROWS:
                names = differing(task, row_of(a, task, Recipe()), row_of(b, task, Recipe()))
                for name in names:
                    assert agree(a, b, [name], task)[a], (a, b, name)


def sklearn_step(config, arguments):
    """The weights after one batch of an MLPClassifier with these arguments, from a given start."""
    from backends.sklearn.trainer import Classifier, checked_targets

    y = checked_targets(config, digits().y)
    model = Classifier(
        hidden_layer_sizes=config.network.dense["hidden"],
        activation="logistic",
        solver="sgd",
        shuffle=False,
        **arguments,
    )
    model.know(np.arange(10))
    model.build(config.network.units, draw_start(config, Recipe(), 0, 0))
    for first in (0, 100):
        model.partial_fit(digits().X[first : first + 100], y[first : first + 100])
    return tuple({"W": W, "b": b} for W, b in zip(model.coefs_, model.intercepts_, strict=True))


def two_steps(config, row):
    """The weights after two batches of 100 rows of the replay under a row, from the same start."""
    batches = draw_batches(config, Recipe(batches="in_order"), 200, 0, 0)
    config = vary(config, reduction=row.reduction, optimizer="nesterov" if row.nesterov else "sgd", epochs=1)
    member = Member(config, row, draw_start(config, Recipe(), 0, 0), batches, digits().X[:200], digits().y[:200])
    stack = Stack([member])
    for rows in batches[0].batches():
        stack.step(member.X[rows][None], member.y[rows][None], np.array([config.optimizer.learning_rate]))
    return stack.weights(0)


@pytest.mark.parametrize(
    ("other", "names"),
    [
        ("torch", ["l2_divisor"]),
        ("keras", ["l2_factor", "l2_divisor"]),
        ("keras", ["momentum", "nesterov"]),
        ("numpy", ["reduction"]),
        ("numpy", ["reduction", "l2_divisor"]),
        ("numpy", ["reduction", "l2_divisor", "momentum", "nesterov"]),
    ],
    ids=str,
)
def test_scikit_learn_with_these_arguments_does_the_other_s_conventions(other, names):
    """`MLPClassifier` under the arguments and the replay under its row with the other's values: the same weights."""
    config = settings(dtype="float64")
    own, given = native_row("sklearn", config), native_row(other, config)
    row = replace(own, **{name: getattr(given, name) for name in names}, dtype="float64")
    lines = [line for line in agree("sklearn", other, names, config)["sklearn"] if not line.startswith("#")]
    base = {"alpha": config.penalty.l2, "batch_size": 100, "learning_rate_init": config.optimizer.learning_rate}
    arguments = base | eval(f"dict({', '.join(lines)})")
    assert deviation(sklearn_step(config, arguments), two_steps(config, row)) < 1e-13
    assert deviation(sklearn_step(config, base), two_steps(config, row)) > 1e-6


@needs["keras"]
@pytest.mark.parametrize(("other", "names"), [("torch", ["l2_factor", "l2_tensors"]), ("sklearn", ["l2_divisor"])])
def test_keras_with_these_regularizers_does_the_other_s_l2(other, names):
    import keras

    config = settings()
    given = replace(native_row("keras", config), **{name: getattr(native_row(other, config), name) for name in names})
    lines = [line for line in agree("keras", other, names, config)["keras"] if not line.startswith("#")]
    arguments = eval(f"dict({', '.join(lines)})", {"keras": keras})
    layer = keras.layers.Dense(3, bias_initializer="ones", **arguments)
    layer.build((None, 4))
    W, b = (np.array(value) for value in layer.get_weights())
    strength = config.penalty.l2 * (2 if given.l2_factor == "full" else 1) / (100 if given.l2_divisor != "none" else 1)
    penalised = np.sum(W**2) + (np.sum(b**2) if given.l2_tensors == "weights and biases" else 0)
    assert float(sum(layer.losses)) == pytest.approx(strength / 2 * penalised, rel=1e-6)


@needs["torch"]
@pytest.mark.parametrize("other", ["keras", "sklearn", "numpy"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adagrad"])
def test_torch_s_optimizer_has_the_other_s_constants_and_l2(other, optimizer):
    import torch
    from torch import nn

    config = settings(optimizer)
    if other == "sklearn" and optimizer == "adagrad":
        return
    row = native_row(other, config)
    names = ["l2_factor", "l2_divisor", "l2_tensors", "momentum", "nesterov", "epsilon", "initial_accumulator"]
    model = nn.Sequential(nn.Linear(64, 20), nn.Sigmoid(), nn.Linear(20, 10))
    lines = agree("torch", other, names, config)["torch"]
    made = run([line for line in lines if not line.startswith("#")], torch=torch, model=model)["optimizer"]
    weights, rest = made.param_groups
    assert [w.ndim for w in weights["params"]] == [2, 2]
    assert [w.ndim for w in rest["params"]] == [1, 1]
    strength = config.penalty.l2 * (2 if row.l2_factor == "full" else 1) / (100 if row.l2_divisor != "none" else 1)
    assert weights["weight_decay"] == pytest.approx(strength)
    assert rest["weight_decay"] == 0
    if optimizer == "sgd":
        assert (weights["momentum"], weights["nesterov"]) == (row.momentum, row.nesterov)
    else:
        assert weights["eps"] == row.epsilon
    if optimizer == "adagrad":
        assert weights["initial_accumulator_value"] == row.initial_accumulator


@needs["torch"]
@pytest.mark.parametrize(
    ("optimizer", "other", "names", "expected"),
    [
        ("rmsprop", "keras", ["l2_factor", "rho"], {"weight_decay": 0.02, "alpha": 0.9}),
        ("sgd", "sklearn", ["l2_divisor", "momentum"], {"weight_decay": 0.0001, "momentum": 0.9}),
        ("adam", "keras", ["l2_factor", "epsilon"], {"weight_decay": 0.02, "eps": 1e-7}),
        ("adagrad", "keras", ["l2_factor", "epsilon"], {"weight_decay": 0.02, "eps": 1e-7}),
        ("adagrad", "keras", ["l2_factor", "initial_accumulator"], {"weight_decay": 0.02}),
        ("adam", "keras", ["epsilon"], {"weight_decay": 0.01, "eps": 1e-7}),
    ],
)
def test_torch_s_optimizer_is_made_once_with_the_row_s_l2_and_constants(optimizer, other, names, expected):
    import torch

    lines = agree("torch", other, names, settings(optimizer))["torch"]
    code = [line for line in lines if not line.startswith("#")]
    assert "\n".join(code).count("weight_decay") == 1
    made = run(code, torch=torch, model=torch.nn.Linear(2, 2))["optimizer"]
    assert {key: made.defaults[key] for key in expected} == pytest.approx(expected)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adagrad", "rmsprop"])
def test_no_two_lines_set_one_argument_to_two_values(optimizer):
    """Of every pair, two and three conventions, and all; network, start and batches are code of their own."""
    config = settings(optimizer)
    for a, b in product(native_backends(), ALL_ROWS):
        differ = differing(config, row_of(a, config, Recipe()), row_of(b, config, Recipe()))
        names = [name for name in differ if CONVENTIONS[name].phase not in ("start", "batches")]
        for some in (names, *combinations(names, 2), *combinations(names, 3)):
            values = {}
            for line in agree(a, b, some, config)[a]:
                for key, value in re.findall(r"\b(?<!# )(\w+)=([^,)]+)", line):
                    assert values.setdefault(key, value) == value, (a, b, some, line)


@pytest.mark.parametrize(
    ("optimizer", "changes", "expected"),
    [("adam", {"epsilon": 1e-7}, "epsilon=1e-09"), ("sgd", {"learning_rate": 0.2}, "learning_rate_init=20.0")],
)
def test_scikit_learn_s_step_scales_the_loss_and_takes_the_other_s_number_at_once(optimizer, changes, expected):
    config = settings(optimizer)
    own = native_row("sklearn", config)
    lines = take_over("sklearn", own, replace(own, reduction="sum", **changes), ["reduction", *changes], config)
    key = expected.partition("=")[0]
    assert [line for line in lines if f"{key}=" in line] == [expected]


def test_every_convention_is_in_a_group_and_one_that_is_in_none_is_named(monkeypatch):
    grouped = [name for group, _ in GROUPS for name in group]
    assert sorted(grouped) == sorted(CONVENTIONS)
    others = tuple((names, say) for names, say in GROUPS if "rho" not in names)
    monkeypatch.setattr(backend_lines, "GROUPS", others)
    (line,) = agree("keras", "torch", ["rho"], settings("rmsprop"))["keras"]
    assert line.startswith("# rho = 0.99: no keyword argument")


@needs["torch"]
def test_torch_takes_keras_s_adam_over_to_the_last_digits():
    """Epsilon and its place, step for step: torch's Adam with the lines, and the replay under the switched row."""
    import torch
    from torch import nn

    config = settings("adam", dtype="float64", epochs=1, l2=0.0)
    lines = agree("torch", "keras", ["epsilon", "epsilon_place"], config)["torch"]
    row = replace(native_row("torch", config), epsilon=1e-3, epsilon_place="hat", dtype="float64")
    lines = [line.replace("1e-07", "0.001") for line in lines]  # large enough to be seen
    start, batches = draw_start(config, Recipe(), 0, 0), draw_batches(config, Recipe(), 500, 0, 0)
    config = vary(config, epsilon=row.epsilon)
    member = Member(config, row, start, batches, digits().X[:500], digits().y[:500])
    model = nn.Sequential(nn.Linear(64, 20), nn.Sigmoid(), nn.Linear(20, 10)).double()
    with torch.no_grad():
        for layer, given in zip(model[::2], start, strict=True):
            layer.weight.copy_(torch.tensor(given["W"].T))
            layer.bias.copy_(torch.tensor(given["b"]))
    constructed, each_step = lines[:1], lines[1:]
    optimizer = run(constructed, torch=torch, model=model)["optimizer"]
    for t, rows in enumerate(batches[0].batches(), start=1):
        run(each_step, optimizer=optimizer, t=t)
        loss = nn.functional.cross_entropy(model(torch.tensor(member.X[rows])), torch.tensor(member.y[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    trained = weights_of("torch", {"model": model})
    assert deviation(trained, replay([member])[0].weights) < 1e-13
    assert deviation(trained, replay([replace(member, row=replace(row, epsilon_place="outside"))])[0].weights) > 1e-6


@pytest.mark.parametrize("init", [name.replace("number", "0.1") for name in INITS])
@pytest.mark.parametrize("backend", ["sklearn", *[name for name in ("keras", "torch") if name in BACKENDS]])
def test_a_start_has_the_law_that_was_asked_for(backend, init):
    """Spread and bounds of the weights that the lines draw, against those that the harness draws."""
    config = settings(hidden=(300,))
    expected = draw_start(config, Recipe(init=init), 0, 0)[0]["W"]
    lines = agree(backend, "controlled", ["init"], config, Recipe(init=init))[backend]
    if not lines:  # the framework's own
        assert native_row(backend, config).init == init
        return
    if backend == "sklearn":
        import scipy.stats
        from sklearn.neural_network import MLPClassifier

        space = run(lines, MLPClassifier=MLPClassifier, scipy=scipy)
        model = space["Started"](activation="logistic")
        model._random_state = np.random.RandomState(0)
        W = model._init_coef(64, 300, np.float64)[0]
    elif backend == "keras":
        import keras

        layer = keras.layers.Dense(300, **eval(f"dict({lines[0]})", {"keras": keras}))
        layer.build((None, 64))
        W = np.array(layer.get_weights()[0])
    else:
        from torch import nn

        W = run(lines, nn=nn, model=nn.Sequential(nn.Linear(64, 300)))["model"][0].weight.detach().numpy()
    assert W.std() == pytest.approx(expected.std(), rel=0.03)
    assert np.abs(W).max() == pytest.approx(np.abs(expected).max(), rel=0.25 if "normal" in init else 0.01)


@pytest.mark.parametrize(("law", "last"), [("permutation", "keep"), ("permutation", "merge"), ("skipping", "keep")])
@pytest.mark.parametrize("n_batches", [3, 7, 30])
def test_a_number_of_batches_is_met_too(n_batches, law, last):
    config = settings(epochs=1)
    own = native_row("torch", config)
    row = replace(own, n_batches=n_batches, batches=law, last_batch=last)
    lines = lines_of("torch").order(Switch(own, row, frozenset({"n_batches", "batches", "last_batch"}), config))
    assert lines[-1].strip().startswith("inputs, labels = dataset[rows]")
    seen = []
    run([*lines[:-1], "        note(rows)"], X=np.arange(100), note=seen.append)
    drawn = draw_batches(config, Recipe(n_batches=n_batches, batches=law, last_batch=last), 100, 0, 0)[0]
    assert [len(rows) for rows in seen] == [len(rows) for rows in drawn.batches()]
    assert law == "permutation" or all(map(np.array_equal, seen, drawn.batches()))


def test_the_families_of_laws_are_those_of_the_harness():
    from harness.draws.starts import SPREAD

    assert set(FAMILY) == set(SPREAD)
    for name, (scale, fan) in FAMILY.items():
        n = 64 if fan == "fan_in" else (64 + 300) / 2
        assert SPREAD[name](64, 300) == pytest.approx((scale / n) ** 0.5)


LAWS = ("permutation", "one_permutation", "in_order", "independent", "replacement", "bootstrap", "skipping")


@pytest.mark.parametrize("last", ["keep", "drop", "merge"])
@pytest.mark.parametrize("law", LAWS)
def test_the_loop_over_batches_has_the_harness_s_lengths_and_law(law, last):
    """What torch would be told, run with a dataset of row numbers."""
    if (law, last) in (("skipping", "merge"), ("independent", "merge"), ("replacement", "merge")):
        return
    config = settings(batch_size=30, epochs=2)
    row = replace(native_row("torch", config), batches=law, last_batch=last)
    lines = lines_of("keras").order(
        Switch(native_row("keras", config), row, frozenset({"batches", "last_batch"}), config)
    )
    if law in ("one_permutation", "in_order") and last == "keep":
        assert lines == [f"shuffle={law != 'in_order'}"]
        return

    class Noting:
        seen: list = []

        def train_on_batch(self, X, y):
            self.seen.append(X)

    Noting.seen = seen = []
    run(lines, X=np.arange(100), y=np.arange(100), model=Noting())
    drawn = draw_batches(config, Recipe(batches=law, last_batch=last), 100, 0, 0)
    steps = len(drawn[0].batches())
    assert [len(rows) for rows in seen] == [len(rows) for e in range(2) for rows in drawn[e].batches()]
    first, second = np.concatenate(seen[:steps]), np.concatenate(seen[steps:])
    assert np.array_equal(first, second) == (law in ("one_permutation", "in_order", "bootstrap", "skipping"))
    within_epoch = law in ("permutation", "one_permutation", "in_order", "skipping")
    assert (len(np.unique(first)) == len(first)) == within_epoch
    assert all(len(np.unique(rows)) == len(rows) for rows in seen) or law in ("replacement", "bootstrap")


class Failing(BackendLines):
    def native(self, config, seed):
        raise ZeroDivisionError("lines")

    switched = controlled = native


@pytest.fixture
def theirs(monkeypatch):
    """A backend of somebody else's, with PyTorch's conventions and other lines."""

    def make(lines):
        own = Backend("own", "no_module:Trainer", conventions="backends.torch.conventions:CONVENTIONS", lines=lines)
        monkeypatch.setattr(registry, "BUILT_IN", (*registry.BUILT_IN, own))
        registry.backends.cache_clear()

    yield make
    monkeypatch.undo()
    registry.backends.cache_clear()


def test_a_package_may_have_lines_of_its_own(theirs):
    theirs("backends.torch.lines:TorchLines")
    config = settings("adam")
    assert native_call("own", config) == native_call("torch", config)
    names = differing(config, native_row("own", config), native_row("keras", config))
    assert names
    assert agree("own", "keras", names, config)["own"] == agree("torch", "keras", names, config)["torch"]


@pytest.mark.parametrize("lines", ["tests.test_keywords:Failing", "no_module:Lines", "nothing"])
def test_lines_that_fail_cost_no_report(theirs, lines):
    theirs(lines)
    config = settings("adam")
    for (line,) in (native_call("own", config), agree("own", "keras", ["epsilon"], config)["own"]):
        assert line.startswith("# the lines of code of own fail: ")
    theirs(None)
    assert native_call("own", config) == ["# own declares no lines of code"]
