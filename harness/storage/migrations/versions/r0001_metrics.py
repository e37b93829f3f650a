"""Metrics in one column, versions of all that a backend needs, the hash of its source; JSON as text everywhere.

A metric that a later harness takes is one more key, and no revision.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

from alembic import op
from sqlalchemy import Column, Connection, Float, Integer, MetaData, String, Table, Text, cast, column, select, table

from harness.storage.migrations.versions.r0000_first import METRICS

revision = "0001"
down_revision = "0000"

_AT_A_TIME = 2000

_SAME = (
    *("trial_id", "status", "reason", "deviation", "deviation_first_epoch", "floor", "verdict", "epochs_run"),
    *("stack_size", "build_seconds", "train_seconds", "predict_seconds", "backend_version", "numpy_version"),
    *("harness_version", "finished_at"),
)

new = Table(
    "trials_new",
    MetaData(),
    Column("trial_id", String(64), primary_key=True),
    Column("status", String, nullable=False),
    Column("reason", String),
    Column("metrics", Text, nullable=False),
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
    Column("versions", Text),
    Column("source", String(64)),
    Column("machine", Text, nullable=False),
    Column("finished_at", String, nullable=False),
)


def upgrade() -> None:
    """Move every row, and keep what every value was."""
    connection = op.get_bind()
    new.create(connection)
    for rows in _moved(connection):
        connection.execute(new.insert(), rows)
    op.drop_table("trials")
    op.rename_table("trials_new", "trials")
    if connection.dialect.name == "postgresql":
        op.execute("ALTER INDEX trials_new_pkey RENAME TO trials_pkey")
        for name, columns in (("experiments", ("axes", "facts")), ("planned", ("cell", "settings"))):
            for each in columns:
                op.alter_column(name, each, type_=Text(), postgresql_using=f"{each}::text")


def _moved(connection: Connection) -> Iterator[list[dict[str, Any]]]:
    """The rows as they will be, in the order of their ids."""
    names = (*_SAME, *METRICS)
    old = table("trials", *map(column, (*names, "machine")))
    query = select(*(old.c[name] for name in names), cast(old.c.machine, Text).label("machine")).order_by(
        old.c.trial_id
    )
    last = ""
    while rows := connection.execute(query.where(old.c.trial_id > last).limit(_AT_A_TIME)).mappings().all():
        last = rows[-1]["trial_id"]
        yield [
            {
                **{name: row[name] for name in _SAME},
                "machine": row["machine"],
                "metrics": json.dumps(
                    {name: _value(row[name]) for name in METRICS if row[name] is not None},
                    default=str,  # of a broken value, which is told when it is read
                ),
                "versions": None,
                "source": None,
            }
            for row in rows
        ]


def _value(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
