"""Twelve mechanisms that docs/conventions.md does not list, in PyTorch trainings that are ordinary otherwise.

No row says what happened in them. Whoever is asked may say how far he came, and must not say that he found it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from backends.torch_recorder import TorchRecorder
from tests.foreign.data import load
from tests.foreign.draw import Training
from tests.foreign.recorded import keep_only_weights


class Plain:
    """An ordinary step, in parts that a mechanism changes."""

    def __init__(self, model: nn.Sequential, rng: torch.Generator, classes: int):
        self.model, self.rng, self.classes, self.steps = model, rng, classes, 0

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9)

    def loss(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(self.model(inputs), labels)

    def change_gradients(self) -> None:
        pass

    def change_weights(self) -> None:
        """Inside the step of the optimizer, so that the recorder sees it as part of the update."""

    def tensors(self) -> list[torch.Tensor]:
        return list(self.model.parameters())


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023: the sign of a mixed momentum."""

    def __init__(self, parameters: Any):
        super().__init__(parameters, {"lr": 2e-3})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                p.sub_(group["lr"] * torch.sign(0.9 * m + 0.1 * p.grad))
                m.mul_(0.99).add_(0.01 * p.grad)


class LionTraining(Plain):
    def optimizer(self):
        return Lion(self.model.parameters())


class SignSGD(torch.optim.Optimizer):
    """Only the majority of signs in each row of W counts, so that no division by a root gives it."""

    def __init__(self, parameters: Any):
        super().__init__(parameters, {"lr": 2e-3})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for p in self.param_groups[0]["params"]:
            p.sub_(self.param_groups[0]["lr"] * torch.sign(p.grad) * (p.grad.abs() > p.grad.abs().median()))


class SignTraining(Plain):
    def optimizer(self):
        return SignSGD(self.model.parameters())


class GradientNoise(Plain):
    def change_gradients(self):
        for p in self.tensors():
            p.grad += 0.02 * torch.randn(p.shape, generator=self.rng)


class Lookahead(Plain):
    def change_weights(self):
        if self.steps == 1:
            self.slow = [p.clone() for p in self.tensors()]
        if self.steps % 5 == 0:
            for slow, p in zip(self.slow, self.tensors(), strict=True):
                slow += 0.5 * (p - slow)
                p.copy_(slow)


class Averaged(Plain):
    """The weights are those of an exponential average from the second step on."""

    def change_weights(self):
        if self.steps == 1:
            self.average = [p.clone() for p in self.tensors()]
        for average, p in zip(self.average, self.tensors(), strict=True):
            average.mul_(0.7).add_(0.3 * p)
            p.copy_(average)


class Centralised(Plain):
    def change_gradients(self):
        for p in self.tensors():
            if p.ndim > 1:
                p.grad -= p.grad.mean(dim=1, keepdim=True)


class DroppedLayer(Plain):
    """Every third step the first layer gets no gradient."""

    def change_gradients(self):
        if self.steps % 3 == 2:
            for p in self.tensors()[:2]:
                p.grad.zero_()


class LabelNoise(Plain):
    def loss(self, inputs, labels):
        wrong = torch.rand(labels.shape, generator=self.rng) < 0.15
        return super().loss(inputs, torch.where(wrong, (labels + 1) % self.classes, labels))


class Mixup(Plain):
    def loss(self, inputs, labels):
        order, share = torch.randperm(len(inputs), generator=self.rng), 0.7
        logits = self.model(share * inputs + (1 - share) * inputs[order])
        both = nn.functional.cross_entropy(logits, labels), nn.functional.cross_entropy(logits, labels[order])
        return share * both[0] + (1 - share) * both[1]


class Box(Plain):
    def change_weights(self):
        for p in self.tensors():
            p.clamp_(-0.4, 0.4)


class Smoothed(Plain):
    def loss(self, inputs, labels):
        return nn.functional.cross_entropy(self.model(inputs), labels, label_smoothing=0.1)


class AMSGrad(Plain):
    def optimizer(self):
        return torch.optim.Adam(self.model.parameters(), lr=0.01, betas=(0.9, 0.9), amsgrad=True)


MECHANISMS: dict[str, Callable[..., Plain]] = {
    "lion": LionTraining,
    "sign of the larger half": SignTraining,
    "gradient noise": GradientNoise,
    "lookahead": Lookahead,
    "averaged weights": Averaged,
    "centralised gradients": Centralised,
    "dropped layer": DroppedLayer,
    "label noise": LabelNoise,
    "mixup": Mixup,
    "box": Box,
    "label smoothing": Smoothed,
    "amsgrad": AMSGrad,
}


def describe(name: str, seed: int) -> Training:
    """The training around a mechanism; its `truth` says only what stands around it."""
    rng = np.random.default_rng([13, seed])
    data = str(rng.choice(["iris", "wine"]))
    truth = {"task": "multiclass", "loss": "cross_entropy", "activation": [str(rng.choice(["tanh", "sigmoid", "elu"]))]}
    truth |= {"learning_rate": 0.05, "schedule": "constant", "batches": "permutation", "last_batch": "keep"}
    full = bool(rng.random() < 0.5)
    recorded = {"full": full, "rate": "array", "settings": {}}
    return Training(seed, "torch", name, data, 3, (int(rng.integers(5, 12)),), 25, 6, truth, {}, recorded)


def train(training: Training, path: Path) -> None:
    """Train with the mechanism that the description is called after, and write the recording."""
    torch.manual_seed(training.seed)
    X, y = load(training.data, 1)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    hidden = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "elu": nn.ELU}[training.truth["activation"][0]]()
    model = nn.Sequential(nn.Linear(X.shape[1], training.hidden[0]), hidden, nn.Linear(training.hidden[0], 3))
    mechanism = MECHANISMS[training.family](model, torch.Generator().manual_seed(training.seed), 3)
    optimizer = mechanism.optimizer()

    def after_step(*_: Any) -> None:
        mechanism.steps += 1
        with torch.no_grad():
            mechanism.change_weights()

    optimizer.register_step_post_hook(after_step)  # before the recorder's own
    recorder = TorchRecorder(model, optimizer, X, y)
    for _ in range(training.epochs):
        for inputs, labels in DataLoader(recorder, training.batch_size, shuffle=True):
            optimizer.zero_grad()
            mechanism.loss(inputs, labels).backward()
            mechanism.change_gradients()
            optimizer.step()
    recorder.save(path)
    keep_only_weights(path, training)


def all_of(seed: int) -> list[Training]:
    """Twelve descriptions, the seeds one after the other."""
    return [describe(name, seed + k) for k, name in enumerate(MECHANISMS)]
