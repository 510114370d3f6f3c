"""Startup checks that Strata can use a database, where later errors would be less clear."""

from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.engine import URL

from app.core.db.url.database_url import shown_url

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

QUESTION = "SELECT current_setting('server_encoding'), current_schema(), version()"
COCKROACH = "is CockroachDB, which lacks what Strata needs: use PostgreSQL"
ENCODING = (
    "has the encoding {}, which cannot hold all that people write: make one with "
    "CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0, and take the data there with pg_dump and pg_restore"
)
SCHEMA = "has no schema of its search_path, or none that this role may use: CREATE SCHEMA name, or mend search_path"


class UnfitDatabaseError(Exception):
    """The database responds, and Strata cannot use it; the message says why and what to do."""


async def check_fitness(connection: "AsyncConnection", url: URL) -> None:
    """Ask the database what it is, which is what a first statement is good for anyway.

    Raises:
        UnfitDatabaseError: if its encoding is not UTF8, its schema is missing, or it is no PostgreSQL.
    """
    if connection.dialect.name == "sqlite":
        await connection.execute(text("SELECT 1"))  # UTF-16 holds the same characters
        return
    encoding, schema, version = (await connection.execute(text(QUESTION))).one()
    if (fault := fault_of(encoding, schema, version)) is not None:
        raise UnfitDatabaseError(f"The database {shown_url(url)} {fault}.")


def fault_of(encoding: str, schema: str | None, version: str) -> str | None:
    if version.startswith("CockroachDB"):
        return COCKROACH
    if encoding != "UTF8":
        return ENCODING.format(encoding)
    return SCHEMA if schema is None else None
