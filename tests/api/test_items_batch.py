"""`/items/by-sku` and `/items/bulk`: what keeps a shop in step with another system; and looking for text."""

import asyncio
from collections import Counter
from decimal import Decimal
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.models.item import Item
from tests.api.calls import code
from tests.crud.test_item_plans import explain
from tests.factories import Factory
from tests.server import Server
from tests.statements import statements_on

ITEMS = "/api/v1/items"
BULK = f"{ITEMS}/bulk"

type Headers = dict[str, str]


def by_sku(sku: str) -> str:
    return f"{ITEMS}/by-sku/{sku}"


async def count(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(Item)) or 0


async def fresh(session: AsyncSession, item_id: int) -> Item:
    return await session.get_one(Item, item_id, populate_existing=True)


def writes(sent: list[tuple[str, Any]]) -> list[str]:
    """Those to items, of all statements."""
    return [sql for sql, _ in sent if "items" in sql and sql.split()[0] in {"INSERT", "UPDATE", "DELETE", "SELECT"}]


# By SKU


async def test_an_item_of_a_new_sku_is_made_and_one_of_a_known_sku_replaced(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice = await make.user(username="alice")
    headers = await make.bearer(alice)
    body = {"title": "Lamp", "description": "Bright", "price": "19.99", "tax_rate": "0.19", "stock": 3, "is_done": True}
    made = await client.put(by_sku("L-1"), json=body, headers=headers)
    assert made.status_code == 201
    item = made.json()
    assert (made.headers["location"], made.headers["etag"]) == (f"{ITEMS}/{item['id']}", '"1"')
    assert item == item | body | {"sku": "L-1", "version": 1, "owner": {"id": alice.id, "username": "alice"}}
    assert item["created_at"] == item["updated_at"]
    assert (await client.get(made.headers["location"], headers=headers)).json() == item

    replaced = await client.put(by_sku("L-1"), json={"title": "Lantern"}, headers=headers)
    assert (replaced.status_code, replaced.headers["etag"], "location" in replaced.headers) == (200, '"2"', False)
    after = replaced.json()
    defaults = {"description": None, "price": "0.00", "tax_rate": "0", "stock": 0, "is_done": False}
    assert after == item | defaults | {
        "title": "Lantern",
        "version": 2,
        "updated_at": after["updated_at"],
        "price_with_tax": "0.00",
    }
    assert after["updated_at"] > item["updated_at"]
    assert (await client.get(f"{ITEMS}/{item['id']}", headers=headers)).json() == after
    assert await count(session) == 1


async def test_someone_elses_item_of_the_same_sku_is_left_alone(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    theirs = await make.item(await make.user(), sku="L-1", title="theirs")
    for user in (await make.user(), await make.admin()):
        answer = await client.put(by_sku("L-1"), json={"title": "mine"}, headers=await make.bearer(user))
        assert (answer.status_code, answer.json()["owner"]["id"]) == (201, user.id)
        assert answer.json()["id"] != theirs.id
    stored = await fresh(session, theirs.id)
    assert (stored.title, stored.version) == ("theirs", 1)


async def test_if_match_guards_what_is_replaced_and_lets_nothing_be_made(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    headers = await make.bearer(await make.user())
    for tag in ("*", '"1"', '"0"'):
        answer = await client.put(by_sku("L-1"), json={"title": "x"}, headers=headers | {"If-Match": tag})
        assert code(answer) == (412, "version_mismatch"), tag
    assert await count(session) == 0
    item = (await client.put(by_sku("L-1"), json={"title": "one"}, headers=headers)).json()
    for tag in ('"2"', 'W/"2"', '"0"'):
        answer = await client.put(by_sku("L-1"), json={"title": "x"}, headers=headers | {"If-Match": tag})
        assert code(answer) == (412, "version_mismatch"), tag
    stored = await fresh(session, item["id"])
    assert (stored.title, stored.version) == ("one", 1)
    for version, tag in ((2, '"1"'), (3, "*"), (4, '"9", "3"')):
        answer = await client.put(by_sku("L-1"), json={"title": "two"}, headers=headers | {"If-Match": tag})
        assert (answer.status_code, answer.json()["version"]) == (200, version)


@pytest.mark.parametrize("sku", ["no%20spaces", "%C3%BC", "x" * 65, "%25"])
async def test_a_sku_of_another_form_is_invalid(client: httpx.AsyncClient, make: Factory, sku: str) -> None:
    answer = await client.put(by_sku(sku), json={"title": "x"}, headers=await make.bearer(await make.user()))
    assert code(answer) == (422, "validation_error")
    assert answer.json()["errors"][0]["loc"] == ["path", "sku"]


@pytest.mark.parametrize("sku", ["...", "-", "_", "bulk", "x" * 64])
async def test_every_sku_that_an_item_may_have_has_an_address(
    client: httpx.AsyncClient, make: Factory, sku: str
) -> None:
    headers = await make.bearer(await make.user())
    made = await client.post(ITEMS, json={"title": "x", "sku": sku}, headers=headers)
    replaced = await client.put(by_sku(sku), json={"title": "y"}, headers=headers)
    assert (replaced.status_code, replaced.json()["id"]) == (200, made.json()["id"])


async def test_an_upsert_needs_a_body_a_token_and_a_scope(client: httpx.AsyncClient, make: Factory) -> None:
    alice = await make.user()
    headers = await make.bearer(alice)
    wrong: list[dict[str, Any]] = [{}, {"title": "x", "sku": "L-2"}, {"title": "x", "version": 1}]
    for body in wrong:
        assert code(await client.put(by_sku("L-1"), json=body, headers=headers)) == (422, "validation_error")
    assert code(await client.put(by_sku("L-1"), json={"title": "x"})) == (401, "not_authenticated")
    reader = await make.bearer(alice, scope="items:read")
    assert code(await client.put(by_sku("L-1"), json={"title": "x"}, headers=reader)) == (403, "insufficient_scope")


async def test_an_upsert_is_one_statement_whether_the_item_is_new_or_not(
    client: httpx.AsyncClient, make: Factory, services: AppServices
) -> None:
    headers = await make.bearer(await make.user())
    for status in (201, 200):
        with statements_on(services.database.engine) as sent:
            answer = await client.put(by_sku("L-1"), json={"title": "x"}, headers=headers)
        assert answer.status_code == status
        assert len(writes(sent)) == 1, sent


@pytest.mark.real_database
async def test_of_twenty_upserts_of_one_sku_at_once_one_makes_the_item(server: Server) -> None:
    make = Factory(server.services)
    headers = await make.bearer(await make.user())
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        answers = await asyncio.gather(
            *(client.put(by_sku("L-1"), json={"title": f"x{number}"}, headers=headers) for number in range(20))
        )
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 19}
    assert sorted(answer.json()["version"] for answer in answers) == list(range(1, 21))
    [last] = [answer.json() for answer in answers if answer.json()["version"] == 20]
    async with server.services.database.primary() as session:
        [item] = await session.scalars(select(Item))
    assert (item.id, item.title, item.version) == (last["id"], last["title"], 20)


@pytest.mark.real_database
async def test_of_twenty_upserts_based_on_one_version_one_wins(server: Server) -> None:
    make = Factory(server.services)
    alice = await make.user()
    await make.item(alice, sku="L-1")
    headers = await make.bearer(alice) | {"If-Match": '"1"'}
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        answers = await asyncio.gather(
            *(client.put(by_sku("L-1"), json={"title": "x"}, headers=headers) for _ in range(20))
        )
    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 19}


# Many at once


async def test_many_items_are_made_and_their_ids_come_in_the_order_of_the_request(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice = await make.user()
    titles = [f"Item {number}" for number in (3, 1, 4, 1, 5)]
    items = [{"title": title, "sku": f"S-{number}", "price": "1.50"} for number, title in enumerate(titles)]
    answer = await client.post(BULK, json={"items": items}, headers=await make.bearer(alice))
    assert (answer.status_code, answer.json()["created"]) == (201, 5)
    ids = answer.json()["ids"]
    for id_, item in zip(ids, items, strict=True):
        stored = await fresh(session, id_)
        assert (stored.title, stored.sku, stored.owner_id) == (item["title"], item["sku"], alice.id)
        assert (stored.price, stored.version, stored.is_done) == (Decimal("1.50"), 1, False)
        assert stored.created_at == stored.updated_at
    read = await client.get(f"{ITEMS}/{ids[0]}", headers=await make.bearer(alice))
    assert (read.json()["title"], read.headers["etag"]) == ("Item 3", '"1"')


async def test_a_thousand_items_are_one_statement_and_a_thousand_and_one_too_many(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, services: AppServices
) -> None:
    headers = await make.bearer(await make.user())
    items = [{"title": f"Item {number}", "sku": f"S-{number}" if number % 2 else None} for number in range(1001)]
    refused = await client.post(BULK, json={"items": items}, headers=headers)
    assert code(refused) == (422, "validation_error")
    with statements_on(services.database.engine) as sent:
        answer = await client.post(BULK, json={"items": items[:1000]}, headers=headers)
    assert answer.status_code == 201
    assert len(writes(sent)) == 1
    stored = {row.id: row.title for row in await session.execute(select(Item.id, Item.title))}
    assert [stored[id_] for id_ in answer.json()["ids"]] == [item["title"] for item in items[:1000]]


@pytest.mark.parametrize("is_stored", [True, False])
async def test_of_many_items_none_is_made_if_one_has_a_taken_sku(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, *, is_stored: bool
) -> None:
    alice = await make.user()
    if is_stored:
        await make.item(alice, sku="TAKEN")
    items = [{"title": "a"}, {"title": "b", "sku": "TAKEN"}, {"title": "c", "sku": "C" if is_stored else "TAKEN"}]
    answer = await client.post(BULK, json={"items": items}, headers=await make.bearer(alice))
    assert code(answer) == (409, "sku_taken")
    assert await count(session) == int(is_stored)
    bob = await client.post(BULK, json={"items": items[:2]}, headers=await make.bearer(await make.user(username="bob")))
    assert bob.status_code == 201, "a SKU is one owner's"


async def test_many_items_are_closed_and_opened_again_by_one_statement(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, services: AppServices
) -> None:
    alice, bob = await make.user(), await make.user()
    mine = [await make.item(alice) for _ in range(3)]
    theirs = await make.item(bob)
    headers = await make.bearer(alice)
    ids = [mine[2].id, theirs.id, mine[0].id, mine[0].id, 2**53 - 1]
    with statements_on(services.database.engine) as sent:
        answer = await client.patch(BULK, json={"ids": ids, "is_done": True}, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"updated": 2})
    assert len(writes(sent)) == 1
    states = [await fresh(session, item.id) for item in (*mine, theirs)]
    assert [(item.is_done, item.version) for item in states] == [(True, 2), (False, 1), (True, 2), (False, 1)]
    assert states[0].updated_at > states[0].created_at
    assert (await client.get(f"{ITEMS}/{mine[0].id}", headers=headers)).headers["etag"] == '"2"'
    again = await client.patch(BULK, json={"ids": ids, "is_done": False}, headers=headers)
    assert again.json() == {"updated": 2}
    assert (await fresh(session, mine[0].id)).version == 3


async def test_an_admin_closes_only_their_own_in_bulk(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    item = await make.item(await make.user())
    answer = await client.patch(
        BULK, json={"ids": [item.id], "is_done": True}, headers=await make.bearer(await make.admin())
    )
    assert answer.json() == {"updated": 0}
    assert not (await fresh(session, item.id)).is_done


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("POST", {"items": []}),
        ("POST", {"items": [{"title": "fine"}, {"title": ""}]}),
        ("POST", {"items": [{"title": "fine", "version": 1}]}),
        ("POST", {"items": {"title": "fine"}}),
        ("PATCH", {"ids": [], "is_done": True}),
        ("PATCH", {"ids": [1] * 1001, "is_done": True}),
        ("PATCH", {"ids": [1]}),
        ("PATCH", {"ids": [0], "is_done": True}),
        ("PATCH", {"ids": ["1"], "is_done": True}),
        ("PATCH", {"ids": [2**53], "is_done": True}),
        ("PATCH", {"ids": [1], "is_done": None}),
        ("PATCH", {"ids": [1], "is_done": True, "title": "x"}),
    ],
)
async def test_an_invalid_batch_is_refused_as_a_whole(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, method: str, body: dict[str, Any]
) -> None:
    alice = await make.user()
    item = await make.item(alice)
    answer = await client.request(method, BULK, json=body, headers=await make.bearer(alice))
    assert code(answer) == (422, "validation_error")
    assert await count(session) == 1
    assert (await fresh(session, item.id)).version == 1


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_batch_needs_a_token_and_a_scope(client: httpx.AsyncClient, make: Factory, method: str) -> None:
    body = {"items": [{"title": "x"}]} if method == "POST" else {"ids": [1], "is_done": True}
    assert code(await client.request(method, BULK, json=body)) == (401, "not_authenticated")
    headers = await make.bearer(await make.user(), scope="items:read")
    assert code(await client.request(method, BULK, json=body, headers=headers)) == (403, "insufficient_scope")


