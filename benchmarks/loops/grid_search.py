"""`GridSearchCV` over `MLPClassifier` on all cores: one fixed split, no refit."""

import os
import warnings

import numpy as np
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.neural_network import MLPClassifier

from benchmarks.loops.mlp_classifier import SETTINGS


def one_split(data):
    """All rows, and the split that trains on the training rows and scores on the test rows."""
    X_train, y_train, X_test, y_test = data
    fold = np.repeat([-1, 0], [len(y_train), len(y_test)])
    return np.concatenate([X_train, X_test]), np.concatenate([y_train, y_test]), PredefinedSplit(fold)


def search(data, learning_rates, l2s):
    """The best accuracy."""
    X, y, split = one_split(data)
    grid = {"learning_rate_init": learning_rates, "alpha": l2s}
    found = GridSearchCV(MLPClassifier(**SETTINGS), grid, cv=split, refit=False, n_jobs=os.cpu_count())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return found.fit(X, y).best_score_
