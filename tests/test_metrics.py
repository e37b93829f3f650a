"""Metrics, against values worked out by hand, and against scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from harness.checks.parts import OF_TASK
from harness.contract import vary
from harness.data.prepared import Part, Prepared
from harness.training import metrics

MULTICLASS, BINARY, MULTILABEL, REGRESSION = OF_TASK.values()


def part(y):
    return Part(np.zeros((len(y), 1)), y, np.arange(len(y)))


def evaluate(config, logits, y):
    prepared = Prepared(part(y), part(y[:0]), part(y))
    return metrics.evaluate(config, {"train": logits, "test": logits}, prepared, full=True)


def test_a_part_without_rows_has_no_metrics():
    seen = evaluate(BINARY, np.array([[1.0], [-1.0]]), np.array([[1.0], [0.0]]))
    assert {name.split("_")[0] for name in seen} == {"train", "test"}


def test_binary_metrics():
    # scores 3, 1 for class 1 and 2, -1 for class 0: three of the four pairs are in order
    seen = evaluate(BINARY, np.array([[3.0], [1.0], [2.0], [-1.0]]), np.array([[1.0], [1.0], [0.0], [0.0]]))
    assert seen["test_accuracy"] == 0.75
    assert seen["test_auc"] == 0.75
    assert seen["test_f1"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 0))


def test_a_logistic_unit_at_one_half_says_no():
    assert metrics.predicted(BINARY, np.array([[0.0], [1e-9]])).ravel().tolist() == [0, 1]


def test_the_first_of_equally_likely_classes_is_the_answer():
    logits = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 2.0, 2.0, 0.0]])
    assert metrics.predicted(MULTICLASS, logits).tolist() == [0, 1]
    assert metrics.confusion(MULTICLASS, logits, np.array([0, 1])).trace() == 2
    assert metrics.quick(MULTICLASS, logits, np.array([0, 1]))["accuracy"] == 1.0


def test_multiclass_metrics():
    config = vary(MULTICLASS, n_outputs=3)
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]]))
    y = np.array([0, 1, 1, 2])
    seen = evaluate(config, logits, y)
    assert seen["test_accuracy"] == 0.75
    assert seen["test_loss"] == pytest.approx(-np.log([0.7, 0.6, 0.3, 0.6]).mean())
    # one against the rest: class 0 1 of 1, class 1 4 of 4, class 2 3 of 3 pairs in order
    assert seen["test_auc"] == 1.0
    assert seen["test_f1"] == pytest.approx(np.mean([2 / 3, 2 / 3, 1.0]))


def test_the_auc_of_a_saturated_network_still_sees_the_order():
    config = vary(MULTICLASS, n_outputs=2)
    logits = np.array([[900.0, 0.0], [800.0, 0.0], [700.0, 0.0]])  # every probability is 1.0
    assert metrics.roc_auc(config, logits, np.array([0, 0, 1])) == 1.0


def test_an_auc_that_is_not_defined_is_left_out():
    assert "test_auc" not in evaluate(BINARY, np.array([[1.0], [2.0]]), np.array([[1.0], [1.0]]))


def test_of_several_labels_all_have_to_be_right():
    logits = np.array([[1.0, -1.0, 1.0], [1.0, 1.0, 1.0]])
    y = np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0]])
    assert metrics.right(MULTILABEL, logits, y).tolist() == [True, False]
    assert evaluate(MULTILABEL, logits, y)["test_accuracy"] == 0.5


def test_regression_metrics():
    config = vary(REGRESSION, n_outputs=2, loss="mae")
    o, y = np.array([[1.0, 0.0], [3.0, 2.0]]), np.array([[0.0, 0.0], [4.0, 2.0]])
    seen = evaluate(config, o, y)
    assert (seen["test_mse"], seen["test_mae"], seen["test_loss"]) == (0.5, 0.5, 0.5)
    assert seen["test_r2"] == pytest.approx((1 - 2 / 8 + 1) / 2)


def test_regression_metrics_are_of_the_answer_and_not_of_the_logits():
    config = vary(REGRESSION, n_outputs=1, output_activation="relu")
    seen = evaluate(config, np.array([[-5.0], [1.0]]), np.array([[0.0], [1.0]]))
    assert (seen["test_mse"], seen["test_r2"]) == (0.0, 1.0)


def test_the_r2_of_targets_that_are_all_the_same_is_0():
    config = vary(REGRESSION, n_outputs=1)
    assert evaluate(config, np.array([[1.0], [2.0]]), np.array([[1.0], [1.0]]))["test_r2"] == 0.0


def test_a_confusion_matrix_counts_true_classes_in_rows():
    logits = np.array([[2.0, 0, 0, 0], [0, 2.0, 0, 0], [2.0, 0, 0, 0]])
    matrix = metrics.confusion(MULTICLASS, logits, np.array([0, 1, 1]))
    assert matrix.tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0] * 4, [0] * 4]
    assert metrics.confusion(BINARY, np.array([[1.0]]), np.array([[0.0]])).tolist() == [[0, 1], [0, 0]]
    assert metrics.confusion(REGRESSION, logits, logits) is None


def test_metrics_of_numbers_that_are_not_finite_are_the_quick_ones():
    seen = evaluate(BINARY, np.array([[np.nan], [1.0]]), np.array([[1.0], [0.0]]))
    assert np.isnan(seen["test_loss"])
    assert "test_f1" not in seen


# -- against scikit-learn, for stacks; logits of few whole numbers, so that there are ties, and classes that never occur


@st.composite
def stacks(draw, task):
    """A config, logits `(members, n, n_outputs)` and targets."""
    members, n = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    config = vary(OF_TASK[task], n_outputs={"binary": 1}.get(task, draw(st.integers(2, 4))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    spread, scale = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from([1.0, 0.25, 300.0, 1000.0]))
    logits = rng.integers(-spread, spread + 1, (members, n, config.network.n_outputs)) * scale
    if task == "multiclass":
        return config, logits, rng.integers(0, draw(st.integers(1, config.network.n_outputs)), n)
    y = rng.integers(0, draw(st.integers(1, 2)), (n, config.network.n_outputs), endpoint=True).clip(0, 1)
    return config, logits, y.astype(np.float64)


def prepared(y):
    return Prepared(part(y), part(y[:0]), part(y[:0]))


def log_odds(z):
    """Of each class against the rest, `(n, n_classes)`, by the definition."""
    with np.errstate(under="ignore"):
        return np.stack([z[:, k] - np.logaddexp.reduce(np.delete(z, k, axis=1), axis=1) for k in range(z.shape[1])], 1)


def assert_scores(config, logits, y, members):
    """Each member's accuracy, F1 and AUC are scikit-learn's."""
    for z, seen in zip(logits, members, strict=True):
        answers = metrics.predicted(config, z)
        average = "binary" if config.task == "binary" else "macro"
        assert seen["train_accuracy"] == oracle.accuracy_score(y, answers)
        expected = oracle.f1_score(y, answers, average=average, zero_division=0)
        assert seen["train_f1"] == pytest.approx(expected, abs=1e-15)
        truth = np.eye(config.network.n_outputs)[y] if config.task == "multiclass" else y
        assert ("train_auc" in seen) == all(len(set(column)) == 2 for column in truth.T)
        if "train_auc" in seen:
            scores = log_odds(z).round(9) if config.task == "multiclass" else z  # equal ones may differ by rounding
            areas = [oracle.roc_auc_score(t, s) for t, s in zip(truth.T, scores.T, strict=True)]
            assert seen["train_auc"] == pytest.approx(np.mean(areas), abs=1e-12)


@pytest.mark.parametrize("task", ["binary", "multilabel"])
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_the_scores_of_labels_are_those_of_scikit_learn(task, data):
    config, logits, y = data.draw(stacks(task))
    assert_scores(config, logits, y, metrics.evaluate_stack(config, {"train": logits}, prepared(y), full=True))


@settings(deadline=None, max_examples=60)
@given(stacks("multiclass"))
def test_the_scores_of_classes_are_those_of_scikit_learn(drawn):
    config, logits, y = drawn
    logits = (
        logits + np.arange(config.network.n_outputs) / 16
    )  # no two sets of classes share a sum, which rounding would part
    assert_scores(config, logits, y, metrics.evaluate_stack(config, {"train": logits}, prepared(y), full=True))
    for z, table in zip(logits, metrics.confusion_stack(config, logits, y), strict=True):
        expected = oracle.confusion_matrix(y, z.argmax(axis=1), labels=np.arange(config.network.n_outputs))
        assert table.tolist() == expected.tolist()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(-2, 2), st.booleans()), min_size=2))
def test_rows_of_equal_score_count_by_half(rows):
    scores, positive = map(np.array, zip(*rows, strict=True))
    if positive.any() and not positive.all():
        expected = oracle.roc_auc_score(positive, scores)
        assert metrics.roc_auc(BINARY, scores[:, None] / 3, positive[:, None] * 1.0) == pytest.approx(
            expected, abs=1e-15
        )


@pytest.mark.parametrize("task", OF_TASK)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_member_s_metrics_are_to_the_bit_those_it_has_alone_whatever_its_siblings_are(task, data):
    config, logits, y = data.draw(stacks(task))
    logits = np.concatenate([logits, np.full_like(logits[:1], np.nan), np.full_like(logits[:1], np.inf), logits[::-1]])
    both = prepared(y)
    together = metrics.evaluate_stack(config, {"train": logits}, both, full=True)
    tables = metrics.confusion_stack(config, logits, y)
    for z, seen, table in zip(logits, together, tables, strict=True):
        alone = metrics.evaluate(config, {"train": z}, both, full=True)
        assert list(seen) == list(alone)
        assert np.array_equal(list(seen.values()), list(alone.values()), equal_nan=True)
        assert np.array_equal(table, metrics.confusion(config, z, y)) or table is None


def test_a_stack_that_does_not_fit_the_cache_is_taken_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    logits, y = rng.standard_normal((7, 30, 4)), rng.integers(0, 4, 30)
    whole = metrics.evaluate_stack(MULTICLASS, {"train": logits}, prepared(y), full=True)
    monkeypatch.setattr(metrics, "_BLOCK", 240)
    assert metrics.evaluate_stack(MULTICLASS, {"train": logits}, prepared(y), full=True) == whole
