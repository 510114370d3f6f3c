"""Error messages of the command that say what to fix."""

import sqlite3

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from app.core.config.faults import describe_fault
from app.core.config.settings import SettingsError
from app.core.db.error_codes import primary
from app.core.db.errors import sqlite_code, sqlstate
from app.core.db.fitness import UnfitDatabaseError
from app.core.errors import AppError
from app.core.plugins import PluginError

MISSING_TABLES = "The database has no tables yet: run `strata db upgrade`."
NO_ROOM = "The database has no room left: free some on its disk."
HINTS = {
    "42P01": MISSING_TABLES,
    "28P01": "The database refuses this user or password: check DATABASE_URL or DB_USER and DB_PASSWORD.",
    "28000": "The database has no such role: check DATABASE_URL or DB_USER.",
    "3D000": "There is no such database: create it (`createdb NAME`) or fix DATABASE_URL.",
    "25006": "The database does not write: DATABASE_URL or DB_HOST names a standby, or it is set to read-only.",
    "42501": "The role lacks a privilege: let it own the database, or fix DATABASE_URL or DB_USER.",
    "53100": NO_ROOM,
    "53300": "The database has no connection left: raise max_connections, or lower DB_POOL_SIZE or WEB_CONCURRENCY.",
    "55P03": "Something else holds a lock on what this changes: try again, or look at pg_locks.",
    "57014": "The database took longer than DB_STATEMENT_TIMEOUT: try again when it has less to do.",
    "57P03": "The database starts up or shuts down: try again shortly.",
}
# By SQLite's primary result code.
SQLITE_HINTS = {
    sqlite3.SQLITE_BUSY: "Another process writes to the database and does not end: stop it, or try again.",
    sqlite3.SQLITE_READONLY: "The database cannot be written: look at the owner, mode and mount of its file.",
    sqlite3.SQLITE_CORRUPT: "The database is damaged: restore a back-up (docs/operate.md).",
    sqlite3.SQLITE_FULL: NO_ROOM,
    sqlite3.SQLITE_CANTOPEN: "The database cannot be opened: look at its file and folder, or fix DATABASE_URL.",
    sqlite3.SQLITE_NOTADB: "The file is no SQLite database: fix DATABASE_URL, or move the file away.",
}


class MistakeError(Exception):
    """A user error; the message says what is wrong, and what to do instead."""


def explain(error: Exception) -> list[str] | None:
    """Messages for an error that the user can fix; None for a bug, whose traceback is shown."""
    match error:
        case SettingsError():
            return [line for fault in error.faults for line in fault.splitlines()]
        case ValidationError():
            return [describe_fault(fault) for fault in error.errors()]
        case AppError():
            return [error.detail]
        case PluginError() | MistakeError() | UnfitDatabaseError():
            return [str(error)]
        case DBAPIError() | OSError():
            return [explain_outage(error)]
    # By name: importing the class would cost every command the import of Alembic.
    is_command_error = any(kind.__name__ == "CommandError" for kind in type(error).__mro__)
    return [str(error)] if is_command_error else None


def explain_outage(error: DBAPIError | OSError) -> str:
    hint = HINTS.get(sqlstate(error) or "") or SQLITE_HINTS.get(primary(sqlite_code(error) or 0))
    if hint is not None:
        return hint
    if isinstance(error, OSError) and error.filename is not None:
        return f"Cannot use {error.filename}: {error.strerror}. {whose_file(str(error.filename))}"
    if "no such table" in str(error):
        return MISSING_TABLES
    cause = error.orig if isinstance(error, DBAPIError) else error
    return f"The database cannot be used: {cause}"


def whose_file(path: str) -> str:
    if "/.postgresql/" in path or path.endswith("/.pgpass"):
        return "The driver looks there for its keys: set HOME to a folder that this user may read."
    return "Check DATA_DIR."
