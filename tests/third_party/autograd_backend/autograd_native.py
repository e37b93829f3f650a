"""The few lines that a user of autograd would write: its own `sgd`, over slices of the rows in their order."""

import autograd.numpy as np
from autograd import grad
from autograd.misc.optimizers import sgd
from autograd_backend import AutogradTrainer

from harness import NativeFit


class NativeAutogradTrainer(AutogradTrainer):
    """The adapter, and a native way by plain SGD, which in autograd has a mass of 0.9."""

    def __init__(self, config, start):
        self.config = config
        if start is not None:  # of mode native there is none: the fit draws its own
            super().__init__(config, start)

    def fit_native(self, X, y, seed):
        c, rng = self.config, np.random.RandomState(seed)
        if c.optimizer.name != "sgd":
            raise NotImplementedError(f"no {c.optimizer.name!r}: autograd's sgd has a mass of its own")
        X, n_batches = X.astype("float64"), -(-len(y) // c.batch_size)
        owned = [each for _, parameters in c.network.owners() for each in parameters.values()]
        parameters = [0.1 * rng.standard_normal(each.shape) for each in owned]

        def loss(parameters, i):
            rows = slice(i % n_batches * c.batch_size, (i % n_batches + 1) * c.batch_size)
            return self.loss(parameters, X[rows], y[rows])

        self.parameters = sgd(
            grad(loss), parameters, num_iters=c.epochs * n_batches, step_size=c.optimizer.learning_rate
        )
        return NativeFit(c.epochs)
