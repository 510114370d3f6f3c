"""What went wrong, in words that say what to mend."""

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from app.core.config import SettingsError
from app.core.database_errors import sqlstate
from app.core.database_fitness import UnfitDatabaseError
from app.core.errors import AppError
from app.core.modules import ModuleError
from app.core.setting_faults import describe_fault

MISSING_TABLES = "The database has no tables yet: run `strata db upgrade`."
HINTS = {
    "42P01": MISSING_TABLES,
    "28P01": "The database refuses this user or password: check DATABASE_URL or DB_USER and DB_PASSWORD.",
    "28000": "The database has no such role: check DATABASE_URL or DB_USER.",
    "3D000": "There is no such database: create it (`createdb NAME`) or mend DATABASE_URL.",
}


class MistakeError(Exception):
    """What a command is asked for cannot be done; the message says why, and what to do instead."""


def explain(error: Exception) -> list[str] | None:
    """Lines for a mistake that the user can mend; None for a defect of ours, whose traceback is wanted."""
    match error:
        case SettingsError():
            return [line for fault in error.faults for line in fault.splitlines()]
        case ValidationError():
            return [describe_fault(fault) for fault in error.errors()]
        case AppError():
            return [error.detail]
        case ModuleError() | MistakeError() | UnfitDatabaseError():
            return [str(error)]
        case DBAPIError() | OSError():
            return [explain_outage(error)]
    # By name: importing Alembic's class would cost every command the time of importing Alembic.
    is_command_error = any(kind.__name__ == "CommandError" for kind in type(error).__mro__)
    return [str(error)] if is_command_error else None


def explain_outage(error: DBAPIError | OSError) -> str:
    hint = HINTS.get(sqlstate(error) or "")
    if hint is not None:
        return hint
    if isinstance(error, OSError) and error.filename is not None:
        return f"Cannot use {error.filename}: {error.strerror}. Check DATA_DIR."
    if "no such table" in str(error):
        return MISSING_TABLES
    cause = error.orig if isinstance(error, DBAPIError) else error
    return f"The database cannot be used: {cause}"
