"""Runs the revisions in the transaction of the connection that `harness.storage.opening` hands over."""

from alembic import context

from harness.storage import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    version_table=schema.version.name,
    version_table_pk=True,
)
context.run_migrations()
