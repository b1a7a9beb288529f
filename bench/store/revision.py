"""Which schema a database has, and Alembic run from inside the program."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from bench.store.schema import FIRST_TABLES, OUR_TABLES, REVISION

# Alembic takes as long to load as a query takes to run; a database of this very schema needs none of it.
if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory


# Alembic's own table, as it documents it.
_VERSION = sa.table("alembic_version", sa.column("version_num"))


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
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    return settings


def scripts() -> ScriptDirectory:
    """The migrations as Alembic reads them."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(config())


def head() -> str:
    """The revision this program writes: that of the newest migration, which a test holds it to."""
    return REVISION


def current(connection: sa.Connection) -> str | None:
    """The revision stored in the database, or None."""
    if not sa.inspect(connection).has_table(_VERSION.name):
        return None
    heads = sorted(connection.scalars(sa.select(_VERSION.c.version_num)))
    return "+".join(heads) or None


def state(connection: sa.Connection) -> State:
    """Look at a database without writing to it."""
    inspector = sa.inspect(connection)
    tables = set(inspector.get_table_names())
    if not tables:
        return State.EMPTY
    stored = current(connection) if _VERSION.name in tables else None
    # Half of our tables under a name of ours is someone else's database, not an old one of ours.
    if stored is None:
        return State.EMPTY if tables == {_VERSION.name} else State.FOREIGN
    if not tables >= FIRST_TABLES:
        return State.FOREIGN
    if stored == REVISION:
        return State.CURRENT if tables >= OUR_TABLES else State.FOREIGN
    known = {revision.revision for revision in scripts().walk_revisions()}
    return State.OLDER if stored in known else State.NEWER


def upgrade_to_head(connection: sa.Connection) -> None:
    """Run every missing migration inside the caller's transaction."""
    from alembic import command

    command.upgrade(config(connection), "head")


def downgrade(connection: sa.Connection, revision: str) -> None:
    """Go back to a revision (`base` for none) inside the caller's transaction. Data is dropped."""
    from alembic import command

    command.downgrade(config(connection), revision)
