"""No name any more: only applications that know the title run on it."""

from alembic import op

revision = "0003"
down_revision = "0002"
switchyard = "contract"
floor = "0002"


def upgrade() -> None:
    """Runs when no version that knows the name alone is left."""
    op.execute("DROP TRIGGER items_name_and_title ON items")
    op.execute("DROP FUNCTION items_name_and_title()")
    op.drop_column("items", "name")
