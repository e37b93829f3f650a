"""Metrics, against values worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from harness import metrics
from harness.checks.parts import OF_TASK
from harness.data import Part, Prepared

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


def test_multiclass_metrics():
    config = replace(MULTICLASS, n_outputs=3)
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]]))
    y = np.array([0, 1, 1, 2])
    seen = evaluate(config, logits, y)
    assert seen["test_accuracy"] == 0.75
    assert seen["test_loss"] == pytest.approx(-np.log([0.7, 0.6, 0.3, 0.6]).mean())
    # one against the rest: class 0 1 of 1, class 1 4 of 4, class 2 3 of 3 pairs in order
    assert seen["test_auc"] == 1.0
    assert seen["test_f1"] == pytest.approx(np.mean([2 / 3, 2 / 3, 1.0]))


def test_the_auc_of_a_saturated_network_still_sees_the_order():
    config = replace(MULTICLASS, n_outputs=2)
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
    config = replace(REGRESSION, n_outputs=2, loss="mae")
    o, y = np.array([[1.0, 0.0], [3.0, 2.0]]), np.array([[0.0, 0.0], [4.0, 2.0]])
    seen = evaluate(config, o, y)
    assert (seen["test_mse"], seen["test_mae"], seen["test_loss"]) == (0.5, 0.5, 0.5)
    assert seen["test_r2"] == pytest.approx((1 - 2 / 8 + 1) / 2)


def test_regression_metrics_are_of_the_answer_and_not_of_the_logits():
    config = replace(REGRESSION, n_outputs=1, output_activation="relu")
    seen = evaluate(config, np.array([[-5.0], [1.0]]), np.array([[0.0], [1.0]]))
    assert (seen["test_mse"], seen["test_r2"]) == (0.0, 1.0)


def test_the_r2_of_targets_that_are_all_the_same_is_0():
    config = replace(REGRESSION, n_outputs=1)
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
