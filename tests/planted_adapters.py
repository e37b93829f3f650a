"""Adapters with a fault that their declaration keeps to itself: each is right but for one number or one line."""

from backends.numpy.trainer import NumpyTrainer
from harness.contract import vary
from harness.reference.trainer import Reference


class DoubledL2(NumpyTrainer):
    name = "doubled-l2"

    def build_stack(self, configs, start):
        super().build_stack([vary(config, l2=2 * config.penalty.l2) for config in configs], start)


class OwnBeta(NumpyTrainer):
    name = "own-beta"

    def build_stack(self, configs, start):
        super().build_stack([vary(config, beta_2=0.97) for config in configs], start)


class Summing(NumpyTrainer):
    name = "summing"

    def build_stack(self, configs, start):
        super().build_stack([vary(config, reduction="sum") for config in configs], start)


class SteepLeak(NumpyTrainer):
    name = "steep-leak"

    def build_stack(self, configs, start):
        super().build_stack([vary(config, leaky_slope=0.2) for config in configs], start)


class DecayingBiases(Reference):
    """L2 on biases too."""

    name = "decaying-biases"

    def _update(self, X, y, learning_rate, masks=()):
        before = [layer["b"].copy() for layer in self._weights]
        super()._update(X, y, learning_rate, masks)
        for layer, b in zip(self._weights, before, strict=True):
            layer["b"] = layer["b"] - learning_rate * self.config.penalty.l2 * b


class Forgetful(Reference):
    """Every third step is left out: no convention of the table."""

    name = "forgetful"

    def _update(self, X, y, learning_rate, masks=()):
        super()._update(X, y, 0.0 if self.t % 3 == 2 else learning_rate, masks)
