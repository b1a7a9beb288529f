"""Alembic's entry. `bench.store.revision` hands it an open connection, inside one transaction."""

from __future__ import annotations

from alembic import context

from bench.store.schema import Base

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("migrations run through `bench db upgrade`, which holds the connection")

# The caller owns the transaction: a migration happens as a whole or not at all.
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
context.run_migrations()
