"""PyTorch tensors, gradients written by hand."""

from harness.manifest import Backend

BACKEND = Backend(
    "torch-manual",
    "backends.torch_manual.trainer:TorchManualTrainer",
    requires=("torch",),
    install="pip install 'backend-harness[torch]'",
    description="PyTorch tensors, gradients written by hand",
    lines="harness.calls.backend_lines:BackendLines",
)
