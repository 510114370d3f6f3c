"""`/api/v2`: lists by cursor alone show every row once, whatever is equal and whatever is added meanwhile."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
import time_machine
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.audit import AuditEvent
from app.models.user import User
from tests.api.calls import code
from tests.api.test_orders import place
from tests.factories import Factory

V1 = "/api/v1"
V2 = "/api/v2"
ITEM_SORTS = ["id", "-id", "created_at", "-created_at", "price", "-price", "title", "-title"]
USER_SORTS = ["id", "-id", "username", "-username", "created_at", "-created_at"]

type Headers = dict[str, str]


async def page(client: httpx.AsyncClient, path: str, headers: Headers, **params: Any) -> dict[str, Any]:
    answer = await client.get(V2 + path, params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) == {"data", "meta"}
    assert set(body["meta"]) == {"next_cursor", "limit"}
    return body


async def walk(client: httpx.AsyncClient, path: str, headers: Headers, **params: Any) -> list[dict[str, Any]]:
    """All rows, page by page; none is empty and none has more than it may."""
    rows: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        found = await page(client, path, headers, **params, **cursor)
        assert 0 < len(found["data"]) <= params["limit"] == found["meta"]["limit"]
        rows += found["data"]
        if found["meta"]["next_cursor"] is None:
            return rows
        assert len(found["data"]) == params["limit"]
        cursor = {"cursor": found["meta"]["next_cursor"]}


def in_order(rows: list[dict[str, Any]], sort: str) -> bool:
    column = sort.removeprefix("-")
    read: Any = {"price": Decimal, "created_at": datetime.fromisoformat}.get(column, lambda value: value)
    keys = [(read(row[column]), row["id"]) for row in rows]
    return keys == sorted(set(keys), reverse=sort.startswith("-"))


@pytest.mark.parametrize("sort", ITEM_SORTS)
@pytest.mark.parametrize("limit", [1, 3, 12, 100])
async def test_items_are_each_shown_once_in_every_order(
    client: httpx.AsyncClient, make: Factory, sort: str, limit: int
) -> None:
    alice = await make.user()
    with time_machine.travel(datetime(2026, 1, 1, tzinfo=UTC), tick=False) as clock:
        for number in range(12):
            # Ties in each column, and the first ones in all.
            await make.item(alice, title="abc"[number // 3 % 3], price=Decimal("9.50" if number % 4 else "10"))
            clock.shift(timedelta(microseconds=number % 2))
    rows = await walk(client, "/items", await make.bearer(alice), sort=sort, limit=limit)
    assert len(rows) == 12
    assert in_order(rows, sort)


@pytest.mark.parametrize("sort", USER_SORTS)
async def test_accounts_are_each_shown_once_in_every_order(client: httpx.AsyncClient, make: Factory, sort: str) -> None:
    admin = await make.admin()
    with time_machine.travel(datetime(2026, 1, 1, tzinfo=UTC), tick=False):
        for _ in range(6):
            await make.user()
    rows = await walk(client, "/users", await make.bearer(admin), sort=sort, limit=2)
    assert len(rows) == 7
    assert in_order(rows, sort)


@pytest.mark.parametrize("sort", ["created_at", "-created_at"])
async def test_orders_are_each_shown_once_in_every_order(client: httpx.AsyncClient, make: Factory, sort: str) -> None:
    item, other = await make.item(await make.user(), stock=99), await make.item(await make.user(), stock=99)
    headers = await make.bearer(await make.user())
    with time_machine.travel(datetime.now(UTC), tick=False):
        orders = [await place(client, headers, (item.id, 1), (other.id, 1)) for _ in range(5)]
    rows = await walk(client, "/orders", headers, sort=sort, limit=2)
    assert rows == (orders[::-1] if sort.startswith("-") else orders)


@pytest.mark.parametrize("sort", ["id", "-id"])
async def test_events_are_each_shown_once_in_both_directions(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, sort: str
) -> None:
    headers = await make.bearer(await make.admin())
    for number in range(5):
        account = {"username": f"new{number}", "email": f"new{number}@example.com", "password": "a fine passphrase 7"}
        assert (await client.post(f"{V1}/users", json=account, headers=headers)).status_code == 201
    rows = await walk(client, "/admin/audit", headers, sort=sort, limit=2)
    assert len(rows) == await session.scalar(select(func.count()).select_from(AuditEvent)) == 5
    assert in_order(rows, sort)
    assert await session.scalar(select(func.count()).select_from(User)) == 6


@pytest.mark.parametrize("sort", ITEM_SORTS)
async def test_what_is_added_or_goes_meanwhile_moves_nothing_else(
    client: httpx.AsyncClient, make: Factory, sort: str
) -> None:
    alice = await make.user()
    with time_machine.travel(datetime.now(UTC), tick=False):
        before = [(await make.item(alice, title="same", price=Decimal(5))).id for _ in range(6)]
    headers = await make.bearer(alice)
    seen: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        found = await page(client, "/items", headers, sort=sort, limit=2, **cursor)
        seen += [row["id"] for row in found["data"]]
        if found["meta"]["next_cursor"] is None:
            break
        cursor = {"cursor": found["meta"]["next_cursor"]}
        for title, price in (("a", 1), ("same", 5), ("z", 9)):
            if len(seen) < 6:
                await make.item(alice, title=title, price=Decimal(price))
        if len(seen) == 2:
            # The very row that the cursor stands on.
            await client.delete(f"{V1}/items/{seen[-1]}", headers=headers)
    assert len(seen) == len(set(seen))
    assert set(before) <= set(seen)


async def test_there_is_no_offset_and_no_total(client: httpx.AsyncClient, make: Factory) -> None:
    alice = await make.user()
    for _ in range(3):
        await make.item(alice)
    headers = await make.bearer(alice)
    plain = await page(client, "/items", headers)
    assert await page(client, "/items", headers, skip=2, include_total="true") == plain
    assert plain["meta"] == {"next_cursor": None, "limit": 20}
    v1 = (await client.get(f"{V1}/items", headers=headers)).json()
    assert plain["data"] == v1["items"]


async def test_an_empty_list_has_no_next_page(client: httpx.AsyncClient, make: Factory) -> None:
    headers = await make.bearer(await make.user())
    for path in ("/items", "/orders"):
        assert await page(client, path, headers) == {"data": [], "meta": {"next_cursor": None, "limit": 20}}


async def test_a_cursor_works_only_where_it_belongs(client: httpx.AsyncClient, make: Factory) -> None:
    admin = await make.admin()
    for _ in range(2):
        await make.item(admin)
        await make.user()
    headers = await make.bearer(admin)
    cursor = (await page(client, "/items", headers, limit=1, sort="-id"))["meta"]["next_cursor"]
    v1 = (await client.get(f"{V1}/items", params={"limit": 1, "sort": "-id"}, headers=headers)).json()["next_cursor"]
    users = (await page(client, "/users", headers, limit=1, sort="-id"))["meta"]["next_cursor"]
    assert len((await page(client, "/items", headers, sort="-id", cursor=cursor))["data"]) == 1
    wrong: list[dict[str, Any]] = [
        {"cursor": v1},
        {"cursor": users},
        {"cursor": ""},
        {"cursor": "nonsense"},
        {"cursor": "é.è"},
        {"cursor": cursor, "sort": "id"},
        {"cursor": cursor, "owner": "me"},
        {"cursor": cursor, "is_done": "any"},
        *(
            {"cursor": cursor[:place] + "A0"[cursor[place] == "A"] + cursor[place + 1 :]}
            for place in range(len(cursor))
        ),
    ]
    for params in wrong:
        answer = await client.get(f"{V2}/items", params={"sort": "-id"} | params, headers=headers)
        assert code(answer) == (422, "invalid_cursor"), params
    there = await client.get(f"{V1}/items", params={"sort": "-id", "cursor": cursor}, headers=headers)
    assert code(there) == (422, "invalid_cursor"), "nor does v1 take one of v2"


@pytest.mark.parametrize("path", ["/items", "/orders", "/users", "/admin/audit"])
async def test_each_list_needs_a_token_and_a_scope(client: httpx.AsyncClient, make: Factory, path: str) -> None:
    assert code(await client.get(V2 + path)) == (401, "not_authenticated")
    headers = await make.bearer(await make.user(), scope="books:write")
    assert code(await client.get(V2 + path, headers=headers)) == (403, "insufficient_scope")


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 101}, {"sort": "owner"}, {"cursor": "x" * 1001}])
async def test_senseless_parameters_are_invalid(
    client: httpx.AsyncClient, make: Factory, params: dict[str, Any]
) -> None:
    answer = await client.get(f"{V2}/items", params=params, headers=await make.bearer(await make.user()))
    assert code(answer) == (422, "validation_error")
