"""The reference is the definition, so it is held against mathematics: differences, hand-made steps, a known case."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.checks.parts import OF_TASK
from harness.checks.problem import N_ROWS, SMALL, batches_of, problem, rows_of, start_of
from harness.contract import ACTIVATIONS, OPTIMIZER_CONSTANTS, OUTPUT_ACTIVATIONS, REDUCTIONS, TASKS, Config, vary
from harness.draws.batches import draw_batches
from harness.draws.recipe import Recipe
from harness.network import ACTIVATIONS as ACTIVATION_CLASSES
from harness.network import Adam, ClipNorm, ClipValue
from harness.reference.activations import activate, derivative, sigmoid
from harness.reference.layers import BatchNormPass, forward, hidden_units, passes
from harness.reference.losses import output, output_error
from harness.reference.optimizers import RULES
from harness.reference.trainer import Reference, clip, gradients, logits_of
from harness.training import metrics
from harness.training.floor import train_reference

KINKED = ("relu", "leaky_relu", "elu", "selu")  # elu has a kink where alpha is not 1


def loss(config, weights, X, y, masks):
    """What is minimised, from the metrics' own losses and not from anything that the gradients are made of."""
    logits = forward(passes(config.network, weights), X, masks)[-1]
    value = metrics.loss(config, logits, y) * (len(y) if config.reduction == "sum" else 1)
    matrices = [layer["W"] for layer in weights if "W" in layer]
    penalties = sum(config.penalty.l2 / 2 * np.sum(W**2) + config.penalty.l1 * np.abs(W).sum() for W in matrices)
    return value + penalties


networks = st.fixed_dictionaries(
    {
        "hidden": st.lists(st.integers(1, 4), max_size=3).map(tuple),
        "reduction": st.sampled_from(REDUCTIONS),
        "l2": st.sampled_from([0.0, 0.3]),
        "l1": st.sampled_from([0.0, 0.1]),
        "batch_norm": st.booleans(),
        "leaky_slope": st.sampled_from([0.0, 0.01, 0.3]),
        "elu_alpha": st.sampled_from([0.5, 1.0]),
        "huber_delta": st.sampled_from([0.3, 1.0]),
    }
)
outputs = st.one_of(
    st.sampled_from([OF_TASK[task] for task in ("multiclass", "binary", "multilabel")]),
    st.builds(
        lambda loss, name: vary(OF_TASK["regression"], loss=loss, output_activation=name),
        st.sampled_from(TASKS["regression"]),
        st.sampled_from(OUTPUT_ACTIVATIONS),
    ),
)


@settings(max_examples=250, deadline=None)
@given(
    base=outputs,
    network=networks,
    activation=st.sampled_from(list(ACTIVATIONS)),
    dropped=st.booleans(),
    n=st.integers(2, 6),
    seed=st.integers(0, 1000),
)
def test_gradients_agree_with_central_differences(base, network, activation, dropped, n, seed):
    """For every loss, activation and regulariser, on random networks, away from kinks: to 1e-6 in norm."""
    rng = np.random.default_rng(seed)
    hidden = network["hidden"]
    rates = (0.2, *(0.5,) * len(hidden)) if dropped else ()
    config = vary(base, **network, activation=(activation,) * len(hidden), dropout=rates)
    weights = start_of(config)
    X = rng.normal(size=(n, config.network.units[0]))
    y = (
        rng.integers(config.network.n_outputs, size=n)
        if config.task == "multiclass"
        else rng.random((n, config.network.n_outputs))
    )
    masks = tuple(rng.random((n, *shape)) > layer.rate for _, layer, shape in config.network.drawn())
    assume(not near_a_kink(config, weights, X, y, masks))
    exact, h = gradients(config, weights, X, y, masks), 1e-6
    for layer, grad in zip(weights, exact, strict=True):
        for key in grad:
            value = layer[key]
            estimate = np.empty_like(value)
            for index in np.ndindex(value.shape):
                kept = value[index]
                value[index] = kept + h
                above = loss(config, weights, X, y, masks)
                value[index] = kept - h
                estimate[index] = (above - loss(config, weights, X, y, masks)) / (2 * h)
                value[index] = kept
            assert np.linalg.norm(estimate - grad[key]) <= 1e-6 * max(1, np.linalg.norm(grad[key]))


