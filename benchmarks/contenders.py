"""Who runs the sweep, and what is compared with what."""

import importlib
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.loops import CELLS, EPOCHS, L2S, LEARNING_RATES, SEARCHES, digits
from harness import registry
from harness.contract import StackTrainer
from harness.execution import worker
from harness.experiment.datasets import load_datasets
from harness.experiment.file import Experiment, parse
from harness.planning.cohorts import Chunk, chunks
from harness.planning.plan import plan
from harness.training.lifted import lifted

EXPERIMENT = Path(__file__).with_name("digits.toml")


@dataclass(frozen=True)
class Timing:
    """Milliseconds for one trial and one epoch; those to build one and to predict, where they are apart."""

    train: float
    build: float | None = None
    predict: float | None = None


@dataclass(frozen=True)
class Comparison:
    """A row of the table: our sweep with the backend `ours`, against a loop or a search.

    `bars` holds the ratio, theirs over ours, to be reached in float32 and in float64; None where there is no bar.
    """

    ours: str
    theirs: str
    bars: tuple[float, float] | None


NAMES = {
    "numpy_class": "the lecture's NumPy class",
    "mlp_classifier": "`MLPClassifier.fit` in a loop",
    "tensorflow_steps": "a `tf.function` step by step",
    "keras_fit": "Keras `fit` on a fresh model a trial",
    "torch_loader": "PyTorch with a `DataLoader`",
    "torch_plain": "PyTorch on index batches",
    "grid_search": "`GridSearchCV(n_jobs=cores)` over `MLPClassifier`",
    "skorch_search": "`GridSearchCV(n_jobs=cores)` over skorch",
}
"""What people run today, in words."""

COMPARISONS: tuple[Comparison, ...] = (
    Comparison("numpy", "numpy_class", (6, 2.5)),
    Comparison("numpy", "grid_search", (4.5, 2.5)),
    Comparison("torch", "torch_loader", (20, 12)),
    Comparison("torch-manual", "torch_loader", (35, 14)),
    Comparison("torch", "torch_plain", (9, 5)),
    Comparison("torch-manual", "torch_plain", (15, 6.5)),
    Comparison("torch", "skorch_search", None),
    Comparison("tensorflow", "tensorflow_steps", (20, 9)),
    Comparison("keras", "keras_fit", (15, 8)),
    Comparison("sklearn", "mlp_classifier", (0.9, 0.9)),
)

COLD_BARS = (6.0, 5.0)


def contenders() -> tuple[str, ...]:
    """Every name in the table, once: backends, loops and searches."""
    return tuple(dict.fromkeys(name for row in COMPARISONS for name in (row.ours, row.theirs)))


def missing(name: str) -> str | None:
    """Why a contender cannot run here, or None when it can."""
    if name in NAMES:
        needs = {"tensorflow_steps": "tensorflow", "keras_fit": "keras", "skorch_search": "skorch"}
        needs |= {"torch_loader": "torch", "torch_plain": "torch"}
        package = needs.get(name, "sklearn")
        return None if importlib.util.find_spec(package) else f"{package} is not installed"
    if name not in registry.backends():
        return f"there is no backend {name}"
    return registry.backend(name).missing()


def chosen(n: int) -> list[int]:
    """`n` of the 49 cells, evenly spaced: 7 are the diagonal of the grid."""
    return np.linspace(0, len(CELLS) - 1, n).round().astype(int).tolist()


def load(name: str, dtype: str, n_cells: int) -> Callable[[], Timing]:
    """Import what `name` needs, make its data ready, and give the function that runs it once and times it.

    A backend that trains stacks, and a search, which spreads its cells over the cores, run all 49 cells; the others,
    whose cells cost the same each, run `n_cells` of them.
    """
    if name in NAMES:
        return _load_theirs(name, dtype, n_cells)
    return _load_ours(name, dtype, n_cells)


def _load_theirs(name: str, dtype: str, n_cells: int) -> Callable[[], Timing]:
    module = importlib.import_module(f"benchmarks.loops.{name}")
    if name == "keras_fit":
        module.keras.config.set_floatx(dtype)
    data = digits(dtype)

    def search() -> Timing:
        started = time.perf_counter()
        module.search(data, LEARNING_RATES, L2S)
        return Timing(1e3 * (time.perf_counter() - started) / len(CELLS) / EPOCHS)

    def loop() -> Timing:
        started = time.perf_counter()
        for i in chosen(n_cells):
            module.train(data[0], data[1], *CELLS[i])
        return Timing(1e3 * (time.perf_counter() - started) / n_cells / EPOCHS)

    return search if name in SEARCHES else loop


def experiment(dtype: str, **run: object) -> Experiment:
    """The sweep in one dtype; `run` holds keys of its section `[run]`."""
    table = tomllib.loads(EXPERIMENT.read_text())
    table["training"]["dtype"] = dtype
    table["run"] |= run
    return parse(table, str(EXPERIMENT))


def our_chunks(name: str, asked: Experiment, n_cells: int | None = None) -> tuple[type[StackTrainer], list[Chunk]]:
    """The chunks that `harness run` would train; of a backend without stacks `n_cells` of its trials."""
    datasets = load_datasets(asked)
    worker.initialize(datasets)
    trainer = registry.load_trainer(registry.backend(name).trainer)
    stacks = issubclass(trainer, StackTrainer)
    planned = chunks(plan(asked, datasets), stacks)
    if not stacks and n_cells is not None:
        planned = [planned[i] for i in chosen(n_cells)]
    return lifted(trainer), planned


def _load_ours(name: str, dtype: str, n_cells: int) -> Callable[[], Timing]:
    _, planned = our_chunks(name, experiment(dtype, backends=[name]), n_cells)
    path = registry.backend(name).trainer

    def sweep() -> Timing:
        outcomes = [outcome for chunk in planned for outcome in worker.run_chunk(chunk.trials, path, chunk.width)]
        for outcome in outcomes:
            if outcome.status != "ok":
                raise RuntimeError(f"{name}: a trial ended as {outcome.status}: {outcome.reason}")

        def mean(seconds: list[float | None]) -> float:
            return 1e3 * sum(value or 0.0 for value in seconds) / len(outcomes)

        return Timing(
            mean([outcome.train_seconds for outcome in outcomes]) / EPOCHS,
            mean([outcome.build_seconds for outcome in outcomes]),
            mean([outcome.predict_seconds for outcome in outcomes]),
        )

    return sweep
