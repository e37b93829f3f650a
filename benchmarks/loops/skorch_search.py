"""`GridSearchCV` over a PyTorch module wrapped by skorch, on all cores: one fixed split, no refit."""

import os

import numpy as np
import torch
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier

from benchmarks.loops import BATCH_SIZE, CLASSES, EPOCHS, HIDDEN
from benchmarks.loops.grid_search import one_split


class Network(torch.nn.Module):
    """The module that skorch trains."""

    def __init__(self, dtype="float32"):
        super().__init__()
        options = {"dtype": getattr(torch, dtype)}
        self.hidden = torch.nn.Linear(64, HIDDEN, **options)
        self.output = torch.nn.Linear(HIDDEN, CLASSES, **options)

    def forward(self, X):
        """Logits."""
        return self.output(torch.sigmoid(self.hidden(X)))


def search(data, learning_rates, l2s):
    """The best accuracy."""
    X, y, split = one_split(data)
    model = NeuralNetClassifier(
        Network,
        module__dtype=str(X.dtype),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        batch_size=BATCH_SIZE,
        max_epochs=EPOCHS,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    grid = {"lr": learning_rates, "optimizer__weight_decay": l2s}
    found = GridSearchCV(model, grid, cv=split, refit=False, n_jobs=os.cpu_count(), scoring="accuracy")
    return found.fit(X, y.astype(np.int64)).best_score_
