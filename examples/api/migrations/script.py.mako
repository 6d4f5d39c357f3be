"""${message}."""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
# "expand", or "contract" if it takes away what the version before this one needs.
switchyard = "expand"
# Lowest revision whose application runs on the result; a contract has to name it.
floor = None


def upgrade() -> None:
    """Say why it is what it says it is."""
    ${upgrades if upgrades else "op.execute(\"SELECT 1\")"}
