"""Batches: together they show each row once, and cost one pass over an index whatever a filter finds."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.crud.audit import RECENT, audit
from app.crud.batch import Batch, Place, newest_ids
from app.crud.item import ItemFilter, items
from app.models.audit import Action, AuditEvent
from app.models.item import Item
from app.models.user import User
from app.services.batches import batches
from tests.factories import Factory
from tests.statements import Statement, statements_on

ROWS, LIMIT = 2000, 30
FILTERS = {
    "all": ItemFilter(),
    "open ones": ItemFilter(is_done=False),
    "closed ones": ItemFilter(is_done=True),
    "a price": ItemFilter(min_price=Decimal(500), max_price=Decimal(503)),
    "a word": ItemFilter(q="item 77"),
    "nothing": ItemFilter(q="not there"),
}


@pytest.fixture
async def owner(session: AsyncSession, make: Factory) -> User:
    owner, other = await make.user(), await make.user()
    rows = [
        {
            "owner_id": owner.id if number % 4 else other.id,
            "title": f"item {number}",
            "price": Decimal(number),
            "is_done": number % 7 == 0,
            "version": 1,
        }
        for number in range(ROWS)
    ]
    await session.execute(insert(Item), rows)
    await session.commit()
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(text("ANALYZE items"))
    return owner


async def scanned(services: AppServices, filter_: ItemFilter) -> list[Any]:
    async with services.database.read() as session:
        (last_id,) = await newest_ids(session, items)

    async def read(session: AsyncSession, after: Place | None) -> Batch:
        return await items.scan(session, filter_, after, last_id, LIMIT)

    return [row async for batch in batches(services.database.read, read) for row in batch]


async def plan_of(session: AsyncSession, statement: Statement) -> str:
    explain = "EXPLAIN QUERY PLAN" if session.get_bind().dialect.name == "sqlite" else "EXPLAIN"
    connection = await session.connection()
    rows = await connection.exec_driver_sql(f"{explain} {statement[0]}", statement[1])
    return "\n".join(str(row[-1]) for row in rows)


@pytest.mark.usefixtures("owner")
@pytest.mark.parametrize("name", FILTERS)
async def test_a_scan_finds_what_the_list_does_and_sorts_nothing(
    services: AppServices, session: AsyncSession, name: str
) -> None:
    filter_ = FILTERS[name]
    shape, values = filter_.narrowed()
    expected = list(await session.scalars(items.selection.where(*shape.conditions()).order_by(Item.id), values))
    assert bool(expected) is (name != "nothing")
    with statements_on(services.database.read_engine) as sent:
        found = await scanned(services, filter_)
    assert [row.id for row in found] == [item.id for item in expected]
    read = [statement for statement in sent if "ORDER BY" in statement[0]]
    assert len(read) <= len(found) // LIMIT + 1
    if session.get_bind().dialect.name == "postgresql" and len(found) < ROWS / 10:
        return  # it knows that there are few, and may sort them
    for statement in [read[0], read[-1]]:
        plan = await plan_of(session, statement)
        assert "INTEGER PRIMARY KEY" in plan or "pk_items" in plan, plan
        assert "TEMP B-TREE" not in plan


async def test_an_owners_items_come_from_the_owners_index(
    services: AppServices, session: AsyncSession, owner: User
) -> None:
    expected = set(await session.scalars(items.selection.with_only_columns(Item.id).where(Item.owner_id == owner.id)))

    async def read(session: AsyncSession, after: Place | None) -> Batch:
        return await items.batch(session, ItemFilter(owner_id=owner.id), after, max(expected), LIMIT)

    with statements_on(services.database.engine) as sent:
        found = [row.id async for batch in batches(services.database.primary, read) for row in batch]
    assert (len(found), set(found)) == (len(expected), expected)
    if session.get_bind().dialect.name == "postgresql":
        return  # so few rows it may sort
    plan = await plan_of(session, [statement for statement in sent if "ORDER BY" in statement[0]][1])
    assert "ix_items_owner_id_created_at_id" in plan
    assert "TEMP B-TREE" not in plan


async def test_a_device_is_looked_for_among_the_latest_events_alone(session: AsyncSession, make: Factory) -> None:
    alice = await make.user()

    async def add(action: Action, user_agent: str, count: int = 1) -> None:
        event = {"action": action, "actor_id": alice.id, "subject_id": alice.id, "user_agent": user_agent}
        await session.execute(insert(AuditEvent), [{**event, "details": {}}] * count)
        await session.commit()

    assert await audit.knows_device(session, alice.id, "a phone"), "the first sign-in is from no new device"
    await add(Action.SIGNED_IN, "a phone")
    assert await audit.knows_device(session, alice.id, "a phone")
    assert not await audit.knows_device(session, alice.id, "a laptop")
    await add(Action.USER_CHANGED, "a laptop", RECENT - 1)
    assert await audit.knows_device(session, alice.id, "a phone")
    assert not await audit.knows_device(session, alice.id, "a laptop")
    await add(Action.USER_CHANGED, "a laptop")
    assert not await audit.knows_device(session, alice.id, "a phone"), "too long ago: better a mail too many"
