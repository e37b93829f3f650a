"""PyTorch: `nn.Sequential`, `torch.optim` and a plain loop over index batches.

PyTorch's conventions are nearly the harness's. `Linear.weight` is `(n_out, n_in)`: ours transposed. Its
`weight_decay` adds `l2 * W` to the gradient whatever the reduction, which is our L2, but to biases too: so weights
and all else are two parameter groups. SGD with momentum starts its buffer at the first gradient, which is
`v = m*v + g` from zero, and applies the learning rate outside of it; Adagrad, RMSprop and Adam have the papers' form.
What differs: dropout draws its own masks, the running variance is the unbiased one, `Softplus` turns linear above 20,
clipping comes before `weight_decay`, and there is no Adagrad with momentum. Each has a helper below.
"""

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from harness.trainer import OPTIMIZER_CONSTANTS, AfterEpoch, Batches, Config, NativeFit, Trainer, Weights

ACTIVATION = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "softplus": nn.Softplus,
}


class TorchTrainer(Trainer):
    """`torch.nn` with `torch.optim`, on the CPU, in eager mode."""

    name = "torch"
    requires = ("torch",)
    arithmetic = ("torch.nn.functional.linear", "torch.nn.functional.cross_entropy", "torch.optim.SGD.step")

    @classmethod
    def unsupported(cls, config: Config) -> str | None:
        if config.optimizer == "perceptron":
            return "the perceptron rule is no gradient descent: its step has no derivative; only numpy has it"
        return None

    def __init__(self, config: Config, start: Weights | None) -> None:
        self.config = config
        if start is not None:
            self.model = build(config, getattr(torch, config.dtype))
            self.set_weights(start)
            self.optimizer = optimizer(config, self.model)

    def train(self, X: np.ndarray, y: np.ndarray, batches: Batches, after_epoch: AfterEpoch) -> None:
        config, dtype = self.config, getattr(torch, self.config.dtype)
        inputs, targets = own_tensor(X, dtype), own_tensor(y, torch.int64 if config.task == "multiclass" else dtype)
        output = activation(config, config.output_activation) if config.task == "regression" else None
        dropouts = [module for module in self.model if isinstance(module, Dropout)]
        touches_gradients = config.l1 > 0 or clips(config)
        for e in range(len(batches)):
            epoch = batches[e]
            self.model.train()
            steps = zip(epoch.batches(), within_range(epoch.learning_rate, dtype), strict=True)
            for step, (rows, learning_rate) in enumerate(steps):
                rows = torch.from_numpy(rows)
                for group in self.optimizer.param_groups:
                    group["lr"] = learning_rate
                if dropouts:
                    for dropout, mask in zip(dropouts, epoch.step_masks(step), strict=True):
                        dropout.mask = own_tensor(mask, dtype)
                loss = batch_loss(config, output, self.model(inputs[rows]), targets[rows])
                self.optimizer.zero_grad()
                loss.backward()
                if touches_gradients:
                    penalise(config, self.model)
                    clip(config, self.model)
                self.optimizer.step()
            if after_epoch(e + 1):
                return

    @torch.no_grad()
    def logits(self, X: np.ndarray) -> np.ndarray:
        self.model.eval()
        return self.model(own_tensor(X, next(self.model.parameters()).dtype)).numpy()

    @torch.no_grad()
    def weights(self) -> Weights:
        def copy(tensor: torch.Tensor) -> np.ndarray:
            return np.array(tensor.numpy(), order="C")

        return tuple({key: copy(tensor) for key, tensor in layer.items()} for layer in named_tensors(self.model))

    @torch.no_grad()
    def set_weights(self, weights: Weights) -> None:
        for layer, given in zip(named_tensors(self.model), weights, strict=True):
            for key, tensor in layer.items():
                tensor.copy_(own_tensor(given[key], tensor.dtype))

    def fit_native(self, X: np.ndarray, y: np.ndarray, seed: int) -> NativeFit:
        config = self.config
        dtype = getattr(torch, config.dtype) if "dtype" in config.written else torch.float32

        torch.manual_seed(seed)
        self.model = model = build(config, dtype, native_activation)
        output = native_activation(config, config.output_activation) if config.task == "regression" else nn.Identity()
        targets = own_tensor(y, torch.int64 if config.task == "multiclass" else dtype)
        dataset = TensorDataset(own_tensor(X, dtype), targets)
        loader = DataLoader(
            dataset, batch_size=config.batch_size, shuffle=True, generator=torch.Generator().manual_seed(seed)
        )
        criterion = native_criterion(config)
        optimizer = native_optimizer(config, model)

        curve = []
        for _ in range(config.epochs):
            total = 0.0
            for inputs, labels in loader:
                optimizer.zero_grad()
                loss = criterion(output(model(inputs)), labels)
                loss.backward()
                optimizer.step()
                total += loss.item() * len(labels)
            curve.append(total / len(dataset))
        return NativeFit(config.epochs, {"loss": curve})


