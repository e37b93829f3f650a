"""Training under any row of the conventions table: the default row is the reference itself, to the last bit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checks.covering import FACTORS, covering, training_of
from harness.checks.problem import N_ROWS, problem
from harness.contract import OPTIMIZER_CONSTANTS, Config, vary
from harness.conventions.translation import controlled_row
from harness.draws.batches import draw_batches
from harness.draws.recipe import Recipe
from harness.draws.starts import draw_start
from harness.reference.trainer import Reference
from harness.replay.stack import Stack, replay
from harness.replay.training import Member

CASES = covering({factor: list(levels) for factor, levels in FACTORS.items() if factor != "early stopping"})


def member(config, recipe, repeat=0, **row):
    X, y = problem(config)
    return Member(
        config,
        replace(controlled_row(config, recipe), **row),
        draw_start(config, recipe, 0, repeat),
        draw_batches(config, recipe, N_ROWS, 0, repeat),
        X,
        y,
    )


def reference_of(member):
    trainer = Reference(member.config, member.start)
    trainer.train(member.X, member.y, member.batches, lambda epoch: False)
    return trainer.weights()


def same_bits(replayed, expected):
    """Whether two trainings ended with the same weights; a training that diverged has none."""
    finite = all(np.isfinite(value).all() for layer in expected for value in layer.values())
    if replayed is None or not finite:
        return replayed is None and not finite
    return all(np.array_equal(x[key], y[key]) for x, y in zip(replayed, expected, strict=True) for key in y)


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(case.values()).replace(" ", "_")[:90])
def test_the_harness_s_own_row_is_the_reference_bit_for_bit(case):
    config, recipe, _ = training_of({**case, "early stopping": "no"})
    one = member(config, recipe)
    assert same_bits(replay([one])[0].weights, reference_of(one))


def test_the_perceptron_rule_too():
    rule = {"optimizer": "perceptron", "loss": "perceptron", "output_activation": "heaviside", "task": "binary"}
    config = Config.of(5, 1, (), (), learning_rate=0.1, batch_size=6, epochs=4, **rule)
    one = member(config, Recipe())
    assert same_bits(replay([one])[0].weights, reference_of(one))


@given(
    optimizer=st.sampled_from(list(OPTIMIZER_CONSTANTS)),
    numbers=st.lists(
        st.tuples(st.floats(1e-3, 1), st.floats(0, 0.1), st.floats(0, 0.99), st.floats(1e-8, 1e-2), st.integers(0, 3)),
        min_size=2,
        max_size=5,
    ),
    dtype=st.sampled_from(["float64", "float32"]),
)
@settings(max_examples=60, deadline=None)
def test_members_of_a_stack_do_not_know_of_each_other(optimizer, numbers, dtype):
    """Whatever numbers the others have, each member comes out as the reference that is trained alone."""
    members = [
        member(
            Config.of(
                5, 4, (7, 6), ("leaky_relu", "elu"), optimizer=optimizer, learning_rate=rate, batch_size=6, epochs=3,
                l2=l2, momentum=momentum, rho=momentum,
                beta_1=momentum, epsilon=epsilon, dtype=dtype, leaky_slope=momentum, elu_alpha=0.5 + l2,
            ),
            Recipe(),
            repeat,
        )
        for rate, l2, momentum, epsilon, repeat in numbers
    ]  # fmt: skip
    assert [same_bits(r.weights, reference_of(m)) for r, m in zip(replay(members), members, strict=True)] == [
        True
    ] * len(members)


def test_members_of_other_structures_come_back_in_their_order():
    base = Config.of(5, 4, (7,), ("tanh",), optimizer="sgd", learning_rate=0.1, batch_size=6, epochs=2)
    others = (
        base,
        vary(base, hidden=(3,)),
        vary(base, optimizer="adam"),
        vary(base, batch_size=5),
        vary(base, dtype="float32"),
        base,
    )
    members = [member(config, Recipe()) for config in others]
    for result, one in zip(replay(members), members, strict=True):
        assert same_bits(result.weights, reference_of(one))


def test_a_training_that_diverges_costs_no_other_member():
    base = Config.of(
        5,
        3,
        (7,),
        ("relu",),
        optimizer="sgd",
        learning_rate=0.1,
        batch_size=6,
        epochs=30,
        task="regression",
        loss="mse",
        output_activation="identity",
    )
    members = [member(config, Recipe()) for config in (base, vary(base, learning_rate=1e200), base)]
    first, lost, last = replay(members)
    assert lost.weights is None
    assert same_bits(first.weights, last.weights)
    assert same_bits(first.weights, reference_of(members[0]))


def test_a_stack_shows_what_it_computed_on_the_way():
    config = Config.of(5, 4, (7,), ("tanh",), optimizer="sgd", learning_rate=0.1, batch_size=6, epochs=1)
    stack = Stack([member(config, Recipe())])
    X, y = problem(config)
    before = stack.weights(0)
    hidden, output = stack.step(X[None, :6], y[None, :6], np.array([0.1]))
    assert np.allclose(hidden[0], np.tanh(X[:6] @ before[0]["W"] + before[0]["b"]))
    assert np.allclose(output[0], hidden[0] @ before[1]["W"] + before[1]["b"])
    assert np.allclose(before[1]["W"] - 0.1 * stack.grads[1]["W"][0], stack.weights(0)[1]["W"])
