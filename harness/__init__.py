"""Train the same network through any backend, from the same start, on the same batches, and see why results differ.

    import harness

    results = harness.run("digits-quick", backends=["numpy", "sklearn"])
    results.frame()                       # one row a trial
    results.heatmap("test_accuracy")      # a matplotlib figure

Importing this package imports no framework: each is imported in its own worker process.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from harness.support.errors import RequestError
from harness.support.version import __version__

if TYPE_CHECKING:
    from harness.autodiff import AutodiffStack
    from harness.contract import Batches, Config, Diverged, Epoch, NativeFit, StackTrainer, Trainer, Weights
    from harness.conventions.declared import Declared, Untold
    from harness.estimators import NetworkClassifier, NetworkRegressor
    from harness.execution.runner import run, sweep
    from harness.experiment.file import Experiment, load
    from harness.explaining.explainer import explain, explain_cells
    from harness.explaining.explanation import Explanation
    from harness.linting.findings import Finding, LintWarning
    from harness.linting.linter import lint
    from harness.manifest import Backend
    from harness.storage.results import Results

__all__ = [
    "AutodiffStack",
    "Backend",
    "Batches",
    "Config",
    "Declared",
    "Diverged",
    "Epoch",
    "Experiment",
    "Explanation",
    "Finding",
    "LintWarning",
    "NativeFit",
    "NetworkClassifier",
    "NetworkRegressor",
    "RequestError",
    "Results",
    "StackTrainer",
    "Trainer",
    "Untold",
    "Weights",
    "__version__",
    "explain",
    "explain_cells",
    "lint",
    "load",
    "run",
    "sweep",
]

# These need NumPy, pandas, SQLAlchemy or scikit-learn, which an adapter in its worker, `harness list` or a Ctrl-C
# should not have to wait for.
_ON_DEMAND = {
    **dict.fromkeys(
        ("Batches", "Config", "Diverged", "Epoch", "NativeFit", "StackTrainer", "Trainer", "Weights"),
        "harness.contract",
    ),
    "AutodiffStack": "harness.autodiff",
    "Backend": "harness.manifest",
    "Declared": "harness.conventions.declared",
    "Untold": "harness.conventions.declared",
    "Experiment": "harness.experiment.file",
    "load": "harness.experiment.file",
    "explain": "harness.explaining.explainer",
    "explain_cells": "harness.explaining.explainer",
    "Explanation": "harness.explaining.explanation",
    "lint": "harness.linting.linter",
    "Finding": "harness.linting.findings",
    "LintWarning": "harness.linting.findings",
    "NetworkClassifier": "harness.estimators",
    "NetworkRegressor": "harness.estimators",
    "Results": "harness.storage.results",
    "run": "harness.execution.runner",
    "sweep": "harness.execution.runner",
}


def __getattr__(name: str) -> Any:
    if name in _ON_DEMAND:
        return getattr(import_module(_ON_DEMAND[name]), name)
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
