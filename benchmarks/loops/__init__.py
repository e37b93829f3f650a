"""The sweep as people write it today: one file a library, plain code, nothing of the harness.

A loop has `train(X, y, learning_rate, l2)`, which gives a trained model, and `accuracy(model, X, y)`; a search has
`search(data, learning_rates, l2s)`, which gives the best accuracy. Each is what a tutorial of its library would have a
reader write, with a mean loss and, where the library leaves it open, Glorot's start.
"""

import numpy as np

HIDDEN = 50
CLASSES = 10
BATCH_SIZE = 100
EPOCHS = 20
LEARNING_RATES = np.logspace(-3, 0, 7).tolist()
L2S = np.logspace(-5, -2, 7).tolist()
CELLS = [(learning_rate, l2) for learning_rate in LEARNING_RATES for l2 in L2S]

LOOPS = ("numpy_class", "mlp_classifier", "tensorflow_steps", "keras_fit", "torch_loader", "torch_plain")
LECTURE = LOOPS[:5]  # one a library: what the cold row runs one after the other
SEARCHES = ("grid_search", "skorch_search")


def digits(dtype):
    """X_train `(1437, 64)` in 0 to 1, y_train, X_test `(360, 64)`, y_test."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split((X / 16).astype(dtype), y, test_size=0.2, random_state=0)
    return X_train, y_train, X_test, y_test
