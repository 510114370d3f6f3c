"""Whether the caller is still who they were is one question, however it is asked."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import bindparam, func, update

from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.core.db.caller_check import CallerCheck
from app.core.db.engine import Database
from app.core.db.prepared import Prepared
from app.core.db.session import fetch
from app.crud.account import Account
from app.crud.device_session import caller_check, sessions
from app.models.device_session import DeviceSession
from app.models.generation import Generation
from app.models.user import Role, User

pytestmark = pytest.mark.real_database

TABLE = Generation.metadata.tables["generations"]
WRITE = Prepared(
    TABLE.update()
    .values(number=2, updated_at=func.now())
    .where(TABLE.c.resource == bindparam("wanted"))
    .returning(TABLE.c.number)
)


class Device:
    """A signed-in user, as a request knew them a moment ago."""

    def __init__(self, database: Database, row: DeviceSession, user: User) -> None:
        self.database = database
        self.id, self.key, self.user_id = row.id, row.key, user.id
        self.account: Account | None = None

    async def find(self) -> Account | None:
        async with self.database.primary() as session:
            found = await sessions.find_account(session, self.id, self.key, self.user_id, utc_now())
        return found[0] if found else None

    @property
    def check(self) -> CallerCheck:
        assert self.account is not None
        return caller_check(self.id, self.key, self.account, utc_now())

    async def change(self, model: type[User | DeviceSession], **values: object) -> None:
        async with self.database.transaction() as session:
            await session.execute(update(model).values(values))


@pytest.fixture
async def device(real_settings: Settings) -> AsyncIterator[Device]:
    database = Database(real_settings)
    async with database.transaction() as session:
        user = User(username="alice", email="alice@example.com", hashed_password="none")
        session.add(user)
        session.add(Generation(resource="there", number=1))
        await session.flush()
        row = DeviceSession(user_id=user.id, scope="", rotated_at=utc_now(), expires_at=utc_now() + timedelta(days=1))
        session.add(row)
    device = Device(database, row, user)
    device.account = await device.find()
    yield device
    await database.close()


async def end(device: Device) -> None:
    async with device.database.transaction() as session:
        await sessions.end_all(session, device.user_id)


async def expire(device: Device) -> None:
    await device.change(DeviceSession, expires_at=utc_now() - timedelta(seconds=1))


async def deactivate(device: Device) -> None:
    await device.change(User, is_active=False)


async def promote(device: Device) -> None:
    await device.change(User, role=Role.ADMIN)


async def take_id(device: Device) -> None:
    """As after a restore, when ids come again."""
    await device.change(DeviceSession, key="0" * 32)


async def stay(device: Device) -> None:
    await device.change(User, full_name="Alice")


async def by_statement(device: Device) -> bool:
    async with device.database.transaction() as session:
        return bool(await fetch(session, device.check.condition.statement, **device.check.values))


async def by_begin(device: Device) -> bool:
    """With BEGIN, where the driver begins; there is no such thing on SQLite."""
    database = device.database
    if database.pool is None:
        return await by_statement(device)
    loan = await database.pool.acquire()
    try:
        return await loan.execute(device.check.sql(database.engine.dialect)) == "SELECT 1"
    finally:
        await database.pool.release(loan)


async def by_condition(device: Device) -> bool:
    """In the WHERE of a write."""
    check = device.check
    async with device.database.transaction() as session:
        return bool(await fetch(session, WRITE.provided(check.condition.expression), wanted="there", **check.values))


async def by_account(device: Device) -> bool:
    """As a request asks which nobody knows yet; what has changed of the account it sees for itself."""
    found, known = await device.find(), device.account
    return found is not None and known is not None and found.role is known.role


type Change = Callable[[Device], Awaitable[None]]


@pytest.mark.parametrize(
    ("change", "verdict"),
    [(stay, True), (end, False), (expire, False), (deactivate, False), (promote, False), (take_id, False)],
)
async def test_all_ways_give_the_same_verdict(device: Device, change: Change, verdict: bool) -> None:
    await change(device)
    assert [await ask(device) for ask in (by_statement, by_begin, by_condition, by_account)] == [verdict] * 4


async def test_what_a_key_says_stays_a_value(device: Device) -> None:
    device.key = "' OR true OR '' = '"
    assert [await ask(device) for ask in (by_statement, by_begin, by_condition, by_account)] == [False] * 4


async def test_a_role_of_the_past_is_no_caller(device: Device) -> None:
    assert device.account is not None
    device.account = replace(device.account, role=Role.ADMIN)
    assert not any([await ask(device) for ask in (by_statement, by_begin, by_condition)])
