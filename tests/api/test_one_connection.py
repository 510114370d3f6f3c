"""No request holds a connection while it waits for a second one: each operation gets by with a pool of one."""

import itertools
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import URL

from app.core.config.settings import Settings
from tests.api.calls import URL as AUTH
from tests.api.calls import bearer
from tests.api.operations import operations
from tests.api.test_orders import basket
from tests.conftest import POSTGRES_URL, connected, running, settings_for
from tests.factories import PASSWORD, Factory
from tests.inventory import fake_inventory
from tests.mailbox import Mailbox

API = "/api/v1"
ME = f"{API}/users/me"
NEW_PASSWORD = "another long enough password"
BOB = {"grant_type": "password", "username": "bob", "password": PASSWORD}

pytestmark = [
    pytest.mark.real_database,
    pytest.mark.skipif(POSTGRES_URL is None, reason="needs STRATA_TEST_DATABASE_URL"),
]

type Headers = dict[str, str]


class Caller:
    """Calls operations, and keeps what came of it."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.numbers = itertools.count()
        self.called: set[str] = set()
        self.failed: dict[str, tuple[int, str]] = {}

    async def __call__(self, headers: Headers, method: str, path: str, **options: Any) -> Any:
        once = {"Idempotency-Key": str(next(self.numbers))} if method == "POST" else {}
        answer = await self.client.request(method, path, headers=headers | once, **options)
        name = f"{method} {path.partition('?')[0]}"
        self.called.add(name)
        if answer.status_code >= 300:
            self.failed[name] = (answer.status_code, answer.text)
        return answer.json() if answer.headers.get("content-type") == "application/json" else None

    def uncalled(self) -> list[str]:
        return [
            each.id
            for each in operations()
            if not any(re.fullmatch(f"{each.method} {each.path_of('[^/]+')}", name) for name in self.called)
        ]


def small(url: URL, folder: Path, **changes: object) -> Settings:
    return settings_for(url, folder, db_pool_size=1, db_max_overflow=0, db_pool_timeout=2, **changes)


async def use_accounts(call: Caller, mailbox: Mailbox) -> None:
    """One's own, from its registration to its end."""
    await call(
        {}, "POST", f"{AUTH}/register", json={"username": "bob", "email": "bob@example.com", "password": PASSWORD}
    )
    await call({}, "POST", f"{AUTH}/token", data=BOB)
    tokens = await call({}, "POST", f"{AUTH}/login", data=BOB)
    tokens = await call({}, "POST", f"{AUTH}/refresh", json={"refresh_token": tokens["refresh_token"]})
    bob = bearer(tokens["access_token"])
    await call(bob, "POST", f"{AUTH}/verify-email/request")
    await call({}, "POST", f"{AUTH}/verify-email", json={"token": await mailbox.token("bob@example.com")})
    await call(bob, "GET", ME)
    await call(bob, "PATCH", ME, json={"full_name": "Bob"})
    await call(bob, "GET", f"{ME}/export")
    await call(bob, "POST", f"{ME}/email", json={"email": "rob@example.com", "password": PASSWORD})
    devices = await call(bob, "GET", f"{AUTH}/sessions")
    await call(bob, "DELETE", f"{AUTH}/sessions/{next(each['id'] for each in devices if not each['current'])}")
    await call(bob, "PUT", f"{ME}/password", json={"current_password": PASSWORD, "new_password": NEW_PASSWORD})
    await call({}, "POST", f"{AUTH}/forgot-password", json={"email": "bob@example.com"})
    reset = {"token": await mailbox.token("bob@example.com"), "new_password": PASSWORD}
    await call({}, "POST", f"{AUTH}/reset-password", json=reset)
    tokens = await call({}, "POST", f"{AUTH}/login", data=BOB)
    await call({}, "POST", f"{AUTH}/logout", json={"refresh_token": tokens["refresh_token"]})
    tokens = await call({}, "POST", f"{AUTH}/login", data=BOB)
    await call(bearer(tokens["access_token"]), "POST", f"{AUTH}/logout-all")
    tokens = await call({}, "POST", f"{AUTH}/login", data=BOB)
    await call(bearer(tokens["access_token"]), "DELETE", ME, json={"password": PASSWORD})


