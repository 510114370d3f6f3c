"""What each GET operation costs the database: as many statements for many rows as for few."""

from itertools import permutations
from typing import Any

import httpx
import pytest

from app.api.deps import AppServices
from app.models.audit import Action
from app.models.job import Job
from app.models.user import User
from app.services.audit import Device, record
from tests.factories import Factory
from tests.statements import MaxQueries

ROWS = 6
LIST, LIST_WITHOUT_TOTAL, SINGLE = 3, 2, 2
WITHOUT_TOTAL = {"include_total": "false"}


@pytest.fixture
async def people(make: Factory, services: AppServices) -> list[User]:
    """An administrator and users, each with items, orders, two devices and an event: what an N+1 would go through."""
    people = [await make.admin(), *[await make.user() for _ in range(ROWS)]]
    for person in people:
        await make.item(person)
        await make.tokens(person)
        await make.tokens(person)
        async with services.database.transaction() as session:
            device = Device("192.0.2.1", "a browser", "a-request")
            await record(session, Action.USER_CREATED, device, actor_id=people[0].id, subject_id=person.id)
    for buyer, seller in permutations(people, 2):
        await make.order(buyer, await make.item(seller, stock=1))
    return people


async def get(client: httpx.AsyncClient, path: str, headers: dict[str, str], **params: str) -> Any:
    answer = await client.get(path if path.startswith("/api/") else f"/api/v1{path}", params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def check_list(client: httpx.AsyncClient, max_queries: MaxQueries, path: str, headers: dict[str, str]) -> None:
    """A first page, one without its total, and the page after it."""
    with max_queries(LIST):
        page = await get(client, path, headers, limit="100")
    assert len(page["items"]) >= ROWS
    assert page["total"] == len(page["items"])
    with max_queries(LIST_WITHOUT_TOTAL):
        first = await get(client, path, headers, limit="2", **WITHOUT_TOTAL)
    with max_queries(LIST_WITHOUT_TOTAL):
        rest = await get(client, path, headers, limit="100", cursor=first["next_cursor"], **WITHOUT_TOTAL)
    assert first["items"] + rest["items"] == page["items"]


@pytest.mark.measures("items_list")
async def test_a_list_of_items(
    client: httpx.AsyncClient, make: Factory, people: list[User], max_queries: MaxQueries
) -> None:
    await check_list(client, max_queries, "/items", await make.bearer(people[1]))


@pytest.mark.measures("items_list")
@pytest.mark.parametrize("params", [{"owner": "me"}, {"q": "item"}, {"sort": "price", "min_price": "0"}])
async def test_a_list_of_items_that_is_filtered(
    client: httpx.AsyncClient, make: Factory, people: list[User], max_queries: MaxQueries, params: dict[str, str]
) -> None:
    headers = await make.bearer(people[1])
    with max_queries(LIST):
        assert (await get(client, "/items", headers, **params))["items"]


@pytest.mark.measures("orders_list")
async def test_a_list_of_orders(
    client: httpx.AsyncClient, make: Factory, people: list[User], max_queries: MaxQueries
) -> None:
    await check_list(client, max_queries, "/orders", await make.bearer(people[1]))


@pytest.mark.measures("items_list_v2", "orders_list_v2", "users_list_v2", "admin_list_audit_v2")
@pytest.mark.parametrize("path", ["/items", "/orders", "/users", "/admin/audit"])
async def test_a_list_by_cursor_alone(
    client: httpx.AsyncClient, make: Factory, people: list[User], max_queries: MaxQueries, path: str
) -> None:
    headers = await make.bearer(people[0])
    with max_queries(LIST_WITHOUT_TOTAL):
        page = await get(client, f"/api/v2{path}", headers, limit="2")
    with max_queries(LIST_WITHOUT_TOTAL):
        assert (await get(client, f"/api/v2{path}", headers, cursor=page["meta"]["next_cursor"]))["data"]


@pytest.mark.measures("orders_read")
async def test_an_order(client: httpx.AsyncClient, make: Factory, people: list[User], max_queries: MaxQueries) -> None:
    lines = [await make.item(people[2], stock=1) for _ in range(ROWS)]
    order = await make.order(people[1], *lines)
    headers = await make.bearer(people[1])
    with max_queries(SINGLE):
        assert len((await get(client, f"/orders/{order.id}", headers))["lines"]) == ROWS


@pytest.mark.measures("items_export")
async def test_a_download_of_items(
    client: httpx.AsyncClient, make: Factory, people: list[User], max_queries: MaxQueries
) -> None:
    """The token, the greatest id, and one for each batch."""
    headers = await make.bearer(people[1])
    with max_queries(SINGLE + 1):
        answer = await client.get("/api/v1/items/export?format=ndjson", headers=headers)
    assert len(answer.text.splitlines()) > ROWS


@pytest.mark.measures("items_read_stock")
async def test_the_stock_of_an_item(
    client: httpx.AsyncClient, make: Factory, people: list[User], max_queries: MaxQueries
) -> None:
    item = await make.item(people[2], stock=7)
    headers = await make.bearer(people[1])
    with max_queries(SINGLE):
        assert (await get(client, f"/items/{item.id}/stock", headers))["stock"] == 7


@pytest.mark.measures("items_read")
async def test_an_item(client: httpx.AsyncClient, make: Factory, people: list[User], max_queries: MaxQueries) -> None:
    item = await make.item(people[2])
    headers = await make.bearer(people[1])
    with max_queries(SINGLE):
        assert (await get(client, f"/items/{item.id}", headers))["owner"]["id"] == people[2].id


@pytest.mark.measures("items_read")
async def test_an_item_that_the_client_has(
    client: httpx.AsyncClient, make: Factory, people: list[User], max_queries: MaxQueries
) -> None:
    item = await make.item(people[2])
    headers = await make.bearer(people[1]) | {"If-None-Match": '"1"'}
    with max_queries(SINGLE):
        assert (await client.get(f"/api/v1/items/{item.id}", headers=headers)).status_code == 304


@pytest.mark.measures("users_list")
async def test_a_list_of_users(
    client: httpx.AsyncClient, make: Factory, people: list[User], max_queries: MaxQueries
) -> None:
    await check_list(client, max_queries, "/users", await make.bearer(people[0]))


@pytest.mark.measures("users_read")
async def test_a_user(client: httpx.AsyncClient, make: Factory, people: list[User], max_queries: MaxQueries) -> None:
    headers = await make.bearer(people[0])
    with max_queries(SINGLE):
        assert (await get(client, f"/users/{people[1].id}", headers))["id"] == people[1].id


@pytest.mark.measures("users_read_me")
async def test_oneself(client: httpx.AsyncClient, make: Factory, people: list[User], max_queries: MaxQueries) -> None:
    """The check of the token has read it."""
    headers = await make.bearer(people[1])
    with max_queries(1):
        assert (await get(client, "/users/me", headers))["id"] == people[1].id


@pytest.mark.measures("users_export_me")
async def test_an_export(client: httpx.AsyncClient, make: Factory, people: list[User], max_queries: MaxQueries) -> None:
    """The token, the event it leaves, the greatest ids, and one for each table, orders' lines among them."""
    headers = await make.bearer(people[0])
    with max_queries(9):
        export = await get(client, "/users/me/export", headers)
    assert len(export["items"]) > ROWS
    assert len(export["orders"]) == ROWS
    assert len(export["audit"]) > ROWS
    assert len(export["sessions"]) == 3


@pytest.mark.measures("auth_list_sessions")
async def test_a_list_of_devices(
    client: httpx.AsyncClient, make: Factory, people: list[User], max_queries: MaxQueries
) -> None:
    headers = [await make.bearer(people[1]) for _ in range(ROWS)]
    with max_queries(LIST_WITHOUT_TOTAL):
        assert len(await get(client, "/auth/sessions", headers[0])) == ROWS + 2


@pytest.mark.measures("admin_list_audit")
async def test_a_list_of_events(
    client: httpx.AsyncClient, make: Factory, people: list[User], max_queries: MaxQueries
) -> None:
    await check_list(client, max_queries, "/admin/audit", await make.bearer(people[0]))


@pytest.mark.measures("admin_dashboard")
async def test_the_dashboard(
    client: httpx.AsyncClient, make: Factory, people: list[User], max_queries: MaxQueries
) -> None:
    """The token, five counts, and three of what came day by day."""
    headers = await make.bearer(people[0])
    with max_queries(9):
        assert (await get(client, "/admin/dashboard", headers))["users"]["total"] == len(people)


@pytest.mark.measures("jobs_list")
async def test_a_list_of_jobs(
    client: httpx.AsyncClient, make: Factory, people: list[User], max_queries: MaxQueries
) -> None:
    for person in people:
        await make.store(Job(kind="mail.text", payload={}, user_id=person.id))
    await check_list(client, max_queries, "/admin/jobs", await make.bearer(people[0]))


@pytest.mark.measures("jobs_read", "tasks_read")
@pytest.mark.parametrize("path", ["/admin/jobs", "/tasks"])
async def test_a_job(
    client: httpx.AsyncClient, make: Factory, people: list[User], max_queries: MaxQueries, path: str
) -> None:
    job = await make.store(Job(kind="mail.text", payload={}, user_id=people[1].id))
    headers = await make.bearer(people[0])
    with max_queries(SINGLE):
        assert (await get(client, f"{path}/{job.id}", headers))["status"] == "queued"
