"""PyTorch: modules with a member axis in `nn.Sequential`, autograd, and optimizers with one number a member.

Many small networks train as one model. A layer's weight is `(members, n_out, n_in)`, `Linear.weight` with one axis
more; what runs through is `(members, units, rows)`, with the classes where `F.cross_entropy` has them. While all
members see the same inputs the first layer is one wide product. Losses are summed over the members: no gradient of
one depends on another.

`torch.optim` takes one number a parameter group, so its optimizers cannot give each member its own learning rate: here
they are subclasses of `torch.optim.Optimizer` whose numbers are tensors. Three more things are not as in PyTorch, and
have a helper each below: dropout does not draw its masks, the running variance is the biased one, and `Softplus` stays
what it is above 20. PyTorch's own idiom is `backends/torch/native.py`.
"""

from collections.abc import Sequence

import numpy as np
import torch

from backends.torch.layers import LAYER, Dropout, build, inward, named_tensors, outward
from backends.torch.losses import LOSS, batch_loss
from backends.torch.native import VOCABULARY, NativeNetwork, own_tensor
from backends.torch.optimizers import OPTIMIZERS, optimizer_of
from harness import network
from harness.contract import AfterStackedEpoch, Batches, Config, NativeFit, StackTrainer, Weights

_ROWS = 512  # at once in inference, so that a wide stack stays within the cache


class TorchTrainer(StackTrainer):
    """A stack of networks as one `nn.Module`, on the CPU, in eager mode."""

    name = "torch"
    requires = ("torch",)
    switches = ("torch.get_default_dtype", "torch.is_grad_enabled", "torch.get_num_threads", "torch.initial_seed")
    native_vocabulary = VOCABULARY
    vocabulary = (*LAYER, *LOSS, *OPTIMIZERS, *network.CLIPPINGS.values())
    arithmetic = ("torch.addmm", "torch.baddbmm", "torch.nn.functional.cross_entropy")

    native: NativeNetwork | None = None

    @classmethod
    def unsupported(cls, config: Config) -> str | None:
        if config.optimizer.name == "perceptron":
            return "the perceptron rule is no gradient descent: its step has no derivative; only numpy has it"
        return None

    def build_stack(self, configs: Sequence[Config], start: Weights) -> None:
        self.dtype = getattr(torch, self.config.dtype)
        self.model = build(configs, self.dtype)
        self.set_stack_weights(start)
        self.parameters = list(self.model.parameters())
        self.owners = [parameters for _, parameters in self.config.network.owners()]
        pairs = list(zip(named_tensors(self.model), self.owners, strict=True))
        matrices = {tensors[key] for tensors, owned in pairs for key in owned if owned[key].penalised}
        self.optimizer = optimizer_of(configs, self.parameters, matrices)
        self.present = np.arange(len(configs))

    def train_stack(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterStackedEpoch) -> None:
        inputs = own_tensor(X, self.dtype)
        targets = own_tensor(y, torch.int64 if self.config.task == "multiclass" else self.dtype)
        dropouts = [module for module in self.model if isinstance(module, Dropout)]
        for e in range(len(batches)):
            epoch = batches[e]
            rows = epoch.batches()
            order, lengths = torch.from_numpy(np.concatenate(rows)), [len(batch) for batch in rows]
            steps = zip(
                inputs[order].split(lengths),
                targets[order].split(lengths),
                self._rates(epoch.learning_rate),
                strict=True,
            )
            self.model.train()
            for step, (X_batch, y_batch, learning_rate) in enumerate(steps):
                if dropouts:
                    for dropout, mask in zip(dropouts, epoch.step_masks(step), strict=True):
                        dropout.set_mask(mask[self.present])
                self.back_propagate(X_batch.T.contiguous(), y_batch.T if y_batch.ndim == 2 else y_batch)
                self.optimizer.param_groups[0]["lr"] = learning_rate
                self.optimizer.step()
            leaves = after_epoch(e + 1)
            if leaves.all():
                return
            if leaves.any():
                self._keep(np.flatnonzero(~leaves))

    def back_propagate(self, X: torch.Tensor, y: torch.Tensor) -> None:
        """Leave the gradient of the batch's loss in `.grad`; `X` is `(n_inputs, rows)`, `y` `(n_outputs, rows)`.

        Labels are `(rows,)`.
        """
        loss = batch_loss(self.config, self.model(X), y)
        for w, g in zip(self.parameters, torch.autograd.grad(loss, self.parameters), strict=True):
            w.grad = g  # `backward` would copy it

    def _rates(self, learning_rate: np.ndarray) -> Sequence[torch.Tensor]:
        """For each step the learning rates of those that are still here, infinite where the dtype cannot hold them."""
        return torch.from_numpy(learning_rate[self.present].T[..., None, None].copy()).to(self.dtype).unbind()

    def _keep(self, members: np.ndarray) -> None:
        self.present = self.present[members]
        kept = torch.from_numpy(members)
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            tensor.data = tensor.data[kept]
        self.optimizer.keep(kept)

    @torch.no_grad()
    def stack_logits(self, X: np.ndarray) -> np.ndarray:
        self.model.eval()
        parts = [self.model(rows.T) for rows in own_tensor(X, self.dtype).split(_ROWS)]
        return torch.cat(parts, dim=2).transpose(1, 2).contiguous().numpy()

    @torch.no_grad()
    def stack_weights(self) -> Weights:
        return tuple(
            {key: outward(tensor, owned[key]).numpy().copy() for key, tensor in layer.items()}
            for layer, owned in zip(named_tensors(self.model), self.owners, strict=True)
        )

    @torch.no_grad()
    def set_stack_weights(self, weights: Weights) -> None:
        for layer, given in zip(named_tensors(self.model), weights, strict=True):
            for key, tensor in layer.items():
                tensor.data = inward(own_tensor(given[key], tensor.dtype))

    def fit_native(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        self.native = NativeNetwork(self.config)
        return self.native.fit(X, y, seed)

    def logits(self, X: np.ndarray) -> np.ndarray:
        return self.native.logits(X) if self.native else super().logits(X)

    def weights(self) -> Weights:
        return self.native.weights() if self.native else super().weights()
