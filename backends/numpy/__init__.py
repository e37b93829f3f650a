"""Scratch NumPy."""

from harness.manifest import Backend

BACKEND = Backend(
    "numpy",
    "backends.numpy.trainer:NumpyTrainer",
    requires=("numpy",),
    install="pip install numpy",
    description="scratch NumPy",
    lines="backends.numpy.lines:NumpyLines",
    conventions="backends.numpy.conventions:CONVENTIONS",
    by_default=True,
    colour="#0072B2",
)
