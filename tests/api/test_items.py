"""`/items`: success, anonymous, someone else's, invalid and conflicting, for each call."""

import string
from decimal import Decimal
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.item import Item
from tests.factories import Factory

URL = "/api/v1/items"


async def test_a_created_item_is_answered_located_tagged_and_stored(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice = await make.user(username="alice")
    body = {"title": "  A bicycle ", "sku": "BIKE-1", "price": 19.99, "tax_rate": "0.19", "stock": 3}
    answer = await client.post(URL, json=body, headers=await make.bearer(alice))
    assert answer.status_code == 201
    item = answer.json()
    assert answer.headers["location"] == f"{URL}/{item['id']}"
    assert answer.headers["etag"] == '"1"'
    assert item.pop("created_at") == item.pop("updated_at")
    assert item == {
        "id": item["id"],
        "sku": "BIKE-1",
        "title": "A bicycle",
        "description": None,
        "price": "19.99",
        "tax_rate": "0.19",
        "price_with_tax": "23.79",
        "stock": 3,
        "is_done": False,
        "owner": {"id": alice.id, "username": "alice"},
        "version": 1,
    }
    stored = await session.get_one(Item, item["id"])
    assert (stored.title, stored.price, stored.tax_rate) == ("A bicycle", Decimal("19.99"), Decimal("0.19"))
    assert stored.owner_id == alice.id


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "title"),
        ({"title": ""}, "title"),
        ({"title": "   "}, "title"),
        ({"title": "x" * 101}, "title"),
        ({"title": "nul \0"}, "title"),
        ({"title": None}, "title"),
        ({"title": "x", "price": "1.999"}, "price"),
        ({"title": "x", "price": -1}, "price"),
        ({"title": "x", "price": "10000000"}, "price"),
        ({"title": "x", "price": "NaN"}, "price"),
        ({"title": "x", "price": True}, "price"),
        ({"title": "x", "tax_rate": "1.1"}, "tax_rate"),
        ({"title": "x", "stock": -1}, "stock"),
        ({"title": "x", "stock": 1.5}, "stock"),
        ({"title": "x", "stock": 2**31}, "stock"),
        ({"title": "x", "is_done": "yes"}, "is_done"),
        ({"title": "x", "sku": "no spaces"}, "sku"),
        ({"title": "x", "owner_id": 1}, "owner_id"),
        ({"title": "x", "id": 1}, "id"),
    ],
)
async def test_an_invalid_item_is_refused_with_the_field_that_is_wrong(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, body: dict[str, Any], field: str
) -> None:
    answer = await client.post(URL, json=body, headers=await make.bearer(await make.user()))
    assert answer.status_code == 422
    assert answer.json()["code"] == "validation_error"
    assert [error["loc"][:2] for error in answer.json()["errors"]] == [["body", field]]
    assert "items" not in answer.text, "of a text: characters"
    assert await session.scalar(select(func.count()).select_from(Item)) == 0


