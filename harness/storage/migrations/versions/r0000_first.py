"""The first tables: what a store without a revision has. Those that are there already are left alone."""

from alembic import op
from sqlalchemy import JSON, Column, Float, Integer, LargeBinary, MetaData, String, Table

revision = "0000"
down_revision = None

METRICS = tuple(
    f"{part}_{metric}"
    for metric in ("accuracy", "loss", "auc", "f1", "mse", "mae", "r2")
    for part in ("train", "validation", "test")
)

metadata = MetaData()

Table(
    "experiments",
    metadata,
    Column("name", String, primary_key=True),
    Column("title", String, nullable=False),
    Column("definition", String, nullable=False),
    Column("axes", JSON, nullable=False),
    Column("facts", JSON, nullable=False),
)
Table(
    "planned",
    metadata,
    Column("experiment", String, primary_key=True),
    Column("backend", String, primary_key=True),
    Column("mode", String, primary_key=True),
    Column("seed", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("trial_id", String(64), nullable=False, index=True),
    Column("cell", JSON, nullable=False),
    Column("settings", JSON, nullable=False),
)
Table(
    "trials",
    metadata,
    Column("trial_id", String(64), primary_key=True),
    Column("status", String, nullable=False),
    Column("reason", String),
    *(Column(name, Float) for name in METRICS),
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
    Column("machine", JSON, nullable=False),
    Column("finished_at", String, nullable=False),
)
Table(
    "references",
    metadata,
    Column("reference_id", String(64), primary_key=True),
    Column("floor", Float),
    Column("weights", LargeBinary),
    Column("first_epoch_weights", LargeBinary),
    Column("numpy_version", String, nullable=False),
    Column("harness_version", String, nullable=False),
)
Table(
    "artefacts",
    metadata,
    Column("trial_id", String(64), primary_key=True),
    Column("kind", String, primary_key=True),
    Column("payload", LargeBinary, nullable=False),
)


def upgrade() -> None:
    """Make what is missing."""
    metadata.create_all(op.get_bind())
