"""The optimizers of a stack in PyTorch: `torch.optim.Optimizer` with one number a member, and the papers' formulas.

In `torch.optim` a learning rate, a weight decay or a momentum belongs to a parameter group. Here each is a tensor
`(members, 1, 1)`, and a parameter is `(members, n_out, n_in)` or `(members, n_out, 1)`. The order is that of the
contract: penalties, clipping, step. Formulas: `harness.contract.Config`.
"""

from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from harness import network
from harness.contract import OPTIMIZER_CONSTANTS, Config

Numbers = dict[str, Any]
State = dict[str, torch.Tensor]


def column(numbers: Sequence[float], dtype: torch.dtype) -> torch.Tensor:
    """One number a member, `(members, 1, 1)`, rounded once; infinite where the dtype cannot hold it."""
    return torch.tensor(numbers, dtype=torch.float64).to(dtype)[:, None, None]


class StackOptimizer(torch.optim.Optimizer):
    """What all have in common; a subclass says how one parameter moves.

    `memory` names what is kept of each parameter between the steps, at first 0. Gradients are spent.
    """

    memory: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, parameters: Sequence[nn.Parameter], matrices: Collection[nn.Parameter], numbers: Numbers
    ) -> None:
        super().__init__(parameters, numbers)
        self.steps = 0
        self.penalised = [w for w in parameters if w in matrices]
        for w in parameters:
            self.state[w] = {name: torch.zeros_like(w) for name in self.memory}

    @torch.no_grad()
    def step(self) -> None:
        """One step of every member along the gradients in `.grad`."""
        self.steps += 1
        (numbers,) = self.param_groups
        penalise(self.penalised, numbers.get("l2"), numbers.get("l1"))
        clip(numbers["params"], numbers.get("clip_norm in float64"), numbers.get("clip_value"))
        for w in numbers["params"]:
            self.update(w, w.grad, self.state[w], numbers)

    def update(self, w: torch.Tensor, g: torch.Tensor, state: State, numbers: Numbers) -> None:
        """Move one parameter in place."""
        raise NotImplementedError

    def keep(self, members: torch.Tensor) -> None:
        """Go on with these members only, whose parameters have been cut already."""
        for numbers in (*self.param_groups, *self.state.values()):
            for name, value in numbers.items():
                if isinstance(value, torch.Tensor):
                    numbers[name] = value[members]


class SGD(StackOptimizer):
    """`w -= lr * g`."""

    def update(self, w, g, state, numbers):
        w.addcmul_(g, numbers["lr"], value=-1)


class Momentum(StackOptimizer):
    """`v = m*v + g; w -= lr * v`."""

    memory = ("v",)

    def update(self, w, g, state, numbers):
        v = state["v"].mul_(numbers["momentum"]).add_(g)
        w.addcmul_(v, numbers["lr"], value=-1)


class Nesterov(Momentum):
    """`v = m*v + g; w -= lr * (g + m*v)`."""

    def update(self, w, g, state, numbers):
        v = state["v"].mul_(numbers["momentum"]).add_(g)
        w.addcmul_(g.addcmul_(v, numbers["momentum"]), numbers["lr"], value=-1)


class Adagrad(StackOptimizer):
    """`G += g**2; w -= lr * g / (sqrt(G) + eps)`."""

    memory = ("G",)

    def __init__(
        self, parameters: Sequence[nn.Parameter], matrices: Collection[nn.Parameter], numbers: Numbers
    ) -> None:
        super().__init__(parameters, matrices, numbers)
        for state in self.state.values():
            state["G"] += numbers["initial_accumulator"]

    def update(self, w, g, state, numbers):
        root = state["G"].addcmul_(g, g).sqrt().add_(numbers["epsilon"])
        w.addcdiv_(g.mul_(numbers["lr"]), root, value=-1)


class AdagradMomentum(Adagrad):
    """`G += g**2; v = m*v + lr * g / (sqrt(G) + eps); w -= v`."""

    memory = ("G", "v")

    def update(self, w, g, state, numbers):
        root = state["G"].addcmul_(g, g).sqrt().add_(numbers["epsilon"])
        w.sub_(state["v"].mul_(numbers["momentum"]).addcdiv_(g.mul_(numbers["lr"]), root))


