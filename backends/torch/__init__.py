"""Torch.nn modules, autograd and torch.optim."""

from harness.manifest import Backend

BACKEND = Backend(
    "torch",
    "backends.torch.trainer:TorchTrainer",
    requires=("torch",),
    install="pip install 'backend-harness[torch]'",
    description="torch.nn modules, autograd and torch.optim",
    lines="backends.torch.lines:TorchLines",
    conventions="backends.torch.conventions:CONVENTIONS",
    by_default=True,
    colour="#009E73",
)
