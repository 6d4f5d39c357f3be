"""How Alembic reaches the database: over the connection that `api.migrate` has locked, or one of its own."""

from typing import Any

from alembic import context
from api.migrate import connected, remember
from sqlalchemy import Connection


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        # A revision is there as a whole or not at all, whatever becomes of the ones after it.
        transaction_per_migration=True,
        on_version_apply=remember,
    )
    with context.begin_transaction():
        context.run_migrations()


given: Any = context.config.attributes.get("connection")
if given is not None:
    _migrate(given)
else:
    with connected() as own:
        _migrate(own)
