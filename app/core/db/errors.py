"""What went wrong in a database, independent of driver and wrapper exceptions."""

import errno
from collections.abc import Iterator

from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.core.db.error_codes import (
    CONNECTION_ENDS,
    HOPELESS_SQLITE,
    HOPELESS_STATES,
    SPOILED_SQLITE,
    SPOILED_STATES,
    Meaning,
    meaning_of_sqlite,
    meaning_of_state,
    primary,
)

# Whoever asks for the meaning of an error need not know where the table is.
__all__ = ["Meaning"]

LOCK_TIMED_OUT = "55P03"
# On an error, beside what SQLAlchemy says of it.
IS_COMMIT = "strata_is_commit"
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
REPEATABLE = {Meaning.TRY_AGAIN, Meaning.PLAN_AGAIN}


def meaning(error: BaseException) -> Meaning:
    """By the database's own code where there is one, else by the kind of error."""
    if is_outdated_plan(error):
        return Meaning.PLAN_AGAIN
    if (state := sqlstate(error)) is not None:
        return meaning_of_state(state)
    if (code := sqlite_code(error)) is not None:
        return meaning_of_sqlite(code)
    return meaning_without_code(error)


def meaning_without_code(error: BaseException) -> Meaning:
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return Meaning.FULL
    # MemoryError is how Python tells SQLITE_NOMEM.
    is_outage = isinstance(error, OSError | PoolTimeoutError | MemoryError) or has_lost_connection(error)
    return Meaning.UNAVAILABLE if is_outage or is_driver_confused(error) else Meaning.OUR_BUG


def is_connection_failure(error: BaseException) -> bool:
    """Whether the database was out of reach, every connection busy, or it refuses for now."""
    return meaning(error) in {Meaning.UNAVAILABLE, Meaning.WRONG_SERVER}


def is_wrong_server(error: BaseException) -> bool:
    """Whether the server does not write: most likely another one is the primary now."""
    return meaning(error) is Meaning.WRONG_SERVER


def loses_connection(error: BaseException) -> bool:
    """Whether the server or a pooler ends the connection with this error."""
    return (sqlstate(error) or "").startswith(CONNECTION_ENDS)


def is_worth_repeating(error: DBAPIError) -> bool:
    """Whether the connection was lost, so that another one may serve; not because it took too long."""
    return error.connection_invalidated and not isinstance(error.orig, OSError)


def mark_as_commit(error: DBAPIError) -> None:
    """Of a write that PostgreSQL commits by itself: as of a COMMIT, nobody knows whether it was done."""
    setattr(error, IS_COMMIT, True)


def is_undone(error: DBAPIError) -> bool:
    """Whether the connection was lost before the transaction's COMMIT was sent, or is given up as it takes no writes.

    SQLAlchemy's COMMIT has no statement.
    """
    is_before_commit = error.statement not in {None, "COMMIT"} and not getattr(error, IS_COMMIT, False)
    return is_worth_repeating(error) and (is_before_commit or is_wrong_server(error))


def is_repeatable(error: BaseException) -> bool:
    """Whether the database took a transaction back that may well succeed when it is run again."""
    return meaning(error) in REPEATABLE


def is_hopeless(error: BaseException) -> bool:
    """Whether waiting mends nothing: a wrong password, no such role or database, no privilege, another kind of file."""
    if (state := sqlstate(error)) is not None:
        return state.startswith(HOPELESS_STATES)
    code = sqlite_code(error)
    return code is not None and primary(code) in HOPELESS_SQLITE


def is_outdated_plan(error: BaseException) -> bool:
    """What asyncpg makes of `cached plan must not change result type`, and SQLAlchemy of that, without its code."""
    return any(type(part).__name__ == "InvalidCachedStatementError" for part in parts(error))


def is_driver_confused(error: BaseException) -> bool:
    """Whether asyncpg cannot make sense of what it hears; the statement may have done its work.

    By name: importing asyncpg would cost every command the time of that.
    """
    return any(kind.__name__ == "InternalClientError" for part in parts(error) for kind in type(part).__mro__)


def has_lost_connection(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated


def replace_spoiled_connection(context: ExceptionContext) -> None:
    """For SQLAlchemy's `handle_error`: a connection that would go on failing is not used again."""
    error = context.original_exception
    code = sqlite_code(error)
    if sqlstate(error) in SPOILED_STATES or (code is not None and primary(code) in SPOILED_SQLITE):
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False


def parts(error: BaseException) -> Iterator[BaseException]:
    """An error, without SQLAlchemy's wrapper, and what it was made of."""
    original = error.orig if isinstance(error, DBAPIError) else error
    if original is not None:
        yield original
        if original.__cause__ is not None and original is not error:
            yield original.__cause__


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's five-letter error code, wherever the wrappers have put it; None on SQLite."""
    for part in parts(error):
        state = getattr(part, "sqlstate", None)
        if isinstance(state, str):
            return state
    return None


def sqlite_code(error: BaseException) -> int | None:
    """SQLite's extended result code; None on PostgreSQL."""
    for part in parts(error):
        code = getattr(part, "sqlite_errorcode", None)
        if isinstance(code, int):
            return code
    return None


def code_name(error: BaseException) -> str | None:
    """As the database's documentation names it: `57014`, `SQLITE_FULL`."""
    named = (getattr(part, "sqlite_errorname", None) for part in parts(error))
    return sqlstate(error) or next((name for name in named if name is not None), None)


def violated_constraint(error: IntegrityError) -> str | None:
    """The name of the constraint that a write broke.

    SQLite names the columns ("UNIQUE constraint failed: items.owner_id, items.sku"), so there
    the name is made as `app/models/base.py` makes it: uq_items_owner_id_sku.
    """
    # The driver's error, or SQLAlchemy's of which it is the cause.
    for cause in (error.orig, error.orig.__cause__ if error.orig else None):
        name = getattr(cause, "constraint_name", None)
        if isinstance(name, str):
            return name
    prefix, _, columns = str(error.orig).partition("UNIQUE constraint failed: ")
    if prefix or not columns:
        return None
    table = columns.partition(".")[0]
    return "_".join(["uq", table, *(column.strip().partition(".")[2] for column in columns.split(","))])
