"""Which schema a database has, and Alembic run from inside the program."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from bench.store.schema import FIRST_TABLES, OUR_TABLES


class State(Enum):
    """What a database is to this program."""

    EMPTY = "empty"
    CURRENT = "current"
    OLDER = "older"
    NEWER = "newer"
    FOREIGN = "foreign"


def migrations_folder() -> Path:
    """Where the migrations are: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def config(connection: sa.Connection | None = None) -> Config:
    """Alembic's settings without an ini file, on an open connection."""
    settings = Config()
    settings.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    return settings


def head() -> str:
    """The revision this program writes."""
    newest = ScriptDirectory.from_config(config()).get_current_head()
    if newest is None:
        raise RuntimeError(f"no migrations in {migrations_folder()}")
    return newest


def current(connection: sa.Connection) -> str | None:
    """The revision stored in the database, or None."""
    heads = MigrationContext.configure(connection).get_current_heads()
    return heads[0] if len(heads) == 1 else ("+".join(heads) or None)


def state(connection: sa.Connection) -> State:
    """Look at a database without writing to it."""
    inspector = sa.inspect(connection)
    tables = set(inspector.get_table_names())
    if not tables:
        return State.EMPTY
    stored = current(connection) if "alembic_version" in tables else None
    # Half of our tables under a name of ours is someone else's database, not an old one of ours.
    if stored is None:
        return State.EMPTY if tables == {"alembic_version"} else State.FOREIGN
    if not tables >= FIRST_TABLES:
        return State.FOREIGN
    script = ScriptDirectory.from_config(config())
    if stored == script.get_current_head():
        return State.CURRENT if tables >= OUR_TABLES else State.FOREIGN
    known = {revision.revision for revision in script.walk_revisions()}
    return State.OLDER if stored in known else State.NEWER


def upgrade_to_head(connection: sa.Connection) -> None:
    """Run every missing migration inside the caller's transaction."""
    command.upgrade(config(connection), "head")


def downgrade(connection: sa.Connection, revision: str) -> None:
    """Go back to a revision (`base` for none) inside the caller's transaction. Data is dropped."""
    command.downgrade(config(connection), revision)