# Looking for text


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("100%", "a"),
        ("0%", "a"),
        ("%", "a"),
        ("l_s", "b"),
        ("_", "b"),
        ("and/or", "c"),
        ("/", "c"),
        ("back\\slash", "d"),
        ("\\", "d"),
        ("/%", ""),
        ("\\%", ""),
        ("//", ""),
        ("WOOL", "b"),
        ("wOoL_sOcK", "b"),
        ("BACK\\", "d"),
        ("it's", "e"),
        ('"quoted"', "e"),
        ("a", "abcde"),
        ("zzz", ""),
    ],
)
async def test_text_is_found_literally_and_in_any_letter_case(
    client: httpx.AsyncClient, make: Factory, q: str, found: str
) -> None:
    alice = await make.user()
    for sku, title, description in (
        ("a", "100% cotton, a", None),
        ("b", "A wool_sock", None),
        ("c", "Something", "and/or that"),
        ("d", "Something", "a BACK\\slash"),
        ("e", 'It\'s "QUOTED", a', None),
    ):
        await make.item(alice, sku=sku, title=title, description=description)
    headers = await make.bearer(alice)
    for url in (ITEMS, "/api/v2/items"):
        page = (await client.get(url, params={"q": q, "sort": "id"}, headers=headers)).json()
        assert "".join(item["sku"] for item in page.get("items", page.get("data"))) == found


