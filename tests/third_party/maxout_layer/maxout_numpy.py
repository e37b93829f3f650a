"""Maxout in the NumPy backend: `(members, units, rows)`, inputs that all members share `(units, rows)`."""

import numpy as np

from backends.numpy.layers import Pass


class MaxoutPass(Pass):
    in_place = False

    def forward(self, a, n):
        self.inputs = a
        z = self._pieces(a)
        self.largest = z.argmax(axis=2)[:, :, None] == np.arange(self.layer.pieces)[:, None]
        return z.max(axis=2)

    def infer(self, a):
        return self._pieces(a).max(axis=2)

    def differentiate(self, delta, n):
        spread = self._spread(delta)
        self.gradients["b"][...] = spread.sum(axis=2, keepdims=True)
        np.matmul(self.inputs, spread.swapaxes(1, 2), out=self.gradients["W"])

    def back(self, delta, n):
        return self.weights["W"] @ self._spread(delta)

    def _pieces(self, a):
        z = self.weights["W"].swapaxes(1, 2) @ a + self.weights["b"]
        return z.reshape(len(z), self.layer.units, self.layer.pieces, -1)

    def _spread(self, delta):
        return (delta[:, :, None] * self.largest).reshape(len(delta), -1, delta.shape[-1])
