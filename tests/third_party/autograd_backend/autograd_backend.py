"""A backend on autograd (https://github.com/HIPS/autograd): the loss is written out, its gradient is autograd's."""

import autograd.numpy as np
from autograd import grad
from autograd.scipy.special import expit, logsumexp

from harness import Trainer

ACTIVATIONS = {
    "identity": lambda z: z,
    "sigmoid": expit,
    "tanh": np.tanh,
    "relu": lambda z: np.where(z > 0, z, 0.0),  # not `maximum`, whose derivative at 0 is a half
    "softplus": lambda z: np.logaddexp(0.0, z),
}
LOSSES = {  # of each row, from the logits; for a regression, from the outputs
    "cross_entropy": lambda z, y: logsumexp(z, axis=1) - z[np.arange(len(y)), y],
    "binary_cross_entropy": lambda z, y: np.mean(np.logaddexp(0.0, z) - y * z, axis=1),
    "mse": lambda z, y: np.mean((z - y) ** 2, axis=1),
    "mae": lambda z, y: np.mean(np.abs(z - y), axis=1),
}


class AutogradTrainer(Trainer):
    """Every task, with L2, trained by SGD with or without momentum."""

    name = "autograd"
    requires = ("autograd",)
    arithmetic = ("autograd.numpy.dot", "autograd.core.backward_pass")

    @classmethod
    def unsupported(cls, config):
        lacking = sorted({*config.parts} - {*LOSSES, *ACTIVATIONS, "sgd", "momentum", "nesterov"})
        return f"this backend has no {', '.join(lacking)}" if lacking else None

    def __init__(self, config, start):
        self.config = config
        self.set_weights(start)
        self.velocity = [np.zeros_like(p) for p in self.parameters]

    @np.errstate(all="ignore")  # a training that overflows is a result, not a warning
    def train(self, X, y, batches, after_epoch):
        m = getattr(self.config.optimizer, "momentum", 0.0)
        for e in range(len(batches)):
            epoch = batches[e]
            for rows, rate in zip(epoch.batches(), epoch.learning_rate.tolist(), strict=True):
                gradient = grad(self.loss)(self.parameters, X[rows], y[rows])
                for p, v, g in zip(self.parameters, self.velocity, gradient, strict=True):
                    v[:] = m * v + g
                    p -= rate * (g + m * v if self.config.optimizer.name == "nesterov" else v)
            if after_epoch(e + 1):
                return

    def loss(self, parameters, X, y):
        c, o = self.config, self.forward(parameters, X)
        o = ACTIVATIONS[c.loss.output.name](o) if c.task == "regression" else o
        reduction = np.mean if c.reduction == "mean" else np.sum
        return reduction(LOSSES[c.loss.name](o, y)) + c.penalty.l2 / 2 * sum(np.sum(W**2) for W in parameters[::2])

    def forward(self, parameters, a):
        owned = iter(parameters)
        for layer in self.config.network.layers:
            a = np.dot(a, next(owned)) + next(owned) if layer.name == "dense" else ACTIVATIONS[layer.name](a)
        return a

    @np.errstate(all="ignore")
    def logits(self, X):
        return self.forward(self.parameters, X.astype(self.config.dtype))

    def weights(self):
        pairs = zip(self.parameters[::2], self.parameters[1::2], strict=True)
        return tuple({"W": W.copy(), "b": b.copy()} for W, b in pairs)

    def set_weights(self, weights):
        self.parameters = [np.array(layer[key], self.config.dtype) for layer in weights for key in ("W", "b")]
