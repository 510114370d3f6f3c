"""What the databases' errors mean."""

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

# SQLSTATEs of a server that goes down or has no room, and what SQLite says where a server would.
OUT_OF_REACH = ("08", "57P", "53300")
# SQLSTATEs of a transaction that had to make way: a serialization failure, a deadlock.
MADE_WAY = {"40001", "40P01"}
LOCK_TIMED_OUT = "55P03"
READ_ONLY = "25006"
# Of a connection that is lost, and of a server that ends it.
CONNECTION_ENDS = ("08", "57P01", "57P02", "57P03", "57P05")
SQLITE_OUT_OF_REACH = {"database is locked", "unable to open database file", "disk I/O error"}


def is_connection_failure(error: Exception) -> bool:
    """Whether the database was out of reach, or every connection busy, as opposed to answering with an error."""
    if isinstance(error, DBAPIError):
        state = sqlstate(error) or ""
        return error.connection_invalidated or state.startswith(OUT_OF_REACH) or str(error.orig) in SQLITE_OUT_OF_REACH
    return isinstance(error, OSError | PoolTimeoutError)


def is_serialization_failure(error: Exception) -> bool:
    """Whether PostgreSQL ended a transaction so that another could go on: the same again may well succeed."""
    return sqlstate(error) in MADE_WAY


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's five-letter error code, wherever the wrappers have put it; None on SQLite."""
    original = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(original, "sqlstate", None)
    return state if isinstance(state, str) else None


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


def is_wrong_server(error: BaseException) -> bool:
    """Whether the server takes no writes: it is not the primary any more."""
    return sqlstate(error) == READ_ONLY


def loses_connection(error: BaseException) -> bool:
    """Whether the server or a pooler ends the connection with this error."""
    return (sqlstate(error) or "").startswith(CONNECTION_ENDS)


def is_worth_repeating(error: DBAPIError) -> bool:
    """Whether the connection was lost, so that another one may serve; not because it took too long."""
    return error.connection_invalidated and not isinstance(error.orig, OSError)