async def test_rare_text_among_many_items_is_found_by_the_trigram_index(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, services: AppServices
) -> None:
    if session.get_bind().dialect.name != "postgresql":
        pytest.skip("SQLite has no such index")
    alice = await make.user()
    await session.execute(
        text(
            "INSERT INTO items (owner_id, title, description, price, tax_rate, stock, is_done, version, "
            "created_at, updated_at) "
            "SELECT :owner, md5(n::text), CASE WHEN n % 2 = 0 THEN md5((n + 1)::text) END, 1, 0, 0, false, 1, "
            "now() - n * interval '1 second', now() FROM generate_series(1, 20000) n"
        ),
        {"owner": alice.id},
    )
    await make.item(alice, title="The needle in the HAYSTACK")
    await make.item(alice, title="hidden", description="another Needle in the haystack")
    # As the vacuum does when so many are new.
    await session.execute(text("SELECT gin_clean_pending_list('ix_items_trigrams')"))
    await session.execute(text("ANALYZE items"))
    await session.commit()
    with statements_on(services.database.engine) as sent:
        answer = await client.get(ITEMS, params={"q": "needle IN the hay"}, headers=await make.bearer(alice))
    assert (len(answer.json()["items"]), answer.json()["total"]) == (2, 2)
    searches = [statement for statement in sent if "ILIKE" in statement[0].upper()]
    assert len(searches) == 1, "the page, which tells the total too"
    found = await explain(session, searches[0], with_total=True)
    assert [name for _, name in found].count("ix_items_trigrams") == 4, "two columns, for the page and for the total"
    assert ("Seq Scan", "items") not in found