class RMSprop(StackOptimizer):
    """`v = rho*v + (1 - rho) * g**2; w -= lr * g / (sqrt(v) + eps)`."""

    memory = ("v",)

    def update(self, w, g, state, numbers):
        v = state["v"].mul_(numbers["rho"]).addcmul_(g * numbers["1 - rho"], g)
        w.addcdiv_(g.mul_(numbers["lr"]), v.sqrt().add_(numbers["epsilon"]), value=-1)


class Adam(StackOptimizer):
    """`w -= lr * m_hat / (sqrt(v_hat) + eps)`, both moments corrected by `1 - beta**t`, which is taken in float64."""

    memory = ("m", "v")

    def step(self) -> None:
        (numbers,) = self.param_groups
        for name in ("beta_1", "beta_2"):
            exact = 1 - numbers[f"{name} in float64"] ** (self.steps + 1)
            numbers[f"1 - {name}**t"] = exact.to(numbers[name].dtype)
        super().step()

    def update(self, w, g, state, numbers):
        v = state["v"].mul_(numbers["beta_2"]).addcmul_(g * numbers["1 - beta_2"], g)
        m = state["m"].mul_(numbers["beta_1"]).add_(g.mul_(numbers["1 - beta_1"]))
        root = (v / numbers["1 - beta_2**t"]).sqrt_().add_(numbers["epsilon"])
        w.addcdiv_((m / numbers["1 - beta_1**t"]).mul_(numbers["lr"]), root, value=-1)


def penalise(matrices: Sequence[nn.Parameter], l2: torch.Tensor | None, l1: torch.Tensor | None) -> None:
    """Add `l2 * W + l1 * sign(W)` to the gradients."""
    for W in matrices:
        if l2 is not None:
            W.grad.addcmul_(W, l2)
        if l1 is not None:
            W.grad.addcmul_(W.sign(), l1)


def clip(parameters: Sequence[nn.Parameter], c: torch.Tensor | None, bound: torch.Tensor | None) -> None:
    """`g * min(1, c / norm)`, the norm of all tensors of a member together; or every element within -bound and bound.

    The norm and `c` are float64. A norm that is not a number leaves the gradients alone.
    """
    grads = [w.grad for w in parameters]
    if c is not None:
        norm = sum(g.double().square().sum(dim=(1, 2), keepdim=True) for g in grads).sqrt()
        scale = torch.where(norm > c, c / norm, 1).to(grads[0].dtype)
        for g in grads:
            g.mul_(scale)
    if bound is not None:
        for g in grads:
            g.clamp_(-bound, bound)


OPTIMIZERS: dict[type[network.Optimizer], type[StackOptimizer]] = {
    network.SGD: SGD,
    network.Momentum: Momentum,
    network.Nesterov: Nesterov,
    network.Adagrad: Adagrad,
    network.AdagradMomentum: AdagradMomentum,
    network.RMSprop: RMSprop,
    network.Adam: Adam,
}


def optimizer_of(
    configs: Sequence[Config], parameters: Sequence[nn.Parameter], matrices: Collection[nn.Parameter]
) -> StackOptimizer:
    """The optimizer with the numbers of all members; their learning rates, `lr`, are set before each step.

    `matrices` are those of the parameters that L2 and L1 hold.
    """
    config, dtype = configs[0], parameters[0].dtype
    constants = OPTIMIZER_CONSTANTS[config.optimizer.name]
    in_use = (*constants, *config.regularisation, *(["l2"] if any(each.penalty.l2 for each in configs) else []))
    exact = {
        name: column([each.value(name) for each in configs], torch.float64)
        for name in in_use
        if name not in ("dropout", "batch_norm")
    }
    numbers = {name: value.to(dtype) for name, value in exact.items()}
    numbers |= {f"1 - {name}": (1 - value).to(dtype) for name, value in exact.items() if name in constants}
    numbers |= {f"{name} in float64": exact[name] for name in ("beta_1", "beta_2", "clip_norm") if name in exact}
    return OPTIMIZERS[type(config.optimizer)](parameters, matrices, numbers)
