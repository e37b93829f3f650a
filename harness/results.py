"""The results of an experiment, read from the store: a table, curves, heatmaps, a report."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.environment import harness_version, numpy_version
from harness.errors import RequestError, unknown
from harness.registry import backends, profiles
from harness.store import METRICS, Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reports import Study

_FIRST = ["trial_id", "experiment", "backend", "mode", "seed", "status", "reason"]
_SECONDS = ("build_seconds", "train_seconds", "predict_seconds")
_MEASURED = [
    *METRICS,
    "deviation",
    "deviation_first_epoch",
    "floor",
    "epochs_run",
    "stack_size",
    *_SECONDS,
    "backend_version",
    "harness_version",
]
_EPOCHS_TO = ("train_epochs_to_95", "validation_epochs_to_95", "test_epochs_to_95")
_BESIDE = ["verdict", "chance", "numpy_version", "finished_at", "stale"]

HYPERPARAMETERS = (
    *("dataset", "task", "scale", "fold", "case", "point"),
    *("hidden", "activation", "leaky_slope", "elu_alpha", "output_activation", "init", "bias"),
    *("loss", "huber_delta", "optimizer", "learning_rate", "schedule", "decay_rate", "decay_steps", "final_factor"),
    *("l2", "l1", "dropout", "batch_norm", "batch_norm_momentum", "batch_norm_epsilon", "clip_norm", "clip_value"),
    *("momentum", "beta_1", "beta_2", "rho", "epsilon", "initial_accumulator"),
    *("batch_size", "n_batches", "batches", "last_batch", "epochs", "patience", "min_delta", "reduction", "dtype"),
)
"""A column each, empty where a trial does not read it."""


class Results:
    """All trials of one experiment in one store, as they were when this object was made."""

    def __init__(self, store: Store, name: str) -> None:
        if name not in store.experiment_names():
            known = store.experiment_names()
            told = unknown("experiment", name, known) if known else "is empty; harness run fills it"
            raise RequestError(f"store {store.url}: {told}")
        self.name = name
        self.store_url = store.url
        self._store = store
        self.experiment = store.experiment(name)
        self._rows = store.rows(name)
        self._curves = store.artefacts("curves", (row["trial_id"] for row in self._rows))

    @property
    def title(self) -> str:
        """The experiment's title, or its name where it has none."""
        return self.experiment["title"] or self.name

    @property
    def axes(self) -> dict[str, list[Any]]:
        """The swept keys and their values, in the file's order."""
        return dict(self.experiment["axes"])

    def frame(self) -> pd.DataFrame:
        """One row a planned trial: its hyperparameters, status, metrics, deviation, floor, times and versions.

        A value that a trial does not have is missing (NaN or None). Lists stand as lists.
        """
        records = [self._record(row) for row in self._rows]
        columns = [*_FIRST, *HYPERPARAMETERS, *_MEASURED, *_BESIDE]
        frame = pd.DataFrame.from_records(records, columns=columns)
        numbers = [*METRICS, "deviation", "deviation_first_epoch", "floor"]
        numbers += _SECONDS
        return frame.astype(dict.fromkeys(numbers, "float64"))

    def _record(self, row: dict[str, Any]) -> dict[str, Any]:
        values = {**row["settings"], **row["cell"]}
        record = {**row, **{key: values.get(key) for key in HYPERPARAMETERS}, "stale": is_stale(row)}
        record["chance"] = values.get("chance")
        if row["status"] == "pending" and row["mode"] == "controlled":
            record["verdict"] = "unchecked"
        return record

    def export(self) -> pd.DataFrame:
        """One row a finished trial, in the columns that `harness export` writes; lists as JSON text."""
        frame = self.frame()
        frame = frame.loc[frame["status"] != "pending", [*_FIRST, *HYPERPARAMETERS, *_MEASURED]].copy()
        settings = [row["settings"] for row in self._rows if row["status"] != "pending"]
        for column in ("hidden", "activation", "dropout"):  # one form, whether it was swept or not
            frame[column] = [json.dumps(values[column]) if column in values else None for values in settings]
        return frame.astype({"epochs_run": "Int64", "stack_size": "Int64"}).reset_index(drop=True)

    def curves(self) -> pd.DataFrame:
        """One row an epoch of a trial: `trial_id, epoch`, then losses, accuracies or R². Epoch 0 is before training.

        In native mode only what the framework itself logs, as `logged_loss` and `logged_accuracy`.
        """
        parts = [
            pd.DataFrame({"trial_id": trial_id, **{name: list(values) for name, values in curves.items()}})
            for trial_id, curves in self._curves.items()
        ]
        columns = ["trial_id", "epoch", *METRICS, "logged_loss", "logged_accuracy"]
        if not parts:
            return pd.DataFrame(columns=columns)
        return pd.concat(parts, ignore_index=True).reindex(columns=columns)

    def heatmap(
        self,
        metric: str = "test_accuracy",
        mode: str | None = None,
        rows: str | None = None,
        columns: str | None = None,
    ) -> "Figure":
        """A heatmap a backend of one metric, in one mode (the first that was run), over two axes (`rows`, `columns`).

        The metric is a column of `frame()` ("test_accuracy", "train_loss", "train_seconds", …), or
        "test_epochs_to_95", the first epoch at which the score reaches 0.95. A random search, whose points lie on no
        grid, has a scatter plot, of a score. Raises `RequestError` for a name that the experiment does not have.
        """
        from reports import figures
        from reports.notebook import shown
        from reports.statistics import with_epochs_to

        study = with_epochs_to(self.study())
        known = [name for name in (*METRICS, *_SECONDS, *_EPOCHS_TO) if study.has(name)]
        scores = [name for name in known if name.endswith(study.scores)]
        for what, given, allowed in (
            ("metric", metric, scores if study.sampled else known),
            ("mode", mode, study.modes),
            ("axis", rows, list(study.axes)),
            ("axis", columns, list(study.axes)),
        ):
            if given is not None and given not in allowed:
                raise RequestError(unknown(what, given, allowed))
        mode = mode or study.modes[0]
        if study.sampled:
            drawn = figures.score_scatter(study, [mode], metric.partition("_")[2])
        else:
            drawn = figures.metric_heatmaps(study, mode, metric, rows, columns)
        figure: Figure = shown(drawn)
        return figure

    def confusion(self, trial_id: str, part: str = "test") -> pd.DataFrame:
        """The confusion matrix of one trial: a row a true class, a column an answer. Raises `RequestError`."""
        stored = self._store.artefacts("confusion", [trial_id]).get(trial_id, {})
        if part not in stored:
            known = ", ".join(stored) or "none: the trial did not finish, or is no classification"
            raise RequestError(f"trial {trial_id}: no confusion matrix of {part!r} rows (there are: {known})")
        return pd.DataFrame(stored[part])

    def report(self, out: str | Path) -> Path:
        """Write `report.html`, its figures and its tables into the folder `out`; gives the page's path."""
        import reports

        page: Path = reports.write(self.study(), Path(out))
        return page

    def study(self) -> "Study":
        """The rows in the shape that `reports` reads."""
        from reports import Study

        facts = self.experiment["facts"]
        rows, axes = self.frame(), self.axes
        folds = axes.pop("fold", None)
        if folds is not None:  # a fold is a repeat: cells are chosen and drawn by the mean over all of them
            rows["seed"] = rows["seed"] * len(folds) + rows["fold"].map(folds.index)
        return Study(
            name=self.name,
            title=self.title,
            rows=rows,
            axes=axes,
            curves=self.curves(),
            facts={**facts["shown"], **self._made_on()},
            warnings=facts["warnings"],
            sampled=tuple(facts["sampled"]),
            published=None if facts["published"] is None else pd.DataFrame(facts["published"]),
            notes=facts["notes"],
            names=facts.get("names", {}),  # stores of earlier days have none
            artefacts=self._store.artefacts,
            calls=self._calls(),
        )

    def _calls(self) -> Callable[[dict[str, Any]], list[str]]:
        """What gives the lines of code behind a row of the study, see `harness.calls.stored`."""
        from harness.calls.stored import stored_call

        stored = {row["trial_id"]: row for row in self._rows}
        base_seed = int(self.experiment["facts"]["shown"].get("base seed", 0))
        return lambda row: stored_call(stored[row["trial_id"]], base_seed)

    def _made_on(self) -> dict[str, str]:
        """Versions and machines behind the rows; several of one kind stand side by side."""
        shown: dict[str, list[str]] = {}

        def note(name: str, value: str | None) -> None:
            if value and value not in shown.setdefault(name, []):
                shown[name].append(value)

        for row in self._rows:
            if row["status"] in ("pending", "not_installed"):
                continue
            note("harness", row["harness_version"])
            note("numpy (the reference's)", row["numpy_version"])
            note(row["backend"], row["backend_version"])
        for row in self._rows:
            for name, value in (row["machine"] or {}).items():
                note(name, value)
        seeds = len({row["seed"] for row in self._rows})
        return {"seeds": str(seeds), **{name: ", ".join(values) for name, values in shown.items() if values}}

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        counts = pd.Series([row["status"] for row in self._rows]).value_counts()
        return f"<Results of {self.name}: " + ", ".join(f"{n} {status}" for status, n in counts.items()) + ">"

    def _repr_html_(self) -> str:
        """What a notebook shows: what was found, what became of the trials, and their heatmaps."""
        from reports.notebook import fragment

        html: str = fragment(self.study())
        return html


def is_stale(row: dict[str, Any]) -> bool:
    """Whether harness, NumPy or the backend have another version now than when the row was made."""
    if row["status"] in ("pending", "not_installed"):
        return False
    if (row["harness_version"], row["numpy_version"]) != (harness_version(), numpy_version()):
        return True
    known = (backends() | profiles()).get(row["backend"])
    installed = known.version() if known else ""
    return bool(installed) and row["backend_version"] != installed


def open_results(store: Store, names: Iterable[str] | None = None) -> list[Results]:
    """The results of the named experiments, or of all in the store."""
    return [Results(store, name) for name in (names or store.experiment_names())]
