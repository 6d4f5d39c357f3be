"""Where the database is, out of the variables that the platform gives to a container.

DATABASE_URL, or DATABASE_HOST, DATABASE_PORT, DATABASE_NAME, DATABASE_USERNAME and DATABASE_PASSWORD, and
perhaps DATABASE_SSLMODE. libpq's default takes TLS wherever the server offers it; one on RDS demands it.
"""

import os
from urllib.parse import quote

VARIABLES = ("DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME", "DATABASE_USERNAME", "DATABASE_PASSWORD")


class NoDatabase(Exception):
    """The variables don't say where it is."""


def url() -> str:
    """The address with the password in it, for drivers alone. Raises NoDatabase."""
    given = os.environ.get("DATABASE_URL")
    if given:
        return given
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    if missing:
        raise NoDatabase(f"no database is known: DATABASE_URL is not set, nor is {', '.join(missing)}")
    host, port, name, user, password = (quote(os.environ[name], safe="") for name in VARIABLES)
    mode = os.environ.get("DATABASE_SSLMODE")
    return f"postgresql://{user}:{password}@{host}:{port}/{name}" + (f"?sslmode={mode}" if mode else "")
