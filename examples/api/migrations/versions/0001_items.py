"""Items, with a name."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
switchyard = "expand"
floor = None


def upgrade() -> None:
    """A new table: nobody needs less than before."""
    op.create_table(
        "items",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("name", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