def near_a_kink(config, weights, X, y, masks, margin=1e-3):
    """Whether a step of `h` could cross the kink of an activation, a loss or a penalty."""
    layers = passes(config.network, weights)
    outputs = forward(layers, X, masks)
    numbers = [np.abs(layer["W"]) for layer in weights if "W" in layer] if config.penalty.l1 else []
    # a unit whose rows are nearly alike is divided by next to nothing
    numbers += [np.sqrt(layer.moments[1]) / 30 for layer in layers if isinstance(layer, BatchNormPass)]
    for name, a in zip(config.network.dense["activation"], map(np.abs, hidden_units(layers, outputs)), strict=True):
        numbers += [np.where(a == 0, np.inf, a)] if name in KINKED else []
    if config.task == "regression":
        e = np.abs(output(config, outputs[-1]) - y)
        numbers += [e, np.abs(e - config.value("huber_delta"))]
        numbers += [np.abs(outputs[-1])] if config.loss.output.name == "relu" else []
    return any((item < margin).any() for item in numbers)


@pytest.mark.parametrize("activation", [*ACTIVATIONS])
def test_derivatives_are_the_left_ones(activation):
    it = ACTIVATION_CLASSES[activation].of({"leaky_slope": 0.3, "elu_alpha": 0.6})
    for z in (-2.0, -0.4, 0.0, 0.7, 3.0):
        left = (activate(it, np.array([z])) - activate(it, np.array([z - 1e-7]))) / 1e-7
        assert derivative(it, activate(it, np.array([z]))) == pytest.approx(left, abs=2e-7)


