"""Results of other tools: campaigns say whose they are, a table of its own holds what nobody here verified.

The view `run_summary` is not touched: such numbers are no runs.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE campaigns ADD COLUMN origin TEXT DEFAULT 'own' NOT NULL")
    op.create_table(
        "foreign_results",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("tool_version", sa.Text(), nullable=True),
        sa.Column("host", sa.Text(), nullable=True),
        sa.Column("os", sa.Text(), nullable=True),
        sa.Column("cpu", sa.Text(), nullable=True),
        sa.Column("gpu", sa.Text(), nullable=True),
        sa.Column("browser", sa.Text(), nullable=True),
        sa.Column("browser_version", sa.Text(), nullable=True),
        sa.Column("backend", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("bits_mean", sa.Double(), nullable=True),
        sa.Column("test", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("direction", sa.Text(), nullable=True),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("n", sa.Integer(), nullable=True),
        sa.Column("samples", sa.JSON(), nullable=True),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=True),
        sa.CheckConstraint("direction IN ('lower', 'higher')", name=op.f("ck_foreign_results_direction")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name="fk_foreign_results_campaign_id"),
        sa.PrimaryKeyConstraint("id", name="pk_foreign_results"),
        sa.UniqueConstraint("hash", name="uq_foreign_results_hash"),
    )
    op.create_index("ix_foreign_results_campaign_id", "foreign_results", ["campaign_id"])


def downgrade() -> None:
    op.drop_table("foreign_results")
    # Without an origin they would pass for campaigns of ours.
    op.execute("DELETE FROM campaigns WHERE origin <> 'own'")
    op.drop_column("campaigns", "origin")
