"""Prepared statements straight on the driver: what fails, hangs or is lost there leaves nothing open behind it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import asyncpg
import pytest
from sqlalchemy import BigInteger, bindparam, column, func, literal_column, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.core.db.backend import Backend
from app.core.db.caller_check import CallerChangedError, CallerCheck, CallerCondition
from app.core.db.driver.lending_pool import LendingPool
from app.core.db.engine import Database
from app.core.db.errors import is_connection_failure, is_undone, is_worth_repeating, sqlstate
from app.core.db.prepared import Prepared
from app.core.db.session import WriteSession, fetch
from app.models.generation import Generation

pytestmark = pytest.mark.real_database

OF_THIS_DATABASE = "FROM pg_stat_activity WHERE datname = current_database()"
PID = Prepared(select(func.pg_backend_pid().label("pid")))
SLEEP = Prepared(select(func.pg_sleep(bindparam("seconds")).label("slept")))
DIVIDE = Prepared(select((literal_column("1") / bindparam("by", type_=BigInteger())).label("quotient")))
OPEN = Prepared(
    text(f"SELECT count(*) AS open {OF_THIS_DATABASE} AND state LIKE 'idle in %'").columns(column("open", BigInteger()))
)
ADD = Prepared(
    Generation.metadata.tables["generations"]
    .insert()
    .values(resource=bindparam("resource"), number=1, created_at=func.now(), updated_at=func.now())
    .returning(literal_column("resource"))
)
TABLE = Generation.metadata.tables["generations"]
NAMES = ("resource", "number", "created_at", "updated_at")
NEW = Prepared(
    TABLE.insert().values({name: bindparam(name) for name in NAMES}).returning(TABLE.c.resource), inserts=NAMES
)
REMOVE = Prepared(TABLE.delete().where(TABLE.c.resource == bindparam("wanted")).returning(TABLE.c.resource))
REMOVE_SLOWLY = Prepared(
    TABLE.delete().where(func.pg_sleep(bindparam("seconds")).is_(None)).returning(TABLE.c.resource)
)


def new(resource: str) -> dict[str, object]:
    return {"resource": resource, "number": 1, "created_at": utc_now(), "updated_at": utc_now()}


@pytest.fixture
async def database(real_settings: Settings) -> AsyncIterator[Database]:
    if real_settings.database.get_backend_name() != "postgresql":
        pytest.skip("SQLite has no such driver")
    small = {"db_pool_size": 2, "db_max_overflow": 2, "db_pool_timeout": 1}
    database = Database(real_settings.model_copy(update=small))
    yield database
    # Whatever a test did, each connection has come back, and none of them is within a transaction.
    pool = database.pool
    assert pool is not None
    assert pool.pool.checkedout() == 0
    for _ in range(pool.pool.size()):
        assert not pool.semaphore.locked()
        await pool.semaphore.acquire()
    assert pool.semaphore.locked()
    for _ in range(pool.pool.size()):
        pool.semaphore.release()
    async with database.primary() as session:
        (row,) = await fetch(session, OPEN)
    assert row.open == 0
    await database.close()


async def stored(database: Database) -> set[str]:
    async with database.primary() as session:
        return set(await session.scalars(select(Generation.resource)))


async def kill(database: Database) -> None:
    """All its connections."""
    url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(url)
    await connection.execute(f"SELECT pg_terminate_backend(pid, 1000) {OF_THIS_DATABASE} AND pid <> pg_backend_pid()")
    await connection.close()
    await asyncio.sleep(0.05)


async def test_a_connection_that_is_lost_in_a_transaction_is_told_as_that(database: Database) -> None:
    async def lose() -> None:
        async with database.transaction() as session:
            await fetch(session, PID)
            await kill(database)
            await fetch(session, PID)

    for _ in range(5):  # more than the pool has
        with pytest.raises(DBAPIError) as caught:
            await lose()
        assert is_connection_failure(caught.value)
    async with database.transaction() as session:
        await fetch(session, ADD, resource="after")
    assert await stored(database) == {"after"}


async def test_one_that_was_lost_while_idle_is_replaced_without_anybody_noticing(database: Database) -> None:
    for _ in range(5):
        async with database.primary() as session:
            await fetch(session, PID)
        await kill(database)


async def test_a_statement_that_fails_rolls_back_what_came_before(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as session:
            await fetch(session, ADD, resource="before")
            await fetch(session, DIVIDE, by=0)

    for _ in range(5):
        with pytest.raises(DBAPIError) as caught:
            await fail()
        assert sqlstate(caught.value) == "22012"
    assert await stored(database) == set()


async def test_a_request_that_is_cancelled_gives_its_connection_back(database: Database) -> None:
    async def write() -> None:
        async with database.transaction() as session:
            await fetch(session, ADD, resource="cancelled")
            await fetch(session, SLEEP, seconds=30)

    async def read() -> None:
        async with database.primary() as session:
            await fetch(session, SLEEP, seconds=30)

    for work in (write, read) * 4:
        task = asyncio.create_task(work())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await stored(database) == set()


async def test_a_connection_whose_statement_timed_out_is_not_used_again(database: Database) -> None:
    pool = database.pool
    assert pool is not None
    loan = await pool.acquire()
    pid = loan.driver.get_server_pid()
    with pytest.raises(DBAPIError) as caught:
        await loan.translating_errors("", loan.driver.execute("SELECT pg_sleep(30)", timeout=0.1))
    assert is_connection_failure(caught.value)
    await pool.release(loan)
    async with database.primary() as session:
        (row,) = await fetch(session, PID)
    assert row.pid != pid


async def test_whoever_waits_too_long_for_a_connection_is_told_so(database: Database) -> None:
    async with database.transaction() as first, database.transaction() as second:
        await fetch(first, PID)
        await fetch(second, PID)
        with pytest.raises(PoolTimeoutError) as caught:
            async with database.primary() as third:
                await fetch(third, PID)
    assert is_connection_failure(caught.value)


async def test_sqlalchemy_joins_what_the_driver_began_and_shares_its_end(database: Database) -> None:
    async with database.transaction() as session:
        await fetch(session, ADD, resource="driver")
        session.add(Generation(resource="entity", number=1))
        await session.flush()
        (row,) = await fetch(session, PID)
        assert await session.scalar(select(func.pg_backend_pid())) == row.pid
        assert await stored(database) == set()
    assert await stored(database) == {"driver", "entity"}
    with suppress(ZeroDivisionError):
        async with database.transaction() as session:
            await fetch(session, ADD, resource="other driver")
            session.add(Generation(resource="other entity", number=1))
            await session.flush()
            raise ZeroDivisionError
    assert await stored(database) == {"driver", "entity"}


async def test_what_sqlalchemy_began_the_driver_joins(database: Database) -> None:
    async with database.transaction() as session:
        session.add(Generation(resource="entity", number=1))
        await session.flush()
        await fetch(session, ADD, resource="driver")
        assert await stored(database) == set()
    assert await stored(database) == {"driver", "entity"}


async def test_an_entity_that_nobody_flushed_is_stored_with_what_the_driver_did(database: Database) -> None:
    async with database.transaction() as session:
        await fetch(session, ADD, resource="driver")
        session.add(Generation(resource="entity", number=1))
    assert await stored(database) == {"driver", "entity"}


async def test_a_savepoint_takes_back_what_prepared_statements_did_in_it(database: Database) -> None:
    async with database.transaction() as session:
        await fetch(session, ADD, resource="before")
        with suppress(ZeroDivisionError):
            async with database.savepoint(session):
                await fetch(session, ADD, resource="within")
                raise ZeroDivisionError
        await fetch(session, ADD, resource="after")
    assert await stored(database) == {"before", "after"}


@asynccontextmanager
async def single(database: Database, claim: CallerCheck | None = None) -> AsyncIterator[WriteSession]:
    async with database.transaction() as session:
        session.backend.autocommits, session.backend.caller_check = True, claim
        yield session


def checking(found: int) -> CallerCheck:
    condition = select(literal_column("1")).where(bindparam("found", type_=BigInteger()) > 0).exists()
    return CallerCheck(CallerCondition(condition), {"found": found})


async def test_a_single_statement_is_stored_when_it_returns(database: Database) -> None:
    for resource, claim in (("unclaimed", None), ("claimed", checking(1))):
        async with single(database, claim) as session:
            (row,) = await fetch(session, NEW, **new(resource))
            assert row.resource == resource
            assert not session.is_open
            assert resource in await stored(database)


async def test_a_single_statement_does_nothing_where_its_claim_does_not_hold(database: Database) -> None:
    async with single(database) as session:
        await fetch(session, NEW, **new("there"))
    for prepared, values in ((NEW, new("new")), (REMOVE, {"wanted": "there"})):
        with pytest.raises(CallerChangedError):
            async with single(database, checking(0)) as session:
                await fetch(session, prepared, **values)
        assert await stored(database) == {"there"}


async def test_a_statement_that_finds_nothing_is_no_claim_that_fails(database: Database) -> None:
    async with single(database, checking(1)) as session:
        assert await fetch(session, REMOVE, wanted="nothing") == []
        # Why, it may still be asked.
        assert len(await fetch(session, PID)) == 1


async def test_a_single_write_that_is_cut_off_may_have_been_done(database: Database) -> None:
    async def remove() -> None:
        async with single(database) as session:
            await fetch(session, REMOVE_SLOWLY, seconds=30)

    async with single(database) as session:
        await fetch(session, NEW, **new("there"))
    task = asyncio.create_task(remove())
    await asyncio.sleep(0.1)
    await kill(database)
    with pytest.raises(DBAPIError) as caught:
        await task
    assert is_worth_repeating(caught.value)
    assert not is_undone(caught.value)
    assert (caught.value.statement or "").startswith("DELETE")


async def test_nothing_may_follow_a_single_statement(database: Database) -> None:
    async def add_twice() -> None:
        async with single(database) as session:
            await fetch(session, ADD, resource="first")
            await fetch(session, ADD, resource="second")

    async def add_an_entity() -> None:
        async with single(database) as session:
            await fetch(session, ADD, resource="third")
            session.add(Generation(resource="fourth", number=1))

    for work in (add_twice, add_an_entity):
        with pytest.raises(RuntimeError, match="take SessionDep"):
            await work()
    assert await stored(database) == {"first", "third"}


async def test_what_expects_more_is_one_transaction(database: Database) -> None:
    with suppress(ZeroDivisionError):
        async with single(database) as session:
            session.require_transaction()
            await fetch(session, ADD, resource="first")
            await fetch(session, ADD, resource="second")
            raise ZeroDivisionError
    assert await stored(database) == set()


async def test_sqlalchemy_gets_a_connection_that_the_driver_keeps(database: Database) -> None:
    async with database.primary() as session:
        (lent,) = await fetch(session, PID)
    pool = database.engine.sync_engine.pool
    assert isinstance(pool, LendingPool)
    assert len(pool.idle) == 1
    async with database.engine.connect() as connection:
        assert await connection.scalar(select(func.pg_backend_pid())) == lent.pid
        assert pool.idle == []


async def test_sqlalchemy_waits_for_a_connection_that_the_driver_has_in_use(database: Database) -> None:
    async def ask() -> int:
        async with database.engine.connect() as connection:
            return int(await connection.scalar(select(func.pg_backend_pid())) or 0)

    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(database.engine.connect())
        async with database.transaction() as session:
            (used,) = await fetch(session, PID)
            waiting = asyncio.create_task(ask())
            await asyncio.sleep(0.1)
            assert not waiting.done()
        assert await waiting == used.pid


async def test_nothing_is_on_the_driver_where_a_pooler_is(real_settings: Settings) -> None:
    database = Database(real_settings.model_copy(update={"db_pgbouncer": True}))
    assert type(database.write().backend) is Backend
    assert type(database.read().backend) is Backend
    await database.close()
