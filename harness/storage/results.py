"""The results of an experiment, read from the store: a table, curves, heatmaps, a report."""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from harness.experiment.sections import Network, Training
from harness.registry import colours
from harness.storage.sound import broken, fault_of_settings
from harness.storage.staleness import Staleness, told_version
from harness.storage.store import METRICS, Store
from harness.support.errors import RequestError, short, unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reports import Study

FIRST = ["trial_id", "experiment", "backend", "mode", "seed", "status", "reason"]
_SECONDS = ("build_seconds", "train_seconds", "predict_seconds")
MEASURED = [
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
_FLOATS = (*METRICS, "deviation", "deviation_first_epoch", "floor", *_SECONDS)
NUMBERS = (*_FLOATS, "seed", "epochs_run", "stack_size")
_EPOCHS_TO = ("train_epochs_to_95", "validation_epochs_to_95", "test_epochs_to_95")
_BESIDE = ["verdict", "chance", "numpy_version", "finished_at", "stale"]

_OF_0_1 = (
    *("dataset", "task", "scale", "fold", "case", "point"),
    *("hidden", "activation", "leaky_slope", "elu_alpha", "output_activation", "init", "bias"),
    *("loss", "huber_delta", "optimizer", "learning_rate", "schedule", "decay_rate", "decay_steps", "final_factor"),
    *("l2", "l1", "dropout", "batch_norm", "batch_norm_momentum", "batch_norm_epsilon", "clip_norm", "clip_value"),
    *("momentum", "beta_1", "beta_2", "rho", "epsilon", "initial_accumulator"),
    *("batch_size", "n_batches", "batches", "last_batch", "epochs", "patience", "min_delta", "reduction", "dtype"),
)
"""The columns of version 0.1, in the order that files written since have; every key that came later stands behind."""

KEYS_OF_0_1 = frozenset({*_OF_0_1, "input_dropout"})  # which is the first number of the column `dropout`

HYPERPARAMETERS = (
    *_OF_0_1,
    *(key for section in (Network, Training) for key in section.model_fields if key not in KEYS_OF_0_1),
)
"""A column each, empty where a trial does not read it."""

LISTS = ("hidden", "activation", "dropout", "layers")
"""The columns that hold lists; they are exported in one form, whether they were swept or not."""

EXPORTED = [*FIRST, *HYPERPARAMETERS, *MEASURED]
"""The columns of an export."""


def by_key(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a stored trial by the keys of an experiment file.

    A store has a list of layers under `network`; what it has under `layers` are the units of one that is dense.
    """
    values = {key: value for key, value in settings.items() if key not in ("layers", "network")}
    return values | ({"layers": settings["network"]} if "network" in settings else {})


class Results:
    """All trials of one experiment in one store, as they were when this object was made.

    Curves and other arrays are read when they are asked for.
    """

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

    @cached_property
    def _curves(self) -> dict[str, dict[str, np.ndarray]]:
        return self._store.artefacts("curves", (row["trial_id"] for row in self._rows))

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
        stale = Staleness()
        shared: dict[tuple[int, int], tuple[list[Any], Any]] = {}
        records = []
        for row in self._rows:
            key = id(row["settings"]), id(row["cell"])  # which rows share
            if key not in shared:
                given = {**by_key(row["settings"]), **row["cell"]}
                shared[key] = [given.get(name) for name in HYPERPARAMETERS], given.get("chance")
            values, chance = shared[key]
            verdict = "unchecked" if row["status"] == "pending" and row["mode"] == "controlled" else row["verdict"]
            beside = (verdict, chance, row["numpy_version"], row["finished_at"], stale.of_row(row))
            records.append((*(row[name] for name in FIRST), *values, *(row[name] for name in MEASURED), *beside))
        columns = [*FIRST, *HYPERPARAMETERS, *MEASURED, *_BESIDE]
        frame = pd.DataFrame.from_records(records, columns=columns)
        return frame.astype(dict.fromkeys(_FLOATS, "float64"))

    def export(self) -> pd.DataFrame:
        """One row a finished trial, in the columns that `harness export` writes; lists as JSON text."""
        frame = self.frame()
        frame = frame.loc[frame["status"] != "pending", EXPORTED].copy()
        settings = [by_key(row["settings"]) for row in self._rows if row["status"] != "pending"]
        for column in LISTS:
            frame[column] = [json.dumps(values[column]) if column in values else None for values in settings]
        return export_types(frame).reset_index(drop=True)

    def curves(self) -> pd.DataFrame:
        """One row an epoch of a trial: `trial_id, epoch`, then losses, accuracies or R². Epoch 0 is before training.

        In native mode only what the framework itself logs, as `logged_loss` and `logged_accuracy`.
        """
        columns = ["epoch", *METRICS, "logged_loss", "logged_accuracy"]
        if not self._curves:
            return pd.DataFrame(columns=["trial_id", *columns])
        lengths = [max(map(len, curves.values()), default=0) for curves in self._curves.values()]
        absent = {length: np.full(length, np.nan) for length in lengths}
        found = {"trial_id": np.repeat(np.array(list(self._curves), dtype=object), lengths)}
        for name in columns:
            pairs = zip(self._curves.values(), lengths, strict=True)
            found[name] = np.concatenate([curves.get(name, absent[length]) for curves, length in pairs])
        return pd.DataFrame(found)

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

        self._check_places()
        facts = self.experiment["facts"]
        rows, axes = self.frame(), self.axes
        rows["backend_version"] = [told_version(row["backend_version"], row["versions"]) for row in self._rows]
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
            display=colours(),
        )

    def _check_places(self) -> None:
        """Raises `RequestError` for a trial whose settings are no such, or that has no place on the axes."""
        if not self._rows:
            raise RequestError(
                f"store {self.store_url}: table planned: no trial of experiment {self.name!r}; harness run plans them"
            )
        stray = next((axis for axis in self.axes if axis not in HYPERPARAMETERS), None)
        if stray is not None:
            raise broken(self.store_url, "experiments", self.name, "axes", f"{stray!r} is no hyperparameter")
        for row in {(id(row["settings"]), id(row["cell"])): row for row in self._rows}.values():  # which rows share
            fault = fault_of_settings(row["settings"])
            if fault is not None:
                raise broken(self.store_url, "planned", row["trial_id"], "settings", fault)
            given = {**row["settings"], **row["cell"]}
            for axis, values in self.axes.items():
                if given.get(axis) not in values:
                    told = f"{axis} = {short(given.get(axis))} is no value of the axis"
                    raise broken(self.store_url, "planned", row["trial_id"], "cell", told)

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
            note(row["backend"], told_version(row["backend_version"], row["versions"]))
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


def export_types(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the types that the measured columns of an export have."""
    return frame.astype({**dict.fromkeys(_FLOATS, "float64"), "epochs_run": "Int64", "stack_size": "Int64"})


def open_results(store: Store, names: Iterable[str] | None = None) -> list[Results]:
    """The results of the named experiments, or of all in the store."""
    return [Results(store, name) for name in (names or store.experiment_names())]
