"""What each error code of PostgreSQL and SQLite means to Strata, in a single table."""

import sqlite3
from enum import Enum, auto


class Meaning(Enum):
    # Another transaction had to go on: the same again may well succeed.
    TRY_AGAIN = auto()
    # The schema has changed since the statement was prepared. Nothing was done; the same again is planned anew.
    PLAN_AGAIN = auto()
    # It passes by itself, or once an operator has done something; what a COMMIT did may be unknown.
    UNAVAILABLE = auto()
    # It does not write: a standby, or a primary that has been told not to.
    WRONG_SERVER = auto()
    FULL = auto()
    CONFLICT = auto()
    # A statement that is wrong, or a value that should never have come so far.
    OUR_BUG = auto()


# By SQLSTATE, or by its class, which are the first two letters; whatever is missing is our bug.
# Source: PostgreSQL, Appendix A.
SQLSTATES = {
    "08": Meaning.UNAVAILABLE,  # connections, and all that PgBouncer refuses
    "23": Meaning.CONFLICT,
    "25006": Meaning.WRONG_SERVER,
    "25P03": Meaning.UNAVAILABLE,  # idle in a transaction for too long
    "25P04": Meaning.UNAVAILABLE,  # a transaction that took too long
    "26000": Meaning.PLAN_AGAIN,  # somebody has sent DISCARD or DEALLOCATE
    "28": Meaning.UNAVAILABLE,  # the role, its password, pg_hba.conf
    "3D000": Meaning.UNAVAILABLE,  # no such database
    "40000": Meaning.TRY_AGAIN,
    "40001": Meaning.TRY_AGAIN,  # a serialization failure
    "40003": Meaning.UNAVAILABLE,  # nobody knows whether it was done: never again by ourselves
    "40P01": Meaning.TRY_AGAIN,  # a deadlock
    "42501": Meaning.UNAVAILABLE,  # privileges that the role had, or should have
    "53": Meaning.UNAVAILABLE,  # memory, connections, `temp_file_limit`
    "53100": Meaning.FULL,
    "55": Meaning.UNAVAILABLE,  # locks, objects in use
    "57": Meaning.UNAVAILABLE,  # shutdown, start-up, statement_timeout
    "58": Meaning.UNAVAILABLE,  # the machine below PostgreSQL
    "72000": Meaning.TRY_AGAIN,  # the snapshot was too old
    "F0": Meaning.UNAVAILABLE,  # its configuration
    "XX": Meaning.UNAVAILABLE,  # damaged data, bugs of its own
}
# By extended result code, or by the primary one in its last byte.
# Source: https://sqlite.org/rescode.html
SQLITE_CODES = {
    sqlite3.SQLITE_INTERNAL: Meaning.UNAVAILABLE,
    sqlite3.SQLITE_PERM: Meaning.UNAVAILABLE,
    sqlite3.SQLITE_BUSY: Meaning.UNAVAILABLE,  # has waited for `busy_timeout`
    sqlite3.SQLITE_BUSY_SNAPSHOT: Meaning.TRY_AGAIN,  # did not wait: what it has read is old
    sqlite3.SQLITE_LOCKED: Meaning.UNAVAILABLE,
    sqlite3.SQLITE_NOMEM: Meaning.UNAVAILABLE,
    sqlite3.SQLITE_READONLY: Meaning.UNAVAILABLE,
    sqlite3.SQLITE_INTERRUPT: Meaning.UNAVAILABLE,
    sqlite3.SQLITE_IOERR: Meaning.UNAVAILABLE,
    sqlite3.SQLITE_IOERR_SHMSIZE: Meaning.FULL,  # the index of the WAL cannot grow
    sqlite3.SQLITE_CORRUPT: Meaning.UNAVAILABLE,
    sqlite3.SQLITE_FULL: Meaning.FULL,
    sqlite3.SQLITE_CANTOPEN: Meaning.UNAVAILABLE,
    sqlite3.SQLITE_PROTOCOL: Meaning.UNAVAILABLE,  # locks of the WAL
    sqlite3.SQLITE_SCHEMA: Meaning.PLAN_AGAIN,  # more often than SQLite itself plans again
    sqlite3.SQLITE_CONSTRAINT: Meaning.CONFLICT,
    sqlite3.SQLITE_NOLFS: Meaning.UNAVAILABLE,
    sqlite3.SQLITE_FORMAT: Meaning.UNAVAILABLE,
    sqlite3.SQLITE_NOTADB: Meaning.UNAVAILABLE,
}
# What does not get better while a server that starts waits for it.
HOPELESS_STATES = ("28", "3D", "42501")
HOPELESS_SQLITE = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_PERM}
# With these a server or a pooler ends the connection.
CONNECTION_ENDS = ("08", "25P03", "25P04", "57P01", "57P02", "57P03", "57P05")
# What a connection would go on saying after all is well again: a file that was opened read-only stays so, and what a
# session had prepared is gone.
SPOILED_STATES = {"26000"}
SPOILED_SQLITE = {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOTADB,
}


def meaning_of_state(state: str) -> Meaning:
    return SQLSTATES.get(state) or SQLSTATES.get(state[:2], Meaning.OUR_BUG)


def meaning_of_sqlite(code: int) -> Meaning:
    return SQLITE_CODES.get(code) or SQLITE_CODES.get(primary(code), Meaning.OUR_BUG)


def primary(code: int) -> int:
    """SQLite's code without what it says beyond."""
    return code & 0xFF
