"""Totals are exact up to a bound, and cost no more beyond it."""

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.crud.estimate import MAX_COUNTED
from app.models.user import User
from tests.factories import Factory

ITEMS = "/api/v1/items"


async def fill(session: AsyncSession, owner: User, count: int) -> None:
    await session.execute(
        text(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count) "
            "INSERT INTO items (owner_id, title, price, tax_rate, stock, is_done, version, created_at, updated_at) "
            "SELECT :owner, 'item ' || n, 1, 0, 0, false, 1, '2026-01-01 00:00:00', '2026-01-01 00:00:00' FROM numbers"
        ),
        {"owner": owner.id, "count": count},
    )
    await session.execute(text("ANALYZE items"))
    await session.commit()


@pytest.mark.parametrize("count", [MAX_COUNTED - 1, MAX_COUNTED])
async def test_up_to_the_bound_the_total_is_exact(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, count: int
) -> None:
    alice = await make.user()
    await fill(session, alice, count)
    headers = await make.bearer(alice)
    assert (await client.get(ITEMS, headers=headers)).json()["total"] == count
    assert (await client.get(f"{ITEMS}?skip={count}", headers=headers)).json()["total"] == count, "on an empty page too"


async def test_beyond_it_the_total_is_an_estimate_that_tells_that_there_are_more(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice, bob = await make.user(), await make.user()
    await fill(session, alice, MAX_COUNTED + 2000)
    await fill(session, bob, 10)
    headers = await make.bearer(alice)
    total = (await client.get(ITEMS, headers=headers)).json()["total"]
    assert total > MAX_COUNTED
    assert total == pytest.approx(MAX_COUNTED + 2010, rel=0.2)
    mine = (await client.get(f"{ITEMS}?owner=me", headers=headers)).json()["total"]
    assert mine > MAX_COUNTED
    assert (await client.get(f"{ITEMS}?owner={bob.id}", headers=headers)).json()["total"] == 10
    assert (await client.get(f"{ITEMS}?include_total=false", headers=headers)).json()["total"] is None