async def use_admin_pages(call: Caller, admin: Headers) -> None:
    for version, query in (("v1", "?limit=1"), ("v2", "?limit=1")):
        for path in ("users", "books", "items", "orders", "admin/audit"):
            await call(admin, "GET", f"/api/{version}/{path}{query}")
    await call(admin, "GET", f"{API}/admin/dashboard")
    new = {"username": "carol", "email": "carol@example.com", "password": PASSWORD}
    carol = f"{API}/users/{(await call(admin, 'POST', f'{API}/users', json=new))['id']}"
    await call(admin, "GET", carol)
    await call(admin, "PATCH", carol, json={"is_active": False})
    await call(admin, "DELETE", carol)


async def use_books(call: Caller, admin: Headers) -> None:
    new = {"title": "Emma", "author": "Jane Austen", "release_year": 1815, "isbn": "9780141439587"}
    book = f"{API}/books/{(await call(admin, 'POST', f'{API}/books', json=new))['id']}"
    await call({}, "GET", book)
    await call(admin, "PUT", book, json=new)
    await call(admin, "PATCH", book, json={"title": "Persuasion"})
    await call(admin, "DELETE", book)


async def use_items(call: Caller, me: Headers) -> None:
    item = f"{API}/items/{(await call(me, 'POST', f'{API}/items', json={'title': 'new'}))['id']}"
    made = await call(me, "POST", f"{API}/items/bulk", json={"items": [{"title": "one"}, {"title": "two"}]})
    await call(me, "PATCH", f"{API}/items/bulk", json={"ids": made["ids"], "is_done": True})
    for title in ("made", "replaced"):
        await call(me, "PUT", f"{API}/items/by-sku/A-1", json={"title": title})
    await call(me, "GET", f"{API}/items/export?format=csv")
    await call(me, "GET", item)
    await call(me, "GET", f"{item}/stock")
    await call(me, "PATCH", item, json={"stock": 5})
    await call(me, "PUT", item, json={"title": "replaced"})
    await call(me, "DELETE", item)


async def use_orders(call: Caller, admin: Headers, item_id: int) -> None:
    orders = f"{API}/orders"
    placed = [await call(admin, "POST", orders, json=basket((item_id, 1))) for _ in range(2)]
    await call(admin, "GET", f"{orders}?limit=1")
    await call(admin, "GET", f"{orders}/{placed[0]['id']}")
    await call(admin, "POST", f"{orders}/{placed[0]['id']}/cancel")
    await call(admin, "POST", f"{orders}/{placed[1]['id']}/pay")


async def use_jobs(call: Caller, admin: Headers) -> None:
    mail = {"email": "bob@example.com", "subject": "Hello", "message": "There"}
    id_ = (await call(admin, "POST", f"{API}/tasks/send-notification", json=mail))["task_id"]
    await call(admin, "GET", f"{API}/tasks/{id_}")
    await call(admin, "GET", f"{API}/admin/jobs?limit=1")
    await call(admin, "GET", f"{API}/admin/jobs/{id_}")
    await call(admin, "POST", f"{API}/admin/jobs/{id_}/cancel")
    await call(admin, "POST", f"{API}/admin/jobs/{id_}/retry")


@pytest.mark.parametrize("is_pooled", [False, True])
async def test_every_operation_gets_by_with_one_connection(real_url: URL, tmp_path: Path, *, is_pooled: bool) -> None:
    async with fake_inventory() as inventory:
        settings = small(real_url, tmp_path, inventory_url=inventory.url, db_pgbouncer=is_pooled)
        async with running(settings) as (_, manager, services), connected(manager.app) as client:
            make, call = Factory(services), Caller(client)
            admin = await make.bearer(await make.admin())
            seller = await make.user()
            item = await make.item(seller, stock=9)
            for path in ("/health", "/ready", "/info", "/.well-known/jwks.json"):
                await call({}, "GET", path)
            await use_orders(call, admin, item.id)
            await use_books(call, admin)
            await use_items(call, await make.bearer(seller))
            await use_admin_pages(call, admin)
            await use_jobs(call, admin)
            await use_accounts(call, Mailbox(services))
    assert call.failed == {}
    assert call.uncalled() == []
