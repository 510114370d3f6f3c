"""The engine of an SQLite database."""

from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from app.core.config.settings import Settings
from app.core.db.errors import replace_spoiled_connection
from app.core.db.sqlite_files import make_database_file

# An execution option: how a transaction begins.
BEGIN = "strata_begin"
BUSY_TIMEOUT_MS = 30_000


def create_engine(url: URL, settings: Settings) -> AsyncEngine:
    engine = create_async_engine(url, echo=settings.db_echo, hide_parameters=not settings.db_echo)
    event.listen(engine.sync_engine, "do_connect", lambda *_: make_database_file(url))
    event.listen(engine.sync_engine, "connect", connect_sqlite)
    event.listen(engine.sync_engine, "begin", begin_sqlite)
    event.listen(engine.sync_engine, "handle_error", replace_spoiled_connection)
    return engine


def connect_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # The driver must not guess where transactions begin: `begin_sqlite` says so.
    connection.isolation_level = None
    # SQLite's own folds ASCII alone, and the search is to find "Äpfel" by "äpfel" as PostgreSQL does.
    connection.create_function("lower", 1, lower, deterministic=True)
    cursor = connection.cursor()
    # The time-out first: turning WAL on waits for other processes that do the same.
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def lower(text: Any) -> Any:
    return text.lower() if isinstance(text, str) else text


def begin_sqlite(connection: Connection) -> None:
    """Writers take the lock at once and queue; a read that turns into a write would fail as "locked"."""
    statement = connection.get_execution_options().get(BEGIN, "BEGIN IMMEDIATE")
    if statement is not None:
        connection.exec_driver_sql(statement)


def autocommitting(engine: AsyncEngine) -> AsyncEngine:
    # Not the driver's isolation level: resetting that would undo what `connect_sqlite` sets.
    return engine.execution_options(**{BEGIN: None})
