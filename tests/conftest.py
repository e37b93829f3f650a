import os
from pathlib import Path

# Adapters are also tested inside this process, under the conditions that a worker would have; a BLAS library reads the
# first of them when NumPy is imported, which harness.execution.executor does.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import pytest

from harness.execution.executor import ENVIRONMENT
from tests.browser import browser, open_page  # noqa: F401 (fixtures)
from tests.servers import postgres, server  # noqa: F401 (fixtures)

os.environ.update(ENVIRONMENT)


@pytest.fixture
def small_experiment():
    """The fastest experiment that has everything: two axes, two modes, backends that are always there."""
    from harness.experiment.file import parse

    return parse(small_table(), "small.toml")


def small_table():
    return {
        "name": "small",
        "title": "Iris, small",
        "data": {"name": "iris", "test_fraction": 0.2, "validation_fraction": 0.2, "scale": "standard"},
        "network": {"hidden": [4], "activation": "tanh"},
        "training": {"batch_size": 16, "epochs": 3},
        "sweep": {"learning_rate": [0.1, 0.5], "l2": [0.0, 0.01]},
        "run": {"backends": ["numpy", "sklearn"], "modes": ["controlled", "native"]},
    }


@pytest.fixture
def store(tmp_path: Path):
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.suite)])
def any_store(request):
    """A store of each kind, for what has to be so in both; on PostgreSQL with the suites."""
    return request.getfixturevalue("store" if request.param == "sqlite" else "postgres")
