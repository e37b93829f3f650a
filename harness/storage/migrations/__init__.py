"""The revisions of the tables, for Alembic. `script.py.mako` is what `alembic revision` would begin a new one from."""
