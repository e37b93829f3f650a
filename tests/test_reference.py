"""The reference is the definition, so it is held against mathematics: differences, hand-made steps, a known case."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.metrics import accuracy, cross_entropy
from harness.problem import SMALL, batches_of, problem, start_of
from harness.reference import RULES, Reference, forward, gradients, sigmoid
from harness.trainer import ACTIVATIONS, OPTIMIZER_CONSTANTS, REDUCTIONS, Config
from harness.training import train_reference


def loss(config, weights, X, y):
    value = cross_entropy(forward(config, weights, X)[1], y) * (len(y) if config.reduction == "sum" else 1)
    return value + config.l2 / 2 * sum(np.sum(layer["W"] ** 2) for layer in weights)


@settings(max_examples=40, deadline=None)
@given(
    hidden=st.lists(st.integers(1, 5), max_size=3),
    activation=st.sampled_from(["sigmoid", "tanh"]),
    reduction=st.sampled_from(REDUCTIONS),
    l2=st.sampled_from([0.0, 0.3]),
    n=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_gradients_agree_with_central_differences(hidden, activation, reduction, l2, n, seed):
    _compare_with_differences(tuple(hidden), activation, reduction, l2, n, seed)


@pytest.mark.parametrize("seed", range(10))
def test_relu_gradients_agree_with_central_differences_away_from_the_kink(seed):
    _compare_with_differences((4, 3), "relu", "mean", 0.1, 5, seed)


def _compare_with_differences(hidden, activation, reduction, l2, n, seed):
    rng = np.random.default_rng(seed)
    config = replace(SMALL, hidden=hidden, activation=(activation,) * len(hidden), reduction=reduction, l2=l2)
    weights = tuple(
        {"W": rng.normal(size=shape), "b": rng.normal(size=shape[1])} for shape in itertools.pairwise(config.layers)
    )
    X, y = rng.normal(size=(n, config.n_inputs)), rng.integers(config.n_outputs, size=n)
    exact, h = gradients(config, weights, X, y), 1e-6
    for layer, grad in zip(weights, exact, strict=True):
        for key, value in layer.items():
            estimate = np.empty_like(value)
            for index in np.ndindex(value.shape):
                kept = value[index]
                value[index] = kept + h
                above = loss(config, weights, X, y)
                value[index] = kept - h
                estimate[index] = (above - loss(config, weights, X, y)) / (2 * h)
                value[index] = kept
            assert np.linalg.norm(estimate - grad[key]) <= 1e-6 * max(1, np.linalg.norm(grad[key]))


# Two steps from w = 1 with gradients 2 and 4, learning rate 0.1, worked out by hand from the papers' formulas.
GOLDEN = {
    "sgd": [0.8, 0.4],
    "momentum": [0.8, 0.8 - 0.1 * (0.9 * 2 + 4)],  # v: 2, 5.8
    "nesterov": [1 - 0.1 * (2 + 0.9 * 2), 0.62 - 0.1 * (4 + 0.9 * 5.8)],
    # m: 0.2, 0.58; v: 0.004, 0.019996; m_hat: 2, 0.58/0.19; v_hat: 4, 0.019996/0.001999; epsilon 0.5
    "adam": [1 - 0.1 * 2 / 2.5, 0.92 - 0.1 * (0.58 / 0.19) / ((0.019996 / 0.001999) ** 0.5 + 0.5)],
}


@pytest.mark.parametrize("optimizer", OPTIMIZER_CONSTANTS)
def test_optimizers_match_their_papers_worked_out_by_hand(optimizer):
    config = replace(SMALL, optimizer=optimizer, epsilon=0.5)
    w, state, seen = np.array([1.0]), {}, []
    for t, g in enumerate([2.0, 4.0], start=1):
        w = w - RULES[optimizer](config, state, np.array([g]), 0.1, t)
        seen.append(w.item())
    assert seen == pytest.approx(GOLDEN[optimizer], abs=1e-15)


def test_adam_s_first_step_is_the_learning_rate():
    update = RULES["adam"](replace(SMALL, epsilon=1e-300), {}, np.array([1e-3, -50.0]), 0.1, 1)
    assert update == pytest.approx([0.1, -0.1], rel=1e-12)


def test_the_sum_is_the_mean_times_the_rows():
    X, y = problem()
    config = replace(SMALL, l2=0.0)
    mean, total = (gradients(replace(config, reduction=r), start_of(config), X, y) for r in ("mean", "sum"))
    assert total[0]["W"] == pytest.approx(mean[0]["W"] * len(y))


def test_l2_is_added_whatever_the_reduction():
    X, y = problem()
    for reduction in REDUCTIONS:
        with_l2, without = (
            gradients(replace(SMALL, l2=l2, reduction=reduction), start_of(SMALL), X, y) for l2 in (0.5, 0.0)
        )
        assert with_l2[0]["W"] - without[0]["W"] == pytest.approx(0.5 * start_of(SMALL)[0]["W"])
        assert np.array_equal(with_l2[0]["b"], without[0]["b"])


def test_sigmoid_and_loss_are_finite_for_any_finite_logit():
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]
    logits = np.array([[1e4, -1e4, 0.0]])
    assert cross_entropy(logits, np.array([0])) == 0
    assert cross_entropy(logits, np.array([1])) == pytest.approx(2e4)


def test_accuracy_takes_the_first_of_equal_logits():
    assert accuracy(np.array([[1.0, 1.0], [0.0, 2.0]]), np.array([0, 1])) == 1.0


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_floor_is_rounding(activation):
    config = replace(SMALL, activation=(activation,))
    floor = train_reference(config, start_of(config), batches_of(config), *problem()).floor
    assert 0 < floor < 1e-14


def test_training_learns():
    config = Config(
        n_inputs=5, n_outputs=4, hidden=(8,), activation=("tanh",), optimizer="adam", learning_rate=0.05,
        batch_size=6, epochs=60,
    )  # fmt: skip
    X, y = problem()
    trainer = Reference(config, start_of(config))
    trainer.train(X, y, batches_of(config), lambda epoch: False)
    assert accuracy(trainer.logits(X), y) == 1.0
