"""A training in scikit-learn: `fit` of the multilayer perceptron, watched where it computes its gradients."""

import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from tests.foreign.data import load
from tests.foreign.draw import Training
from tests.foreign.recorded import Notebook


def train(training: Training, path: Path) -> None:
    """Train, and write the recording."""
    t = training.truth
    X, y = load(training.data, training.n_outputs)
    X = X.astype(t["dtype"])
    if t["task"] == "regression" and training.n_outputs == 1:
        y = y.ravel()
    watched = watch(MLPRegressor if t["task"] == "regression" else MLPClassifier)
    model = watched(
        hidden_layer_sizes=training.hidden,
        activation={"sigmoid": "logistic"}.get(t["activation"][0], t["activation"][0]),
        solver=t["optimizer"],
        alpha=t["l2"],
        batch_size=training.batch_size,
        learning_rate_init=t["learning_rate"],
        max_iter=training.epochs,
        shuffle=t["batches"] == "permutation",
        random_state=training.seed,
        momentum=t.get("momentum", 0.9),
        nesterovs_momentum=t.get("nesterov", True),
        beta_1=t.get("beta_1", 0.9),
        beta_2=t.get("beta_2", 0.999),
        epsilon=t.get("epsilon", 1e-8),
    )
    model.note(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    model.notes.weights.append(model.tensors())
    model.notes.rates = [t["learning_rate"]] * len(model.notes.rows)
    model.notes.save(path, X, y, training)


def watch(kind):
    """The class with a note of every step; a row of a batch is known by its numbers."""

    class Watched(kind):
        def note(self, X):
            self.notes, self.number, self.left = Notebook(), {}, {}
            for number, row in enumerate(X):
                self.number.setdefault(row.tobytes(), []).append(number)
            self.seen = len(X)

        def tensors(self):
            pairs = zip(self.coefs_, self.intercepts_, strict=True)
            return [tensor.copy() for pair in pairs for tensor in pair]

        def _backprop(self, X, y, *others):
            if self.seen == sum(map(len, self.number.values())):
                self.seen, self.left = 0, {key: list(numbers) for key, numbers in self.number.items()}
                self.notes.epoch.append(self.notes.epoch[-1] + 1 if self.notes.epoch else 0)
            else:
                self.notes.epoch.append(self.notes.epoch[-1])
            self.seen += len(X)
            self.notes.rows.append([self.left[row.tobytes()].pop(0) for row in X])
            self.notes.weights.append(self.tensors())
            loss, coefs, intercepts = super()._backprop(X, y, *others)
            pairs = zip(coefs, intercepts, strict=True)
            self.notes.gradients.append([np.array(tensor) for pair in pairs for tensor in pair])
            self.notes.loss.append(float(loss))
            return loss, coefs, intercepts

    return Watched