def activation(config: Config, name: str) -> nn.Module:
    """An activation with every constant handed over.

    `Softplus` turns linear above its threshold, by default 20, where it is still 2e-9 away from that; from 37 on the
    two are the same number. Much higher its `exp` would overflow.
    """
    constants = {
        "leaky_relu": {"negative_slope": config.leaky_slope},
        "elu": {"alpha": config.elu_alpha},
        "softplus": {"threshold": 40},
    }
    return ACTIVATION[name](**constants.get(name, {}))


def native_activation(config: Config, name: str) -> nn.Module:
    """An activation as PyTorch has it; its constant only where it was asked for."""
    if name == "leaky_relu" and "leaky_slope" in config.written:
        return nn.LeakyReLU(config.leaky_slope)
    if name == "elu" and "elu_alpha" in config.written:
        return nn.ELU(config.elu_alpha)
    return ACTIVATION[name]()


class Dropout(nn.Module):
    """`nn.Dropout` with a mask that is set before each step, not drawn."""

    mask: torch.Tensor

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x * mask / (1 - rate)` in training, else `x`."""
        return x * self.mask / (1 - self.rate) if self.training else x


class BatchNorm(nn.BatchNorm1d):
    """`nn.BatchNorm1d` with the biased variance in the running one too, and with batches of one row allowed.

    PyTorch's `momentum` is the share of what is new: one minus ours.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise by the batch's own moments in training, else by the running ones.

        `torch.batch_norm` is what `F.batch_norm` calls once it has refused a batch of one row. It computes
        `x * scale + (beta - mean * scale)`, whose rounding a small variance enlarges: so `x` is centred before.
        """
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        mean = x.mean(dim=0)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(x.var(dim=0, correction=0), self.momentum)
        return torch.batch_norm(x - mean, self.weight, self.bias, None, None, True, 0.0, self.eps, False)


def build(config: Config, dtype: torch.dtype, activation=activation) -> nn.Sequential:
    """Linear layers with what stands between each two; the last gives the logits."""
    modules: list[nn.Module] = []
    for k, (n_in, n_out) in enumerate(pairwise(config.layers)):
        if k in config.dropout_layers:
            modules.append(Dropout(config.dropout[k]))
        hidden = k < len(config.hidden)
        normalised = hidden and config.batch_norm
        modules.append(nn.Linear(n_in, n_out, bias=not normalised, dtype=dtype))
        if normalised:
            new = 1 - config.batch_norm_momentum
            modules.append(BatchNorm(n_out, eps=config.batch_norm_epsilon, momentum=new, dtype=dtype))
        if hidden:
            modules.append(activation(config, config.activation[k]))
    return nn.Sequential(*modules)


def named_tensors(model: nn.Sequential) -> list[dict[str, torch.Tensor]]:
    """The model's own tensors, layer by layer, under the contract's names and in its shapes."""
    layers: list[dict[str, torch.Tensor]] = []
    for module in model:
        if isinstance(module, nn.Linear):
            layers.append({"W": module.weight.T} | ({"b": module.bias} if module.bias is not None else {}))
        elif isinstance(module, BatchNorm):
            running = {"mean": module.running_mean, "variance": module.running_var}
            layers[-1] |= {"gamma": module.weight, "beta": module.bias, **running}
    return layers


def own_tensor(array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """A copy of the array: sharing its memory would warn about a read-only one and refuse reversed strides."""
    return torch.tensor(np.ascontiguousarray(array), dtype=dtype)


def within_range(learning_rates: np.ndarray, dtype: torch.dtype) -> list[float]:
    """Learning rates as floats, infinite where `dtype` cannot hold them: there PyTorch would raise an error."""
    return np.where(learning_rates > torch.finfo(dtype).max, np.inf, learning_rates).tolist()


def batch_loss(config: Config, output: nn.Module | None, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The mean or sum over the rows of a row's loss. Its mean over the outputs has to be asked for in a sum."""
    reduction = config.reduction
    if config.loss == "cross_entropy":
        return F.cross_entropy(logits, targets, reduction=reduction)
    if config.loss == "binary_cross_entropy":
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction=reduction)
    elif config.loss == "mse":
        loss = F.mse_loss(output(logits), targets, reduction=reduction)
    elif config.loss == "mae":
        loss = F.l1_loss(output(logits), targets, reduction=reduction)
    else:
        loss = F.huber_loss(output(logits), targets, reduction=reduction, delta=config.huber_delta)
    return loss / config.n_outputs if reduction == "sum" else loss


def clips(config: Config) -> bool:
    """Whether gradients are bounded."""
    return config.clip_norm is not None or config.clip_value is not None


@torch.no_grad()
def penalise(config: Config, model: nn.Sequential) -> None:
    """Add `l1 * sign(W)`, which no optimizer here has, and `l2 * W` where it may not wait for `weight_decay`."""
    for W in matrices(model):
        if config.l1 > 0:
            W.grad.add_(W.sign(), alpha=config.l1)
        if clips(config):
            W.grad.add_(W, alpha=config.l2)


@torch.no_grad()
def clip(config: Config, model: nn.Sequential) -> None:
    """`g * min(1, c / norm)`, where `clip_grad_norm_` has `c / (norm + 1e-6)`; or every element within -c and c."""
    grads = [parameter.grad for parameter in model.parameters()]
    if config.clip_norm is not None:
        norm = torch.cat([g.flatten() for g in grads]).double().square().sum().sqrt().item()
        if norm > config.clip_norm:
            for g in grads:
                g.mul_(config.clip_norm / norm)
    if config.clip_value is not None:
        for g in grads:
            g.clamp_(-config.clip_value, config.clip_value)


def matrices(model: nn.Sequential) -> list[nn.Parameter]:
    """What is penalised."""
    return [module.weight for module in model if isinstance(module, nn.Linear)]


class AdagradMomentum(torch.optim.Optimizer):
    """`G += g**2; v = m*v + lr * g / (sqrt(G) + eps); w -= v`, which `torch.optim` does not have."""

    def __init__(self, params, lr, momentum, initial_accumulator_value, eps) -> None:
        defaults = {"lr": lr, "momentum": momentum, "eps": eps, "weight_decay": 0.0}
        super().__init__(params, defaults)
        for group in self.param_groups:
            for w in group["params"]:
                self.state[w] = {"sum": torch.full_like(w, initial_accumulator_value), "v": torch.zeros_like(w)}

    @torch.no_grad()
    def step(self) -> None:
        """One step along the gradients as they are."""
        for group in self.param_groups:
            for w in group["params"]:
                total, v = self.state[w]["sum"], self.state[w]["v"]
                g = w.grad.add(w, alpha=group["weight_decay"])
                total.addcmul_(g, g)
                v.mul_(group["momentum"]).addcdiv_(g, total.sqrt().add_(group["eps"]), value=group["lr"])
                w.sub_(v)


def optimizer(config: Config, model: nn.Sequential) -> torch.optim.Optimizer:
    """Every constant handed over, and L2 on the matrices only; the learning rate is set before each step.

    With clipping, which comes before `weight_decay` but after our penalties, `penalise` adds L2.
    """
    penalised = {id(W) for W in matrices(model)}
    groups = [
        {"params": matrices(model), "weight_decay": 0.0 if clips(config) else config.l2},
        {"params": [w for w in model.parameters() if id(w) not in penalised], "weight_decay": 0.0},
    ]
    lr, momentum, eps, first = config.learning_rate, config.momentum, config.epsilon, config.initial_accumulator
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, lr=lr, betas=(config.beta_1, config.beta_2), eps=eps)
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=lr, alpha=config.rho, eps=eps)
    if config.optimizer == "adagrad":
        return torch.optim.Adagrad(groups, lr=lr, initial_accumulator_value=first, eps=eps)
    if config.optimizer == "adagrad_momentum":
        return AdagradMomentum(groups, lr=lr, momentum=momentum, initial_accumulator_value=first, eps=eps)
    if config.optimizer == "sgd" or momentum == 0:  # Nesterov's form is refused at 0, where it is plain SGD
        return torch.optim.SGD(groups, lr=lr)
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=config.optimizer == "nesterov")


def native_criterion(config: Config) -> nn.Module:
    """The loss as in the tutorials, from logits but for a regression."""
    if config.loss == "huber":
        return nn.HuberLoss(delta=config.huber_delta)
    return {
        "cross_entropy": nn.CrossEntropyLoss,
        "binary_cross_entropy": nn.BCEWithLogitsLoss,
        "mse": nn.MSELoss,
        "mae": nn.L1Loss,
    }[config.loss]()


def native_optimizer(config: Config, model: nn.Sequential) -> torch.optim.Optimizer:
    """As in the tutorials; constants other than the momentum only where they were asked for."""
    rates = {"lr": config.learning_rate, "weight_decay": config.l2}
    if config.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), **rates)
    if config.optimizer in ("momentum", "nesterov"):
        nesterov = config.optimizer == "nesterov" and config.momentum > 0
        return torch.optim.SGD(model.parameters(), momentum=config.momentum, nesterov=nesterov, **rates)

    names = {"epsilon": "eps", "rho": "alpha", "initial_accumulator": "initial_accumulator_value"}
    constants = {
        keyword: getattr(config, name)
        for name, keyword in names.items()
        if name in config.written and name in OPTIMIZER_CONSTANTS[config.optimizer]
    }
    if config.optimizer == "adagrad":
        return torch.optim.Adagrad(model.parameters(), **rates, **constants)
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(model.parameters(), **rates, **constants)
    if config.optimizer != "adam":
        raise NotImplementedError("PyTorch has no Adagrad with momentum of its own")
    if config.written & {"beta_1", "beta_2"}:
        constants["betas"] = (config.beta_1, config.beta_2)
    return torch.optim.Adam(model.parameters(), **rates, **constants)
