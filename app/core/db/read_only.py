"""Which statements a read session may send: on a replica a write would fail, elsewhere it would commit at once."""

import re
from functools import lru_cache
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

# What is not on this list is refused, COPY and CALL as well as INSERT.
READS = {"SELECT", "WITH", "VALUES", "TABLE", "EXPLAIN", "SHOW", "SET", "PRAGMA"}
TRANSACTION_CONTROL = {"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"}
COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
WORD = re.compile(r"[A-Z]+")
# In a CTE, behind EXPLAIN ANALYZE, or as SELECT INTO; locks (FOR UPDATE) are not writes.
WRITES_WITHIN = re.compile(
    r"\b(?:INTO|DELETE\s+FROM|(?<!FOR )(?<!KEY )UPDATE\s|CREATE|MERGE)\b|^\s*PRAGMA.*=", re.DOTALL
)


class ReadOnlySessionError(RuntimeError):
    """A read session was to write; nothing has been written."""

    def __init__(self) -> None:
        super().__init__("a read session cannot write; take SessionDep, or Database.transaction() outside of requests")


@lru_cache(maxsize=2048)
def is_read(sql: str) -> bool:
    bare = QUOTED.sub(" x ", COMMENT.sub(" ", sql)).upper()
    first = WORD.search(bare)
    if first is None or first.group() not in READS | TRANSACTION_CONTROL:
        return False
    return WRITES_WITHIN.search(bare) is None


def require_read(sql: str) -> None:
    """Raises ReadOnlySessionError."""
    if not is_read(sql):
        raise ReadOnlySessionError


def read_only(engine: AsyncEngine) -> AsyncEngine:
    """The same pool, for statements that read; whatever sends others, it is refused before they are sent."""
    reading = engine.execution_options()
    event.listen(reading.sync_engine, "before_cursor_execute", refuse_writes)
    return reading


def refuse_writes(_: object, __: object, statement: str, *___: Any) -> None:
    require_read(statement)
