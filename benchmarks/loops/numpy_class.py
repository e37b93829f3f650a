"""The network class of the lecture notes, in NumPy: each batch an independent draw without replacement."""

import numpy as np

from benchmarks.loops import BATCH_SIZE, CLASSES, EPOCHS, HIDDEN


def sigmoid(z):
    """Logistic function."""
    return 1 / (1 + np.exp(-z))


class NeuralNetwork:
    """One hidden layer, sigmoid and softmax, trained by plain stochastic gradient descent."""

    def __init__(self, X, targets, learning_rate, l2):
        self.X_full, self.Y_full = X, targets
        self.learning_rate, self.l2 = learning_rate, l2
        self.W1, self.b1 = self.layer(X.shape[1], HIDDEN)
        self.W2, self.b2 = self.layer(HIDDEN, CLASSES)

    def layer(self, n_in, n_out):
        """Glorot's uniform weights, and biases of zero."""
        bound = np.sqrt(6 / (n_in + n_out))
        dtype = self.X_full.dtype
        return np.random.uniform(-bound, bound, (n_in, n_out)).astype(dtype), np.zeros(n_out, dtype)

    def feed_forward(self):
        """Activations and probabilities of the batch."""
        self.z_h = np.matmul(self.X, self.W1) + self.b1
        self.a_h = sigmoid(self.z_h)
        self.z_o = np.matmul(self.a_h, self.W2) + self.b2
        exp_term = np.exp(self.z_o)
        self.probabilities = exp_term / np.sum(exp_term, axis=1, keepdims=True)

    def backpropagation(self):
        """One step."""
        error_output = (self.probabilities - self.Y) / len(self.X)
        error_hidden = np.matmul(error_output, self.W2.T) * self.a_h * (1 - self.a_h)
        W2_gradient = np.matmul(self.a_h.T, error_output)
        b2_gradient = np.sum(error_output, axis=0)
        W1_gradient = np.matmul(self.X.T, error_hidden)
        b1_gradient = np.sum(error_hidden, axis=0)
        if self.l2 > 0.0:
            W2_gradient += self.l2 * self.W2
            W1_gradient += self.l2 * self.W1
        self.W2 -= self.learning_rate * W2_gradient
        self.b2 -= self.learning_rate * b2_gradient
        self.W1 -= self.learning_rate * W1_gradient
        self.b1 -= self.learning_rate * b1_gradient

    def train(self):
        """All epochs."""
        data_indices = np.arange(len(self.X_full))
        for _ in range(EPOCHS):
            for _ in range(len(self.X_full) // BATCH_SIZE):
                chosen = np.random.choice(data_indices, size=BATCH_SIZE, replace=False)
                self.X, self.Y = self.X_full[chosen], self.Y_full[chosen]
                self.feed_forward()
                self.backpropagation()

    def predict(self, X):
        """The most probable class of each row."""
        return np.argmax(np.matmul(sigmoid(np.matmul(X, self.W1) + self.b1), self.W2) + self.b2, axis=1)


def train(X, y, learning_rate, l2):
    """One cell."""
    np.random.seed(0)
    network = NeuralNetwork(X, np.eye(CLASSES, dtype=X.dtype)[y], learning_rate, l2)
    network.train()
    return network


def accuracy(network, X, y):
    """Share of rows that are right."""
    return np.mean(network.predict(X) == y)
