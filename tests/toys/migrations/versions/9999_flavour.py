"""A toy field of the request."""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    view = op.get_context().script.get_revision("0008").module.VIEW
    before = "c.requested_scheme AS requested_scheme,"
    assert before in view
    op.execute("DROP VIEW run_summary")
    op.add_column("cells", sa.Column("requested_flavour", sa.Text(), nullable=False, server_default="plain"))
    op.execute(view.replace(before, f"c.requested_flavour AS requested_flavour, {before}"))
