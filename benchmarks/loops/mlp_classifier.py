"""scikit-learn: `MLPClassifier.fit`, a model a cell. Its tolerance is off, so that every cell runs all epochs."""

import warnings

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from benchmarks.loops import BATCH_SIZE, EPOCHS, HIDDEN

SETTINGS = {
    "hidden_layer_sizes": (HIDDEN,),
    "activation": "logistic",
    "solver": "sgd",
    "momentum": 0,
    "batch_size": BATCH_SIZE,
    "max_iter": EPOCHS,
    "n_iter_no_change": EPOCHS,
    "random_state": 0,
}


def train(X, y, learning_rate, l2):
    """One cell."""
    model = MLPClassifier(learning_rate_init=learning_rate, alpha=l2, **SETTINGS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


def accuracy(model, X, y):
    """Share of rows that are right."""
    return model.score(X, y)
