"""PostgreSQL serves the items' lists from indexes, whatever they are filtered and sorted by."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.models.user import User
from tests.factories import Factory
from tests.statements import Statement, statements_on

ROWS = 20_000
OWNERS = 200
# After five of them PostgreSQL decides whether to plan once for all.
TIMES = 8

# Where nearly everything is open, skipping the few closed rows costs the planner the same.
OPEN_BY_AGE = "ix_items_is_done_created_at_id|ix_items_created_at_id"


def scans(plan: dict[str, Any], *, with_total: bool) -> Iterator[tuple[str, str]]:
    """(kind of scan, index or table) of each leaf of a plan."""
    if "Scan" in plan["Node Type"]:
        yield plan["Node Type"], plan.get("Index Name") or plan.get("Relation Name", "")
    for child in plan.get("Plans", []):
        # The total is another question, asked on the way.
        if with_total or child.get("Parent Relationship") != "InitPlan":
            yield from scans(child, with_total=with_total)


async def explain(session: AsyncSession, statement: Statement, *, with_total: bool = False) -> list[tuple[str, str]]:
    sql, parameters = statement
    connection = await session.connection()
    rows = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}", parameters)
    raw = rows.scalar_one()
    plan = json.loads(raw) if isinstance(raw, str) else raw
    return list(scans(plan[0]["Plan"], with_total=with_total))


async def fill(session: AsyncSession, make: Factory) -> User:
    """Many items of many owners, one of whom is returned."""
    owners = [await make.user() for _ in range(2)]
    await session.execute(
        text(
            "INSERT INTO items (owner_id, title, price, tax_rate, stock, is_done, version, created_at, updated_at) "
            "SELECT CASE WHEN n % :owners = 0 THEN CAST(:me AS bigint) ELSE CAST(:other AS bigint) END, "
            "'item ' || n, n / 100.0, 0, 0, n % 7 = 0, 1, now() - n * interval '1 second', now() "
            "FROM generate_series(1, :rows) n"
        ),
        {"owners": OWNERS, "me": owners[0].id, "other": owners[1].id, "rows": ROWS},
    )
    await session.execute(text("ANALYZE items"))
    await session.commit()
    return owners[0]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("", OPEN_BY_AGE),
        ("?sort=created_at", OPEN_BY_AGE),
        ("?is_done=true", "ix_items_is_done_created_at_id"),
        ("?is_done=any", "ix_items_created_at_id"),
        ("?sort=-id", "pk_items"),
        ("?sort=price", "ix_items_price_id"),
        ("?sort=-price", "ix_items_price_id"),
        ("?sort=title", "ix_items_title_id"),
        ("?sort=price&min_price=100&max_price=101", "ix_items_price_id"),
        ("?min_price=100.01&max_price=100.02", "ix_items_price_id"),
        ("?min_price=199.99", "ix_items_price_id"),
        ("?max_price=0.02", "ix_items_price_id"),
        ("?owner=me", "ix_items_owner_id_created_at_id"),
        ("?owner=me&is_done=any&sort=-created_at", "ix_items_owner_id_created_at_id"),
        ("?q=item", OPEN_BY_AGE),
        ("?skip=1000", OPEN_BY_AGE),
    ],
)
async def test_each_list_is_served_by_an_index(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, services: AppServices, query: str, index: str
) -> None:
    if session.get_bind().dialect.name != "postgresql":
        pytest.skip("SQLite's planner is another one")
    owner = await fill(session, make)
    with statements_on(services.database.engine) as sent:
        answer = await client.get(f"/api/v1/items{query}", headers=await make.bearer(owner))
    assert answer.status_code == 200
    assert answer.json()["items"]
    (selection,) = [statement for statement in sent if "items.title" in statement[0] and "LIMIT" in statement[0]]
    found = await explain(session, selection)
    assert set(index.split("|")) & {name for _, name in found}, found
    assert ("Seq Scan", "items") not in found


async def test_the_next_page_starts_inside_the_index(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, services: AppServices
) -> None:
    """A keyset condition that the index cannot start from would read every row before the page."""
    if session.get_bind().dialect.name != "postgresql":
        pytest.skip("SQLite's planner is another one")
    alice = await make.user()
    for number in range(3):
        await make.item(alice, title=f"item {number}")
    headers = await make.bearer(alice)
    first = (await client.get("/api/v1/items?limit=1", headers=headers)).json()
    with statements_on(services.database.engine) as sent:
        params = {"cursor": first["next_cursor"], "include_total": "false"}
        await client.get("/api/v1/items", params=params, headers=headers)
    (selection,) = [statement for statement in sent if "LIMIT" in statement[0] and "items.title" in statement[0]]
    await session.execute(text("SET LOCAL enable_seqscan = off"))
    connection = await session.connection()
    rows = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {selection[0]}", selection[1])
    raw = rows.scalar_one()
    plan = json.dumps(json.loads(raw) if isinstance(raw, str) else raw)
    assert any(index in plan for index in OPEN_BY_AGE.split("|"))
    condition = plan.partition('"Index Cond": ')[2].partition('",')[0]
    assert "ROW(created_at, id) < ROW(" in condition


@pytest.mark.parametrize(
    ("query", "is_planned_once"),
    [
        ("", True),
        ("?owner=me", True),
        ("?owner=me&is_done=true", True),
        ("?q=item", False),
        ("?q=item&owner=me", False),
        ("?min_price=1", False),
        ("?q=item&skip=40", False),
    ],
)
async def test_a_list_is_planned_anew_where_the_plan_depends_on_what_it_is_asked_for(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, query: str, is_planned_once: bool
) -> None:
    """A plan that is good for a frequent word reads all rows for a rare one."""
    if session.get_bind().dialect.name != "postgresql":
        pytest.skip("SQLite's planner is another one")
    headers = await make.bearer(await fill(session, make))
    joint = "&" if query else "?"
    for _ in range(TIMES):
        await client.get(f"/api/v1/items{query}{joint}include_total=false", headers=headers)
    (plans,) = (
        await session.execute(
            text(
                "SELECT generic_plans, custom_plans FROM pg_prepared_statements "
                "WHERE statement LIKE '%items.title%' AND generic_plans + custom_plans >= :times"
            ),
            {"times": TIMES},
        )
    ).all()
    assert (plans.generic_plans > 0) is is_planned_once, plans


async def test_pages_from_far_back_are_planned_by_themselves(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, services: AppServices
) -> None:
    """A few of them would have PostgreSQL choose for all pages what is good for them: to read the whole table."""
    if session.get_bind().dialect.name != "postgresql":
        pytest.skip("SQLite has one plan for all")
    headers = await make.bearer(await fill(session, make))
    sent: list[str] = []
    for skip in (0, 40, 60, 4000, 9000):
        with statements_on(services.database.engine) as statements:
            await client.get(f"/api/v1/items?include_total=false&skip={skip}", headers=headers)
        sent += [sql for sql, _ in statements if "items.title" in sql]
    first, near, as_near, far, as_far = sent
    assert near == as_near
    assert far == as_far
    assert len({first, near, far}) == 3
