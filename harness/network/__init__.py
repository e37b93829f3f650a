"""The vocabulary: layers, activations, losses, optimizers, penalties. What each of them is stands here alone."""

from harness.network.activations import ACTIVATIONS, SELU_ALPHA, SELU_SCALE, Activation
from harness.network.keys import CONSTANTS, DEFAULTS, ENTRIES
from harness.network.layers import BatchNorm, Dense, Dropout, Layer, Parameter, Shape
from harness.network.losses import LOSSES, OUTPUTS, Loss
from harness.network.network import Network, dense_layers
from harness.network.optimizers import OPTIMIZERS, Optimizer
from harness.network.penalties import CLIPPINGS, NO_PENALTY, ClipNorm, Clipping, ClipValue, Penalty
from harness.network.vocabulary import Constant, Entry

__all__ = [
    "ACTIVATIONS",
    "CLIPPINGS",
    "CONSTANTS",
    "DEFAULTS",
    "ENTRIES",
    "LOSSES",
    "NO_PENALTY",
    "OPTIMIZERS",
    "OUTPUTS",
    "SELU_ALPHA",
    "SELU_SCALE",
    "Activation",
    "BatchNorm",
    "ClipNorm",
    "ClipValue",
    "Clipping",
    "Constant",
    "Dense",
    "Dropout",
    "Entry",
    "Layer",
    "Loss",
    "Network",
    "Optimizer",
    "Parameter",
    "Penalty",
    "Shape",
    "dense_layers",
]
