"""Torch.nn modules, autograd and torch.optim."""

from harness.manifest import Backend

BACKEND = Backend(
    "torch",
    "backends.torch.trainer:TorchTrainer",
    requires=("torch",),
    install="pip install 'backend-harness[torch]'",
    description="torch.nn modules, autograd and torch.optim",
    conventions="backends.torch.conventions:CONVENTIONS",
)
