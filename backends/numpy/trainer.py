"""NumPy: back propagation by hand, written twice.

Controlled mode is built for speed. All that a member of a stack trains lies in one row of a matrix `(members,
parameters)`, so that an optimizer is a few in-place operations on whole matrices, the numbers of its members columns
`(members, 1)`. Activations and errors are `(members, units, rows)`, in buffers that are allocated once for each batch
size: so `z = W.T @ a + b` as in the textbooks, and a member's part of every array is one piece of memory.

Native mode is the classic lecture class, in `backends/numpy/native.py`.
"""

from collections.abc import Sequence

import numpy as np

from backends.numpy.activations import ACTIVATION
from backends.numpy.layers import PASSES, Arrays, DensePass, DropoutPass, passes, transposed
from backends.numpy.losses import ERROR
from backends.numpy.native import LECTURE, VOCABULARY, NeuralNetwork
from backends.numpy.optimizers import RULES, Constants, State, is_plain, plain, step_factors
from harness import network
from harness.contract import AfterStackedEpoch, Batches, Config, Epoch, NativeFit, StackTrainer, Weights, vary

ROWS_AT_ONCE = 1024  # are predicted at once, so that what all members make of them stays near


class Batch:
    """The rows and targets of a batch of `n` rows, which all members share, and the error of their outputs."""

    def __init__(self, members: int, n: int, config: Config) -> None:
        inputs, outputs = config.network.input_shape[0], config.network.n_outputs
        self.rows = np.empty((n, inputs), config.dtype)  # as they are taken from X
        self.targets = np.empty((outputs, n), config.dtype)
        self.turns = members > 1  # a transposed copy of the rows pays where it is read often
        self.inputs = np.empty((inputs, n), config.dtype) if self.turns else self.rows.T
        self.error = np.empty((members, outputs, n), config.dtype)

    def take(self, X: np.ndarray, targets: np.ndarray, rows: np.ndarray) -> None:
        """A batch of inputs and targets, `targets` `(n_outputs, rows of X)`."""
        X.take(rows, axis=0, out=self.rows, mode="clip")  # the default mode would copy twice
        targets.take(rows, axis=1, out=self.targets, mode="clip")
        if self.turns:
            self.inputs[...] = self.rows.T


