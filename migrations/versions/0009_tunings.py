"""Constants that were found for kernels, a row for each kernel on each adapter.

The view `run_summary` is not touched: which constants a run had is in its evidence, and in its `kernels`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

HOLDS_FOR = ("adapter", "browser", "browser_version", "features", "kernels", "key")


def upgrade() -> None:
    op.create_table(
        "tunings",
        sa.Column("id", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in HOLDS_FOR),
        sa.Column("constants", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("default_ms", sa.Double(), nullable=False),
        sa.Column("tuned_ms", sa.Double(), nullable=False),
        sa.Column("tried", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.Column("tuned_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tunings"),
        sa.UniqueConstraint(*HOLDS_FOR, name="uq_tunings_holds_for"),
    )


def downgrade() -> None:
    op.drop_table("tunings")
