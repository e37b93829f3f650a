"""The tables of a store, and the revisions that they went through. A change here is a revision in `migrations/`."""

import json
import math
from typing import Any

from sqlalchemy import Column, Dialect, Float, Integer, LargeBinary, MetaData, PrimaryKeyConstraint, String, Table, Text
from sqlalchemy.types import TypeDecorator

REVISIONS = ("0000", "0001")
"""Every revision, the oldest first. A store of the first one does not say so: there was no table for it yet."""

HEAD = REVISIONS[-1]
"""The revision that this harness writes."""

metadata = MetaData()


class JsonText(TypeDecorator[Any]):
    """JSON as text, so that every database keeps it as it was written."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else to_json(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """From the database."""
        return None if value is None else from_json(value)


experiments = Table(
    "experiments",
    metadata,
    Column("name", String, primary_key=True),
    Column("title", String, nullable=False),
    Column("definition", String, nullable=False),  # canonical JSON of what makes its cells
    Column("axes", JsonText, nullable=False),
    Column("facts", JsonText, nullable=False),
)

planned = Table(
    "planned",
    metadata,
    Column("experiment", String, primary_key=True),
    Column("backend", String, primary_key=True),
    Column("mode", String, primary_key=True),
    Column("seed", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("trial_id", String(64), nullable=False, index=True),
    Column("cell", JsonText, nullable=False),
    Column("settings", JsonText, nullable=False),
)

trials = Table(
    "trials",
    metadata,
    Column("trial_id", String(64), primary_key=True),
    Column("status", String, nullable=False),
    Column("reason", String),
    Column("metrics", JsonText, nullable=False),  # part_metric -> value; what is not defined is not in it
    Column("deviation", Float),
    Column("deviation_first_epoch", Float),
    Column("floor", Float),
    Column("verdict", String),
    Column("epochs_run", Integer),
    Column("stack_size", Integer),
    Column("build_seconds", Float),
    Column("train_seconds", Float),
    Column("predict_seconds", Float),
    Column("backend_version", String, nullable=False),
    Column("numpy_version", String, nullable=False),
    Column("harness_version", String, nullable=False),
    Column("versions", JsonText),  # of everything that the backend needs; NULL where nobody wrote them down
    Column("source", String(64)),  # the hash of the backend's own code; NULL where it is not known
    Column("machine", JsonText, nullable=False),
    Column("finished_at", String, nullable=False),
)

references = Table(
    "references",
    metadata,
    Column("reference_id", String(64), primary_key=True),
    Column("floor", Float),
    Column("weights", LargeBinary),
    Column("first_epoch_weights", LargeBinary),
    Column("numpy_version", String, nullable=False),
    Column("harness_version", String, nullable=False),
)

artefacts = Table(
    "artefacts",
    metadata,
    Column("trial_id", String(64), primary_key=True),  # or the id of a reference, which has "checkpoints"
    Column("kind", String, primary_key=True),  # "curves", "confusion", "parity", "weights", "predictions", "plane"
    Column("payload", LargeBinary, nullable=False),
)

NEWER_THAN_FIRST = {"metrics", "versions", "source"}
"""Columns of `trials` that the first revision had not."""

version = Table(
    "harness_schema",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="harness_schema_pkc"),
)
"""One row, the revision of the tables. Alembic's own table, under a name that another program's does not have."""


def to_json(value: Any) -> str:
    """JSON text. An infinite number, which JSON has not, stands as the text "inf", and NaN as "nan"."""
    return _encode(_finite(value))


_encode = json.JSONEncoder(default=lambda item: item.item() if hasattr(item, "item") else list(item)).encode


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(float(value)) if isinstance(value, float) and not math.isfinite(value) else value


def from_json(text: str) -> Any:
    """The parsed JSON. Half a character (a lone surrogate), which no text can hold, becomes "?"; we write none."""
    value = json.loads(text)
    if r"\ud" not in text.lower():
        return value
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