# values at -1 and 2, from the papers' definitions
ACTIVATIONS_BY_HAND = {
    "identity": [-1, 2],
    "sigmoid": [0.2689414213699951, 0.8807970779778823],
    "tanh": [-0.7615941559557649, 0.9640275800758169],
    "relu": [0, 2],
    "leaky_relu": [-0.01, 2],
    "elu": [-0.6321205588285577, 2],
    "selu": [-1.1113307378125625, 2.101401974],  # 1.0507 * 1.67326 * (exp(-1) - 1), 1.0507 * 2
    "softplus": [0.31326168751822286, 2.1269280110429727],
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_have_their_papers_values(activation):
    values = activate(ACTIVATION_CLASSES[activation](), np.array([-1.0, 2.0]))
    assert values == pytest.approx(ACTIVATIONS_BY_HAND[activation], rel=1e-9)


# one row, two outputs: o = (2, -1), y = (1, 1), so e = (1, -2); delta 1.5
LOSSES_BY_HAND = {"mse": (2.5, [1, -2]), "mae": (1.5, [0.5, -0.5]), "huber": ((0.5 + 1.5 * 1.25) / 2, [0.5, -0.75])}


@pytest.mark.parametrize("name", LOSSES_BY_HAND)
def test_losses_of_a_regression_worked_out_by_hand(name):
    config = vary(OF_TASK["regression"], n_outputs=2, loss=name, huber_delta=1.5)
    logits, y = np.array([[2.0, -1.0]]), np.array([[1.0, 1.0]])
    value, error = LOSSES_BY_HAND[name]
    assert metrics.loss(config, logits, y) == pytest.approx(value)
    assert output_error(config, logits, y)[0] == pytest.approx(error)


def test_binary_cross_entropy_worked_out_by_hand():
    config = vary(OF_TASK["multilabel"], n_outputs=2)
    logits, y = np.array([[np.log(3), 0.0]]), np.array([[1.0, 0.0]])  # p = 3/4 and 1/2
    assert metrics.loss(config, logits, y) == pytest.approx((np.log(4 / 3) + np.log(2)) / 2)
    assert output_error(config, logits, y)[0] == pytest.approx([-0.125, 0.25])


def test_the_absolute_error_has_no_slope_where_there_is_no_error():
    config = vary(OF_TASK["regression"], n_outputs=2, loss="mae")
    assert output_error(config, np.array([[1.0, 2.0]]), np.array([[1.0, 1.0]])).tolist() == [[0.0, 0.5]]


def test_softplus_does_not_overflow():
    assert activate(ACTIVATION_CLASSES["softplus"](), np.array([-1e4, 1e4])).tolist() == [0.0, 1e4]


@pytest.mark.parametrize("task", ["multiclass", "binary", "multilabel"])
@pytest.mark.parametrize("logit", [1e4, -1e4, 0.0])
def test_losses_and_gradients_are_finite_for_logits_up_to_1e4(task, logit):
    config = OF_TASK[task]
    logits = np.full((2, config.network.n_outputs), -logit)
    logits[:, 0] = logit
    y = (
        np.array([0, config.network.n_outputs - 1])
        if task == "multiclass"
        else np.array([[1.0], [0.0]]) * np.ones(logits.shape)
    )
    assert np.isfinite(metrics.loss(config, logits, y))
    assert np.isfinite(output_error(config, logits, y)).all()


def one_unit(**changes):
    """A layer of one linear unit with batch normalisation, and an output that adds nothing."""
    config = Config.of(
        n_inputs=1, n_outputs=1, hidden=(1,), activation=("identity",), optimizer="sgd", learning_rate=1.0,
        batch_size=2, epochs=1, task="regression", loss="mse", output_activation="identity", **changes,
    )  # fmt: skip
    norm = {"gamma": [2.0], "beta": [1.0], "mean": [0.5], "variance": [3.0]}
    layers = ({"W": [[1.0]]}, norm, {"W": [[1.0]], "b": [0.0]})
    return config, tuple({key: np.array(value) for key, value in layer.items()} for layer in layers)


def test_batch_normalisation_worked_out_by_hand():
    config, weights = one_unit(batch_norm=True, batch_norm_momentum=0.75, batch_norm_epsilon=1.0)
    X = np.array([[1.0], [5.0]])  # mean 3, biased variance 4
    trained = forward(passes(config.network, weights), X, ())[1].ravel()
    assert trained == pytest.approx([1 - 4 / 5**0.5, 1 + 4 / 5**0.5])
    answered = forward(passes(config.network, weights), X)[1].ravel()
    assert answered == pytest.approx([1 + 2 * 0.5 / 2, 1 + 2 * 4.5 / 2])
    trainer = Reference(config, weights)
    trainer._update(X, np.zeros((2, 1)), 0.1)
    assert trainer.weights()[1]["mean"] == pytest.approx([0.75 * 0.5 + 0.25 * 3])
    assert trainer.weights()[1]["variance"] == pytest.approx([0.75 * 3 + 0.25 * 4])


def test_dropout_divides_what_it_keeps_and_rests_in_inference():
    config = vary(SMALL, n_inputs=2, hidden=(), activation=(), n_outputs=1, dropout=(0.75,))
    weights = ({"W": np.array([[1.0], [10.0]]), "b": np.zeros(1)},)
    X = np.array([[1.0, 1.0]])
    assert forward(passes(config.network, weights), X, (np.array([[True, False]]),))[-1].item() == 4.0
    assert logits_of(config.network, weights, X).item() == 11.0


def clipped(clipping):
    """Of gradients whose norm over all tensors is 13."""
    grads = ({"W": np.array([[3.0]]), "b": np.array([0.0])}, {"W": np.array([[-4.0]]), "b": np.array([12.0])})
    clip(clipping, grads)
    return [layer[key].item() for layer in grads for key in "Wb"]


def test_clipping_worked_out_by_hand():
    assert clipped(ClipNorm(6.5)) == [1.5, 0.0, -2.0, 6.0]
    assert clipped(ClipNorm(13.0)) == [3.0, 0.0, -4.0, 12.0]
    assert clipped(ClipValue(3.5)) == [3.0, 0.0, -3.5, 3.5]


def test_l1_adds_its_sign_and_nothing_at_zero():
    config = vary(SMALL, l1=0.25)
    weights = start_of(config)
    weights[0]["W"][0, :3] = [0.0, 2.0, -2.0]
    X, y = problem()
    with_l1, without = (gradients(c, weights, X, y) for c in (config, vary(config, l1=0.0)))
    assert with_l1[0]["W"][0, :3] - without[0]["W"][0, :3] == pytest.approx([0.0, 0.25, -0.25])
    assert np.array_equal(with_l1[0]["b"], without[0]["b"])


def test_the_perceptron_rule_learns_and_and_then_stops():
    config = vary(
        OF_TASK["binary"], n_inputs=2, hidden=(), activation=(), optimizer="perceptron", loss="perceptron",
        output_activation="heaviside", l2=0.0, batch_size=1, epochs=20, learning_rate=1.0,
    )  # fmt: skip
    X, y = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0.0], [0], [0], [1]])
    trainer = Reference(config, ({"W": np.zeros((2, 1)), "b": np.zeros(1)},))
    trainer._update(X[3:], y[3:], 1.0)  # step(0) = 0 is wrong: w += x
    assert trainer.weights()[0]["W"].ravel().tolist() == [1.0, 1.0]
    trainer.train(X, y, draw_batches(config, Recipe(), 4, 0, 0), lambda epoch: False)
    assert (trainer.logits(X) > 0).ravel().tolist() == [False, False, False, True]
    before = trainer.weights()
    trainer._update(X, y, 1.0)
    assert np.array_equal(before[0]["W"], trainer.weights()[0]["W"])