class NumpyTrainer(StackTrainer):
    """Our own fast NumPy networks, and the lecture class for native mode."""

    name = "numpy"
    requires = ("numpy",)
    native_vocabulary = VOCABULARY
    vocabulary = (*PASSES, *ERROR, *RULES, *network.CLIPPINGS.values())
    arithmetic = ("numpy.matmul",)

    def build_stack(self, configs: Sequence[Config], start: Weights) -> None:
        config = self.config = configs[0]
        self._configs = configs
        self._output = ACTIVATION[type(config.loss.output)](config.loss.output)
        self._rule = plain if is_plain(config) else RULES[type(config.optimizer)]
        self._lay_out(np.arange(len(configs)))
        self.set_stack_weights(start)

    def _lay_out(self, members: np.ndarray) -> None:
        """A new state for these members of those built, and names for its parts.

        A row of it holds all weight matrices, then all biases (or betas), then all gammas.
        """
        config, self._members, self._t = self.config, members, 0
        self._constants = Constants([self._configs[member] for member in members])
        self._has_l2 = bool(self._constants.exact["l2"].any())
        owners = [parameters for _, parameters in config.network.owners()]
        places = [(k, key) for k, parameters in enumerate(owners) for key in parameters if parameters[key].trainable]
        places.sort(key=lambda place: (not owners[place[0]][place[1]].penalised, place[1] == "gamma"))
        shapes = [owners[k][key].shape for k, key in places]
        sizes = [int(np.prod(shape)) for shape in shapes]
        penalised = sum(size for (k, key), size in zip(places, sizes, strict=True) if owners[k][key].penalised)
        state = self._state = State(len(members), sum(sizes), config, self._constants)
        self._matrices = [flat[:, :penalised] for flat in (state.w, state.g, state.scratch)]
        # with the contract's names; vectors are `(members, units, 1)`
        self._owners: list[Arrays] = [{} for _ in owners]
        gradients: list[Arrays] = [{} for _ in owners]
        for flat, arrays in ((state.w, self._owners), (state.g, gradients)):
            pieces = np.split(flat, np.cumsum(sizes)[:-1], axis=1)
            for (k, key), shape, piece in zip(places, shapes, pieces, strict=True):
                arrays[k][key] = piece.reshape(-1, *(shape if len(shape) > 1 else (*shape, 1)))
        for arrays, parameters in zip(self._owners, owners, strict=True):
            for key, parameter in parameters.items():
                if not parameter.trainable:
                    arrays[key] = np.zeros((len(members), *parameter.shape, 1), config.dtype)
        self._layers = passes(config.network, self._owners, gradients, len(members), config.dtype)
        self._drops = [layer for layer in self._layers if isinstance(layer, DropoutPass)]
        self._first = next(k for k, layer in enumerate(self._layers) if layer.gradients)
        self._batches: dict[int, Batch] = {}

    def _keep(self, kept: np.ndarray) -> None:
        """Go on with the members where `kept` is True; nothing changes for them."""
        t, state, owners = self._t, self._state, self._owners
        self._lay_out(self._members[kept])
        self._t = t
        self._state.take_over(state, kept)
        for arrays, before, (_, parameters) in zip(self._owners, owners, self.config.network.owners(), strict=True):
            for key in arrays:
                if not parameters[key].trainable:  # the others are the state's
                    arrays[key][...] = before[key][kept]

    def train_stack(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterStackedEpoch) -> None:
        config, outputs = self.config, self.config.network.n_outputs
        targets = np.eye(outputs, dtype=config.dtype)[:, y] if config.task == "multiclass" else y.T.copy()
        with np.errstate(all="ignore"):  # a training that diverges is a result, not a warning
            for e in range(len(batches)):
                self._train_epoch(X, targets, batches[e])
                leaving = after_epoch(e + 1)
                if all(leaving):
                    return
                if any(leaving):
                    self._keep(~leaving)

    def _train_epoch(self, X: np.ndarray, targets: np.ndarray, epoch: Epoch) -> None:
        lengths = (epoch.rows >= 0).sum(axis=1)
        rates = epoch.learning_rate[self._members]
        factors = step_factors(self.config, self._constants, rates, lengths, self._t)
        steps = zip(lengths.tolist(), *factors, strict=False)  # factors that stay the same never end
        for step, (n, error, l2, l1, rate, epsilon) in enumerate(steps):
            batch = self._batch(n)
            batch.take(X, targets, epoch.rows[step, :n])
            for drop, mask, factor in zip(
                self._drops, epoch.step_masks(step), self._constants.dropout_factors, strict=True
            ):
                drop.draw(mask[self._members], factor, n)
            self._back_propagate(batch, self._feed_forward(batch, n), error, n)
            self._penalise(l2, l1)
            self._clip()
            self._rule(self._state, self._constants, rate, epsilon)
        self._t += len(lengths)

    def _batch(self, n: int) -> Batch:
        """Where everything is written for a batch of n rows."""
        if n not in self._batches:
            self._batches[n] = Batch(len(self._members), n, self.config)
            for layer in self._layers:
                layer.allocate(n)
        return self._batches[n]

    def _feed_forward(self, batch: Batch, n: int) -> np.ndarray:
        a = batch.inputs
        for layer in self._layers:
            a = layer.forward(a, n)
        first = self._layers[0]
        if isinstance(first, DensePass):
            first.inputs = batch.rows.T  # the gradient is a product over the rows, faster from them as they were taken
        return a

    def _back_propagate(self, batch: Batch, logits: np.ndarray, factor: np.ndarray, n: int) -> None:
        """Fill the gradient, without the penalties, for a loss whose derivative is multiplied by `factor`."""
        delta = self._output_error(batch, logits)
        delta *= factor
        for k in range(len(self._layers) - 1, self._first - 1, -1):
            self._layers[k].differentiate(delta, n)
            if k > self._first:
                delta = self._layers[k].back(delta, n)

    def _output_error(self, batch: Batch, o: np.ndarray) -> np.ndarray:
        """The derivative of a row's loss by the logits, with the sum over the outputs in place of their mean."""
        loss, (activate, back), e = self.config.loss, self._output, batch.error
        activate(o)
        np.subtract(o, batch.targets, out=e)
        ERROR[type(loss)](loss, e)
        if self.config.task == "regression":  # elsewhere the loss takes the activation's derivative away
            back(e, o)
        return e

    def _penalise(self, l2: np.ndarray, l1: np.ndarray) -> None:
        """Add the derivative of `(l2 / 2) * sum(W**2) + l1 * sum(abs(W))`."""
        W, gradient, penalty = self._matrices
        if self._has_l2:
            gradient += np.multiply(W, l2, out=penalty)
        if self.config.penalty.l1:
            np.sign(W, out=penalty)
            penalty *= l1
            gradient += penalty

    def _clip(self) -> None:
        """`g * min(1, c / norm)` over all that a member trains, or every element within -c and c."""
        g, constants, clipping = self._state.g, self._constants, self.config.clipping
        if isinstance(clipping, network.ClipNorm):
            norm = np.sqrt(np.square(g, dtype=np.float64).sum(axis=1, keepdims=True))
            g *= np.fmin(1, constants.exact["clip_norm"] / norm).astype(g.dtype)  # 1 where the norm is nan
        elif clipping is not None:
            np.clip(g, -constants.clip_value, constants.clip_value, out=g)

    def stack_logits(self, X: np.ndarray) -> np.ndarray:
        logits = np.empty((len(self._members), len(X), self.config.network.n_outputs), self.config.dtype)
        with np.errstate(all="ignore"):
            for first in range(0, len(X), ROWS_AT_ONCE):
                a = np.array(X[first : first + ROWS_AT_ONCE].T, self.config.dtype, order="C")
                for layer in self._layers:
                    a = layer.infer(a)
                logits[:, first : first + ROWS_AT_ONCE] = transposed(a)
        return logits

    def stack_weights(self) -> Weights:
        return tuple(
            {key: value.reshape(len(value), *parameters[key].shape).copy() for key, value in owned.items()}
            for owned, (_, parameters) in zip(self._owners, self.config.network.owners(), strict=True)
        )

    def set_stack_weights(self, weights: Weights) -> None:
        if len(next(iter(weights[0].values()))) != len(self._members):  # members that have left are back
            self._lay_out(np.arange(len(self._configs)))
        for owned, given in zip(self._owners, weights, strict=True):
            for key, value in owned.items():
                value[...] = given[key].reshape(value.shape)

    def fit_native(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        unwritten = {name: value for name, value in LECTURE.items() if name not in self.config.written}
        config = vary(self.config, **unwritten)
        network = NeuralNetwork(
            config, X, np.eye(config.network.n_outputs)[y] if config.task == "multiclass" else y, seed
        )
        with np.errstate(all="ignore"):
            network.train()
        layers = zip(network.weights, network.biases, strict=True)
        self.build_stack((config,), tuple({"W": W[None], "b": b[None]} for W, b in layers))
        return NativeFit(epochs_run=config.epochs)
