"""Maxout in the torch backend: a module whose tensors have a member axis."""

from torch import nn

from backends.torch.layers import Linear


class Maxout(nn.Module):
    def __init__(self, members, n_in, units, pieces, dtype):
        super().__init__()
        self.units, self.pieces = units, pieces
        self.linear = Linear(members, n_in, units * pieces, True, dtype)
        self.tensors = self.linear.tensors

    def forward(self, x):
        z = self.linear(x)
        return z.view(len(z), self.units, self.pieces, -1).max(dim=2).values


def maxout(same, shape, dtype):
    """The module for this layer of every member, and a row's shape before it."""
    return Maxout(len(same), shape[-1], same[0].units, same[0].pieces, dtype)
