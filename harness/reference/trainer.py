"""The reference: a plain NumPy trainer that defines what every hyperparameter means.

Short and clear before fast. Each backend, our own NumPy one included, is judged by how far its weights end from
these. The layers of the network follow each other, and what stands at the output follows the logits. The loss of a
batch is the mean (or sum) over its rows of a row's loss, plus `(l2/2) * sum(W**2) + l1 * sum(abs(W))`. A row's loss is
`-log softmax(z)[y]`, or the mean over its outputs of one of these, with the error `e = o - y`:

    binary_cross_entropy  -y log(o) - (1 - y) log(1 - o)        mse  e**2        mae  abs(e)
    huber                 e**2 / 2 up to delta, then delta * (abs(e) - delta / 2)
"""

from collections.abc import Sequence

import numpy as np

from harness.contract import AfterEpoch, Batches, Config, Trainer, Weights
from harness.network import CLIPPINGS, ClipNorm, Clipping, Network, Penalty
from harness.reference.layers import PASSES, ActivationPass, Masks, Owned, Pass, back_propagate, forward, passes
from harness.reference.losses import BY_OUTPUT, CANCELLING, output_error
from harness.reference.optimizers import RULES, State


def logits_of(network: Network, weights: Weights, X: np.ndarray) -> np.ndarray:
    """The outputs before their activation, `(n, n_outputs)`, in inference mode."""
    return forward(passes(network, weights), X)[-1]


def gradients(config: Config, weights: Weights, X: np.ndarray, y: np.ndarray, masks: Masks = ()) -> Weights:
    """The derivative of the loss of one batch, penalties included, by all that is trained, clipped as `config` says."""
    layers = passes(config.network, weights)
    return tuple(layer.grads for layer in differentiate(config, layers, X, y, masks))


def differentiate(
    config: Config, layers: Sequence[Pass], X: np.ndarray, y: np.ndarray, masks: Masks = ()
) -> list[Pass]:
    """Fill the gradients of the layers for one batch, and give those that have any."""
    delta = output_error(config, forward(layers, X, masks)[-1], y)
    back_propagate(layers, delta / len(y) if config.reduction == "mean" else delta)
    owners = [layer for layer in layers if layer.grads]
    for layer in owners:
        penalise(config.penalty, layer)
    if config.clipping is not None:
        clip(config.clipping, [layer.grads for layer in owners])
    return owners


def penalise(penalty: Penalty, layer: Pass) -> None:
    """Add the derivative of the penalties to the gradients of what they count."""
    for key in layer.penalised:
        w = layer.owned[key]
        layer.grads[key] += penalty.l2 * w
        layer.grads[key] += penalty.l1 * np.sign(w)


def clip(clipping: Clipping, grads: Sequence[Owned]) -> None:
    """`g * min(1, c / norm)`, the norm over all tensors together, or every element of `g` within -c and c.

    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013.
    """
    c, tensors = clipping.limit, [g for layer in grads for g in layer.values()]
    if isinstance(clipping, ClipNorm):
        # sorted: a sum that does not depend on the order of the tensors
        norm = np.sqrt(sum(sorted(float((g.astype(np.float64) ** 2).sum()) for g in tensors)))
        if norm > c:
            for g in tensors:
                g *= float(c / norm)
    else:
        for g in tensors:
            np.clip(g, -c, c, out=g)


class Reference(Trainer):
    """The definition, in the shape of a trainer, so that one piece of code trains it and the backends alike.

    `nudged` moves each activation by one unit in the last place, see `ActivationPass`.
    """

    name = "reference"
    requires = ("numpy",)
    vocabulary = (*PASSES, *CANCELLING, *BY_OUTPUT, *RULES, *CLIPPINGS.values())

    def __init__(self, config: Config, start: Weights | None, nudged: bool = False) -> None:
        assert start is not None, "the reference has no native mode"
        self.config, self.nudged = config, nudged
        self.set_weights(start)
        self.states: list[dict[str, State]] = [{key: {} for key in layer} for layer in start]
        self.t = 0

    def train(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterEpoch) -> None:
        with np.errstate(all="ignore"):  # a training that diverges is a result, not a warning
            for e in range(len(batches)):
                epoch = batches[e]
                for step, (rows, learning_rate) in enumerate(zip(epoch.batches(), epoch.learning_rate, strict=True)):
                    self._update(X[rows], y[rows], float(learning_rate), epoch.step_masks(step))
                if after_epoch(e + 1):
                    return

    def _update(self, X: np.ndarray, y: np.ndarray, learning_rate: float, masks: Masks = ()) -> None:
        self.t += 1
        optimizer = self.config.optimizer
        rule = RULES[type(optimizer)]
        owners = differentiate(self.config, self.layers, X, y, masks)
        for layer, state in zip(owners, self.states, strict=True):
            for key, g in layer.grads.items():
                layer.owned[key] -= rule(optimizer, state[key], g, learning_rate, self.t)
            layer.end_step()

    def logits(self, X: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return forward(self.layers, X)[-1]

    def weights(self) -> Weights:
        return tuple({key: value.copy() for key, value in layer.items()} for layer in self._weights)

    def set_weights(self, weights: Weights) -> None:
        dtype = self.config.dtype
        self._weights = tuple({key: np.array(value, dtype) for key, value in layer.items()} for layer in weights)
        self.layers = passes(self.config.network, self._weights)
        for layer in self.layers:
            if isinstance(layer, ActivationPass):
                layer.nudged = self.nudged
