"""Maxout in the reference: `(…, n, units)`, what stands before the rows are the members of a stack."""

import numpy as np

from harness.reference.layers import Pass


class MaxoutPass(Pass):
    def forward(self, a, training):
        self.inputs = a
        z = a @ self.owned["W"] + self.owned["b"][..., None, :]
        z = z.reshape(*z.shape[:-1], self.layer.units, self.layer.pieces)
        self.largest = np.eye(self.layer.pieces, dtype=z.dtype)[z.argmax(axis=-1)]
        return z.max(axis=-1)

    def gradients(self, delta):
        spread = self._spread(delta)
        np.sum(spread, axis=-2, out=self.grads["b"])
        np.matmul(self.inputs.swapaxes(-1, -2), spread, out=self.grads["W"])

    def back(self, delta):
        return self._spread(delta) @ self.owned["W"].swapaxes(-1, -2)

    def _spread(self, delta):
        """The error of each affine function: that of its unit where it is the largest."""
        spread = delta[..., None] * self.largest
        return spread.reshape(*delta.shape[:-1], -1)
