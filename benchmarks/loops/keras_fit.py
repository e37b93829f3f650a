"""Keras: a fresh model a cell, `compile` and `fit`."""

import keras

from benchmarks.loops import BATCH_SIZE, CLASSES, EPOCHS, HIDDEN


def train(X, y, learning_rate, l2):
    """One cell."""
    penalty = keras.regularizers.L2(l2 / 2)
    model = keras.Sequential(
        [
            keras.layers.Input((X.shape[1],)),
            keras.layers.Dense(HIDDEN, activation="sigmoid", kernel_regularizer=penalty),
            keras.layers.Dense(CLASSES, activation="softmax", kernel_regularizer=penalty),
        ]
    )
    model.compile(optimizer=keras.optimizers.SGD(learning_rate), loss="sparse_categorical_crossentropy")
    model.fit(X, y, batch_size=BATCH_SIZE, epochs=EPOCHS, verbose=0)
    return model


def accuracy(model, X, y):
    """Share of rows that are right."""
    return (model.predict(X, verbose=0).argmax(axis=1) == y).mean()
