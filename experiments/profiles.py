"""Rows of the conventions table that classic course codes follow: codes that many have run, copied and compared.

They share axes, learning rate against L2, and print heatmaps that look comparable. What they hold fixed is different.
"""

from dataclasses import replace

from backends.sklearn.conventions import CONVENTIONS
from harness.contract import TASKS, Config, vary
from harness.conventions.declared import row_from
from harness.conventions.profile import Profile
from harness.conventions.table import DENOMINATOR, LOG_OF_P, NAN_FIRST, UNSHIFTED, Row, family
from harness.conventions.translation import controlled_row
from harness.draws.recipe import Recipe


def _course_2018_numpy(config: Config) -> Row:
    """That of 2023 too, which has the same arithmetic."""
    return Row(
        hidden=(50,),
        activation="sigmoid",
        init="normal(1)",
        bias=0.01,
        batches="independent",
        last_batch="drop",
        reduction="sum",
        probabilities=UNSHIFTED,
        accuracy=NAN_FIRST,
    )


def _course_2018_sklearn(config: Config) -> Row:
    """`MLPClassifier((50,), activation="logistic", alpha=l2, learning_rate_init=learning_rate, max_iter=epochs)`."""
    adam = vary(config, optimizer="adam", activation=("sigmoid",), written=frozenset())
    own = {"hidden": (50,), "activation": "sigmoid", "batch_size": "min(200, n)"}
    return replace(row_from(CONVENTIONS, adam), **own)  # type: ignore[arg-type]


def _course_2018_tensorflow(config: Config) -> Row:
    return Row(
        hidden=(100, 50),
        activation="sigmoid",
        init="truncated_normal(0.1)",
        bias=0.1,
        batches="independent",
        last_batch="drop",
        dtype="float32",
        logged_loss="with penalty",
    )


def _course_2018_keras(config: Config) -> Row:
    return Row(
        hidden=(100, 50),
        activation="sigmoid",
        l2_factor="full",
        l2_tensors="hidden",
        momentum_form="inside",
        dtype="float32",
        logged_loss="with penalty",
    )


def _course_2024(config: Config) -> Row:
    """Its cost functions average over rows and sum over outputs; behind a softmax none is asked: `p - y`, summed.

    Where an exponential overflows, the code ends with an error, for it makes errors of NumPy's warnings. The replay's
    weights are then no numbers either, but for a hidden sigmoid unit below -709, with which it goes on.
    """
    softmax = config.loss.name == "cross_entropy"
    return replace(
        controlled_row(config, Recipe()),
        batch_size="n // (n // b)",
        init="normal(1)",
        bias="normal(0.01)",
        batches="bootstrap",
        last_batch="merge",
        reduction="sum" if softmax else "mean",
        outputs="sum",
        probabilities=DENOMINATOR if softmax else LOG_OF_P,
        update_order="during",
        momentum_form="inside" if family(config.optimizer.name) == "sgd" else "outside",
        epsilon=1e-8,
        epsilon_place="inside" if family(config.optimizer.name) in ("rmsprop", "adam") else "outside",
        bias_correction="epoch",
        moments_reset="epoch",
        initial_accumulator=0.0,
        accumulator="row",
        bias_unit=0.01,
        leaky_slope=1e-3,
        dtype="float64",
        accuracy="thresholded",
        logged_loss="answers",
    )


def _assignment_2019(config: Config) -> Row:
    return Row(
        hidden=(100,),
        activation="sigmoid",
        batch_size=50,
        init="normal(1)",
        batches="skipping",
        last_batch="drop stride",
        reduction="mean of n + 1",
        probabilities=UNSHIFTED,
        l2_tensors="nothing",
    )


def _assignment_2019_svm(config: Config) -> Row:
    return replace(_assignment_2019(config), auc="labels", metric_rows="training")


PROFILES: dict[str, Profile] = {
    "course-2018-numpy": Profile(
        "lecture class of 2018: 50 sigmoid units, gradients summed over the batch, weights from N(0, 1)",
        _course_2018_numpy,
    ),
    "course-2018-sklearn": Profile(
        "the notebook beside it: MLPClassifier with 50 logistic units, everything else its default (Adam)",
        _course_2018_sklearn,
    ),
    "course-2018-tensorflow": Profile(
        "TensorFlow 1 on the same page: 100 and 50 units, truncated normal weights, L2 on all three matrices",
        _course_2018_tensorflow,
    ),
    "course-2018-keras": Profile(
        "Keras on the same page: 100 and 50 units, Glorot, L2 without a half on the two hidden layers only",
        _course_2018_keras,
    ),
    "course-2023-numpy": Profile(
        "a course note of 2023: the arithmetic of the class of 2018, seeded with 0 before every training",
        _course_2018_numpy,
        draws="numpy-legacy-2023",
        seeds=(0, 0),
    ),
    "course-2024": Profile(
        "the course of 2024: one bootstrap, biases count for 1/100, errors go back through new weights, moments reset",
        _course_2024,
        tasks=tuple(TASKS),
        optimizers=("sgd", "momentum", "adagrad", "adagrad_momentum", "rmsprop", "adam"),
    ),
    "assignment-2019": Profile(
        "a hand-in of 2019: slices of 50 rows that skip one row, gradients divided by 51, no L2, AUC from scores",
        _assignment_2019,
    ),
    "assignment-2019-svm": Profile(
        "the same network, its AUC taken as that of the support vector machines beside it: answers, training rows",
        _assignment_2019_svm,
    ),
}
