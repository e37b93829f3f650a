"""TensorFlow step by step: a `tf.function` that takes one step, called for each batch from Python."""

from functools import cache

import numpy as np
import tensorflow as tf

from benchmarks.loops import BATCH_SIZE, CLASSES, EPOCHS, HIDDEN


class NeuralNetwork:
    """One hidden layer, sigmoid and softmax, with a mean loss and L2 on the weights."""

    def __init__(self, n_inputs, dtype):
        self.start = tf.keras.initializers.GlorotUniform(seed=0)
        self.W1 = tf.Variable(self.start((n_inputs, HIDDEN), dtype))
        self.b1 = tf.Variable(tf.zeros(HIDDEN, dtype))
        self.W2 = tf.Variable(self.start((HIDDEN, CLASSES), dtype))
        self.b2 = tf.Variable(tf.zeros(CLASSES, dtype))
        self.optimizer = tf.keras.optimizers.SGD()

    def restart(self, learning_rate):
        """Begin anew: another object would be traced anew, which takes longer than its training."""
        self.optimizer.learning_rate.assign(learning_rate)
        self.W1.assign(self.start(self.W1.shape, self.W1.dtype))
        self.W2.assign(self.start(self.W2.shape, self.W2.dtype))
        self.b1.assign(tf.zeros_like(self.b1))
        self.b2.assign(tf.zeros_like(self.b2))

    def logits(self, X):
        """The outputs before softmax."""
        return tf.matmul(tf.sigmoid(tf.matmul(X, self.W1) + self.b1), self.W2) + self.b2

    @tf.function
    def train_step(self, X, y, l2):
        """One step; gives the loss."""
        variables = [self.W1, self.b1, self.W2, self.b2]
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=self.logits(X))
            loss = tf.reduce_mean(losses) + l2 * (tf.nn.l2_loss(self.W1) + tf.nn.l2_loss(self.W2))
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss


@cache
def network_for(n_inputs, dtype):
    """One network for all cells."""
    return NeuralNetwork(n_inputs, dtype)


def train(X, y, learning_rate, l2):
    """One cell."""
    network = network_for(X.shape[1], str(X.dtype))
    network.restart(learning_rate)
    l2 = tf.constant(l2, X.dtype)
    rng = np.random.default_rng(0)
    network.history = []
    for _ in range(EPOCHS):
        order, losses = rng.permutation(len(X)), []
        for first in range(0, len(X), BATCH_SIZE):
            chosen = order[first : first + BATCH_SIZE]
            losses.append(float(network.train_step(tf.constant(X[chosen]), tf.constant(y[chosen]), l2)))
        network.history.append(np.mean(losses))
    return network


def accuracy(network, X, y):
    """Share of rows that are right."""
    return np.mean(network.logits(tf.constant(X)).numpy().argmax(axis=1) == y)
