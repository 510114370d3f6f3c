"""What the application sends to the database, counted: a list must not cost more the more it shows."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.db.driver.pool import DriverPool
from app.core.db.engine import Database
from app.core.db.prepared import Prepared, Row

type Statement = tuple[str, tuple[Any, ...]]
type MaxQueries = Callable[[int], AbstractContextManager[list[Statement]]]

# Drivers differ in which of these pass a cursor, and the savepoints stand for a request's BEGIN and COMMIT, since a
# test's sessions share one transaction. What is counted is what asks the database something.
TRANSACTION_CONTROL = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


@contextmanager
def statements_on(engine: AsyncEngine) -> Iterator[list[Statement]]:
    """What is sent to the database meanwhile."""
    sent: list[Statement] = []

    def record(_: Connection, __: object, statement: str, parameters: tuple[Any, ...], *___: object) -> None:
        sent.append((statement, parameters))

    async def fetch(
        pool: DriverPool, connection: Any, prepared: Prepared, values: Mapping[str, Any], **options: bool
    ) -> list[Row]:
        if pool.engine.sync_engine.pool is engine.sync_engine.pool:
            form = prepared.for_driver(engine.dialect, asyncpg.Record)
            sent.append((form.sql, tuple(form.arguments(values))))
        return await original(pool, connection, prepared, values, **options)

    original = DriverPool.fetch
    event.listen(engine.sync_engine, "before_cursor_execute", record)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DriverPool, "fetch", fetch)
        try:
            yield sent
        finally:
            event.remove(engine.sync_engine, "before_cursor_execute", record)


@contextmanager
def at_most(limit: int, database: Database) -> Iterator[list[Statement]]:
    """Fail if more statements are sent to the primary and the replica meanwhile, or none, and show them.

    Whoever sends them: arrange before, and make assertions on rows after.
    """
    queries: list[Statement] = []
    with ExitStack() as stack:
        engines = dict.fromkeys([database.engine, database.read_engine])
        recorded = [stack.enter_context(statements_on(engine)) for engine in engines]
        yield queries
    sent = [statement for statements in recorded for statement in statements]
    queries += [statement for statement in sent if not is_transaction_control(statement)]
    # Without the parameters, which may be secrets.
    shown = "".join(f"\n{number:>3}. {sql}" for number, (sql, _) in enumerate(queries, start=1))
    assert len(queries) <= limit, f"{len(queries)} statements were sent, {limit} are allowed:{shown}"
    assert queries or not limit, "nothing was sent: was the request answered?"


def is_transaction_control(statement: Statement) -> bool:
    return statement[0].lstrip().upper().startswith(TRANSACTION_CONTROL)
