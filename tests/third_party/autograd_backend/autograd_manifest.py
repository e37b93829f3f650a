"""What the harness knows of this backend without importing autograd."""

from harness import Backend

BACKEND = Backend(
    "autograd",
    "autograd_native:NativeAutogradTrainer",
    requires=("autograd",),
    install="pip install autograd",
    description="autograd, with its own sgd",
    conventions="autograd_conventions:CONVENTIONS",
)
