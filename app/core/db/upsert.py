"""INSERT with ON CONFLICT on either database."""

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession


def insert(session: AsyncSession, model: type[Any]) -> postgresql.Insert | sqlite.Insert:
    """INSERT with the database's own ON CONFLICT, which the two write alike."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    return sqlite.insert(model) if is_sqlite else postgresql.insert(model)