# Two steps from w = 1 with gradients 2 and 4, learning rate 0.1, worked out by hand from the papers' formulas.
GOLDEN = {
    "sgd": [0.8, 0.4],
    "momentum": [0.8, 0.8 - 0.1 * (0.9 * 2 + 4)],  # v: 2, 5.8
    "nesterov": [1 - 0.1 * (2 + 0.9 * 2), 0.62 - 0.1 * (4 + 0.9 * 5.8)],
    # m: 0.2, 0.58; v: 0.004, 0.019996; m_hat: 2, 0.58/0.19; v_hat: 4, 0.019996/0.001999; epsilon 0.5
    # G with a start of 5: 9, 25; epsilon 0.5
    "adagrad": [1 - 0.1 * 2 / 3.5, 1 - 0.1 * 2 / 3.5 - 0.1 * 4 / 5.5],
    "adagrad_momentum": [1 - 0.2 / 3.5, 1 - 0.2 / 3.5 - (0.9 * 0.2 / 3.5 + 0.4 / 5.5)],
    # v with rho 0.75: 1, 4.75
    "rmsprop": [1 - 0.2 / 1.5, 1 - 0.2 / 1.5 - 0.4 / (4.75**0.5 + 0.5)],
    "adam": [1 - 0.1 * 2 / 2.5, 0.92 - 0.1 * (0.58 / 0.19) / ((0.019996 / 0.001999) ** 0.5 + 0.5)],
}


@pytest.mark.parametrize("optimizer", OPTIMIZER_CONSTANTS)
def test_optimizers_match_their_papers_worked_out_by_hand(optimizer):
    config = vary(SMALL, optimizer=optimizer, epsilon=0.5, rho=0.75, initial_accumulator=5.0)
    w, state, seen = np.array([1.0]), {}, []
    for t, g in enumerate([2.0, 4.0], start=1):
        w = w - RULES[type(config.optimizer)](config.optimizer, state, np.array([g]), 0.1, t)
        seen.append(w.item())
    assert seen == pytest.approx(GOLDEN[optimizer], abs=1e-15)


def test_adam_s_first_step_is_the_learning_rate():
    update = RULES[Adam](Adam(0.1, epsilon=1e-300), {}, np.array([1e-3, -50.0]), 0.1, 1)
    assert update == pytest.approx([0.1, -0.1], rel=1e-12)


def _gradients(config):
    X, y = problem(config)
    weights = start_of(config)
    return gradients(config, weights, X, y)


def test_the_sum_is_the_mean_times_the_rows():
    config = vary(SMALL, l2=0.0)
    mean, total = (_gradients(vary(config, reduction=r)) for r in ("mean", "sum"))
    assert total[0]["W"] == pytest.approx(mean[0]["W"] * N_ROWS)


def test_l2_is_added_whatever_the_reduction():
    for reduction in REDUCTIONS:
        with_l2, without = (_gradients(vary(SMALL, l2=l2, reduction=reduction)) for l2 in (0.5, 0.0))
        assert with_l2[0]["W"] - without[0]["W"] == pytest.approx(0.5 * start_of(SMALL)[0]["W"])
        assert np.array_equal(with_l2[0]["b"], without[0]["b"])


def test_sigmoid_and_loss_are_finite_for_any_finite_logit():
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]
    logits = np.array([[1e4, -1e4, 0.0]])
    assert metrics.loss(SMALL, logits, np.array([0])) == 0
    assert metrics.loss(SMALL, logits, np.array([1])) == pytest.approx(2e4)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_floor_is_rounding(activation):
    config = vary(SMALL, activation=(activation,))
    floor = train_reference(config, start_of(config), batches_of(config), rows_of(config)).floor
    assert 0 < floor < 1e-14


def test_training_learns():
    config = Config.of(
        n_inputs=5, n_outputs=4, hidden=(8,), activation=("tanh",), optimizer="adam", learning_rate=0.05,
        batch_size=6, epochs=60,
    )  # fmt: skip
    X, y = problem()
    trainer = Reference(config, start_of(config))
    trainer.train(X, y, batches_of(config), lambda epoch: False)
    assert metrics.right(config, trainer.logits(X), y).all()