async def test_a_sku_is_unique_for_each_owner(client: httpx.AsyncClient, make: Factory) -> None:
    alice, bob = await make.user(), await make.user()
    body = {"title": "x", "sku": "A-1"}
    assert (await client.post(URL, json=body, headers=await make.bearer(alice))).status_code == 201
    again = await client.post(URL, json=body, headers=await make.bearer(alice))
    assert (again.status_code, again.json()["code"]) == (409, "sku_taken")
    assert (await client.post(URL, json=body, headers=await make.bearer(bob))).status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("POST", ""), ("GET", "/1"), ("PUT", "/1"), ("PATCH", "/1"), ("DELETE", "/1")],
)
async def test_anonymous_calls_are_challenged(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, URL + path, json={"title": "x"} if method in {"POST", "PUT"} else None)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_token_without_the_scope_is_told_which_one(client: httpx.AsyncClient, make: Factory) -> None:
    headers = await make.bearer(await make.user(), scope="items:read")
    assert (await client.get(URL, headers=headers)).status_code == 200
    answer = await client.post(URL, json={"title": "x"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="items:write"'


async def test_everyone_may_read_an_item_and_gets_304_for_a_version_they_have(
    client: httpx.AsyncClient, make: Factory
) -> None:
    item = await make.item(await make.user(username="alice"))
    headers = await make.bearer(await make.user())
    answer = await client.get(f"{URL}/{item.id}", headers=headers)
    assert answer.status_code == 200
    assert answer.json()["owner"]["username"] == "alice"
    for tag in (answer.headers["etag"], f"W/{answer.headers['etag']}", '"9", "1"', "*"):
        cached = await client.get(f"{URL}/{item.id}", headers=headers | {"If-None-Match": tag})
        assert (cached.status_code, cached.content, cached.headers["etag"]) == (304, b"", '"1"')
    other = await client.get(f"{URL}/{item.id}", headers=headers | {"If-None-Match": '"2"'})
    assert other.status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_an_unknown_item_is_not_found(client: httpx.AsyncClient, make: Factory, method: str) -> None:
    headers = await make.bearer(await make.user())
    body = {"title": "x"} if method in {"PUT", "PATCH"} else None
    answer = await client.request(method, f"{URL}/{2**63 - 1}", json=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "item_not_found")


@pytest.mark.parametrize("item_id", ["0", "-1", "x", str(2**63), "1e3"])
async def test_an_impossible_id_is_invalid(client: httpx.AsyncClient, make: Factory, item_id: str) -> None:
    answer = await client.get(f"{URL}/{item_id}", headers=await make.bearer(await make.user()))
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_only_the_owner_or_an_admin_changes_an_item(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, method: str
) -> None:
    item = await make.item(await make.user(), title="before")
    body = {"title": "after"} if method != "DELETE" else None
    stranger = await client.request(method, f"{URL}/{item.id}", json=body, headers=await make.bearer(await make.user()))
    assert (stranger.status_code, stranger.json()["code"]) == (403, "not_owner")
    assert (await session.get_one(Item, item.id)).title == "before"
    admin = await make.admin()
    narrowed = await client.request(
        method, f"{URL}/{item.id}", json=body, headers=await make.bearer(admin, scope="items:write")
    )
    assert narrowed.status_code == 403, "an admin's token that lacks the admin scope is an ordinary one"
    allowed = await client.request(method, f"{URL}/{item.id}", json=body, headers=await make.bearer(admin))
    assert allowed.status_code == (204 if method == "DELETE" else 200)


async def test_put_replaces_and_resets_what_it_leaves_out(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice = await make.user()
    item = await make.item(alice, description="old", price=Decimal(5), stock=7, is_done=True)
    answer = await client.put(f"{URL}/{item.id}", json={"title": "new"}, headers=await make.bearer(alice))
    assert answer.status_code == 200
    assert answer.headers["etag"] == '"2"'
    stored = await session.get_one(Item, item.id)
    assert (stored.title, stored.description, stored.price) == ("new", None, Decimal(0))
    assert (stored.stock, stored.is_done, stored.version) == (0, False, 2)


async def test_patch_changes_only_what_it_names(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice = await make.user()
    item = await make.item(alice, title="keep", description="clear me", price=Decimal("5.50"))
    answer = await client.patch(
        f"{URL}/{item.id}", json={"description": None, "stock": 2}, headers=await make.bearer(alice)
    )
    assert answer.status_code == 200
    assert (answer.json()["version"], answer.headers["etag"]) == (2, '"2"')
    assert answer.json()["updated_at"] > answer.json()["created_at"]
    stored = await session.get_one(Item, item.id)
    assert (stored.title, stored.description, stored.price, stored.stock) == ("keep", None, Decimal("5.50"), 2)


async def test_patch_refuses_null_where_nothing_may_be_missing(client: httpx.AsyncClient, make: Factory) -> None:
    alice = await make.user()
    item = await make.item(alice)
    answer = await client.patch(f"{URL}/{item.id}", json={"title": None}, headers=await make.bearer(alice))
    assert answer.status_code == 422


async def test_patch_to_a_taken_sku_conflicts(client: httpx.AsyncClient, make: Factory) -> None:
    alice = await make.user()
    await make.item(alice, sku="A")
    item = await make.item(alice, sku="B")
    answer = await client.patch(f"{URL}/{item.id}", json={"sku": "A"}, headers=await make.bearer(alice))
    assert (answer.status_code, answer.json()["code"]) == (409, "sku_taken")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_if_match_protects_a_newer_version(client: httpx.AsyncClient, make: Factory, method: str) -> None:
    alice = await make.user()
    item = await make.item(alice)
    headers = await make.bearer(alice)
    await client.patch(f"{URL}/{item.id}", json={"stock": 1}, headers=headers)
    body = {"title": "x"} if method != "DELETE" else None
    stale = await client.request(method, f"{URL}/{item.id}", json=body, headers=headers | {"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "version_mismatch")
    fresh = await client.request(method, f"{URL}/{item.id}", json=body, headers=headers | {"If-Match": '"2"'})
    assert fresh.status_code in {200, 204}


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_body_based_on_an_old_version_conflicts(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, method: str
) -> None:
    alice = await make.user()
    item = await make.item(alice, title="before")
    headers = await make.bearer(alice)
    stale = await client.request(method, f"{URL}/{item.id}", json={"title": "x", "version": 2}, headers=headers)
    assert (stale.status_code, stale.json()["code"]) == (409, "version_conflict")
    assert (await session.get_one(Item, item.id)).title == "before"
    fresh = await client.request(method, f"{URL}/{item.id}", json={"title": "x", "version": 1}, headers=headers)
    assert (fresh.status_code, fresh.json()["version"]) == (200, 2)


async def test_a_deleted_item_is_gone(client: httpx.AsyncClient, make: Factory, session: AsyncSession) -> None:
    alice = await make.user()
    item = await make.item(alice)
    headers = await make.bearer(alice)
    answer = await client.delete(f"{URL}/{item.id}", headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers
    assert (await client.get(f"{URL}/{item.id}", headers=headers)).status_code == 404
    assert await session.get(Item, item.id) is None


async def titles(client: httpx.AsyncClient, headers: dict[str, str], **params: Any) -> list[str]:
    answer = await client.get(URL, params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    return [item["title"] for item in answer.json()["items"]]


async def test_the_list_shows_everyones_open_items_newest_first(client: httpx.AsyncClient, make: Factory) -> None:
    alice, bob = await make.user(), await make.user()
    await make.item(alice, title="first")
    await make.item(bob, title="second")
    await make.item(bob, title="closed", is_done=True)
    headers = await make.bearer(alice)
    answer = await client.get(URL, headers=headers)
    page = answer.json()
    assert [item["title"] for item in page["items"]] == ["second", "first"]
    assert (page["total"], page["skip"], page["limit"], page["next_cursor"]) == (2, 0, 20, None)


async def test_filters_narrow_the_list(client: httpx.AsyncClient, make: Factory) -> None:
    alice, bob = await make.user(), await make.user()
    await make.item(alice, title="Red bicycle", price=Decimal(10))
    await make.item(alice, title="100% wool_sock", description="Knitted", price=Decimal(20))
    await make.item(bob, title="Car", description="RED, fast", price=Decimal(30))
    await make.item(bob, title="Sold", is_done=True, price=Decimal(30))
    headers = await make.bearer(alice)
    assert await titles(client, headers, q="red") == ["Car", "Red bicycle"]
    assert await titles(client, headers, q="%") == ["100% wool_sock"]
    assert await titles(client, headers, q="l_s") == ["100% wool_sock"]
    assert await titles(client, headers, q="_") == ["100% wool_sock"]
    assert await titles(client, headers, owner="me") == ["100% wool_sock", "Red bicycle"]
    assert await titles(client, headers, owner=bob.id) == ["Car"]
    assert await titles(client, headers, owner=bob.id, is_done="any") == ["Sold", "Car"]
    assert await titles(client, headers, is_done="true") == ["Sold"]
    assert await titles(client, headers, min_price="20") == ["Car", "100% wool_sock"]
    assert await titles(client, headers, max_price="10.00") == ["Red bicycle"]
    assert await titles(client, headers, min_price="10.01", max_price="29.99") == ["100% wool_sock"]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("id", "b c a"),
        ("-id", "a c b"),
        ("created_at", "b c a"),
        ("-created_at", "a c b"),
        ("price", "c b a"),
        ("-price", "a b c"),
        ("title", "a b c"),
        ("-title", "c b a"),
    ],
)
async def test_every_sort_works_by_offset_and_by_cursor(
    client: httpx.AsyncClient, make: Factory, sort: str, expected: str
) -> None:
    alice = await make.user()
    for title, price in (("b", "9.50"), ("c", "1"), ("a", "9.50")):
        await make.item(alice, title=title, price=Decimal(price))
    headers = await make.bearer(alice)
    assert await titles(client, headers, sort=sort) == expected.split()
    assert [*await titles(client, headers, sort=sort, limit=2), *await titles(client, headers, sort=sort, skip=2)] == (
        expected.split()
    )
    walked: list[str] = []
    cursor = None
    for _ in range(3):
        params = {"sort": sort, "limit": "1"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(URL, params=params, headers=headers)).json()
        walked += [item["title"] for item in page["items"]]
        assert page["total"] == 3
        cursor = page["next_cursor"]
    assert walked == expected.split()
    assert cursor is None


async def test_a_cursor_is_stable_under_inserts_and_deletes(client: httpx.AsyncClient, make: Factory) -> None:
    alice = await make.user()
    rows = [await make.item(alice, title=str(number)) for number in range(4)]
    headers = await make.bearer(alice)
    page = (await client.get(URL, params={"limit": 2}, headers=headers)).json()
    assert [item["title"] for item in page["items"]] == ["3", "2"]
    await make.item(alice, title="new")
    await client.delete(f"{URL}/{rows[2].id}", headers=headers)
    assert await titles(client, headers, cursor=page["next_cursor"]) == ["1", "0"]


async def test_a_cursor_works_only_where_it_belongs(client: httpx.AsyncClient, make: Factory) -> None:
    alice = await make.user()
    for _ in range(2):
        await make.item(alice)
    headers = await make.bearer(alice)
    cursor = (await client.get(URL, params={"limit": 1}, headers=headers)).json()["next_cursor"]
    assert len(await titles(client, headers, cursor=cursor)) == 1
    wrong: list[dict[str, Any]] = [
        *({"cursor": cursor[:-1] + letter} for letter in string.ascii_letters + string.digits if letter != cursor[-1]),
        {"cursor": "nonsense"},
        {"cursor": ""},
        {"cursor": "é.è"},
        {"cursor": cursor, "sort": "price"},
        {"cursor": cursor, "owner": "me"},
        {"cursor": cursor, "skip": 1},
    ]
    for params in wrong:
        answer = await client.get(URL, params=params, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor"), params


async def test_the_total_is_left_out_on_request(client: httpx.AsyncClient, make: Factory) -> None:
    alice = await make.user()
    await make.item(alice)
    answer = await client.get(URL, params={"include_total": "false"}, headers=await make.bearer(alice))
    assert answer.json()["total"] is None
    assert len(answer.json()["items"]) == 1


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0},
        {"limit": 101},
        {"skip": -1},
        {"skip": 2**63},
        {"sort": "owner"},
        {"sort": "stock"},
        {"owner": "you"},
        {"owner": 0},
        {"is_done": "maybe"},
        {"min_price": "x"},
        {"q": "nul\0"},
    ],
)
async def test_senseless_list_parameters_are_invalid(
    client: httpx.AsyncClient, make: Factory, params: dict[str, Any]
) -> None:
    answer = await client.get(URL, params=params, headers=await make.bearer(await make.user()))
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert answer.json()["errors"][0]["loc"][:2] == ["query", *params]


async def test_a_page_past_the_end_is_empty(client: httpx.AsyncClient, make: Factory) -> None:
    alice = await make.user()
    await make.item(alice)
    assert await titles(client, await make.bearer(alice), skip=10**12) == []
