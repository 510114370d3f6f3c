"""How many of an item there are: from the item itself, or from an inventory that may be slow, wrong or gone."""

import asyncio
import base64
import gzip
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.pool import QueuePool
from typer.testing import CliRunner

from app.api.deps import AppServices
from app.cli import cli
from app.core.config.settings import Settings
from app.core.observability.logging import configure_logging
from app.core.outbound.circuit import Circuit
from app.core.outbound.remote import Remote
from app.main import create_app
from app.services.items.inventory import Inventory, InventoryUnavailableError
from tests.api.calls import code
from tests.conftest import connected, running
from tests.factories import Factory
from tests.inventory import FakeInventory, Reply, counted, fake_inventory
from tests.redis import free_port
from tests.server import serve

UNAVAILABLE = (503, "inventory_unavailable")
BROKEN = Reply(status=500)
PASSWORD = "s3cret/of:the@inventory"
QUOTED_PASSWORD = "s3cret%2Fof%3Athe%40inventory"


@pytest.fixture
async def inventory() -> AsyncIterator[FakeInventory]:
    async with fake_inventory() as inventory:
        yield inventory


def asking(url: str, *, threshold: int = 1000, pause: float = 10, deadline: float = 2) -> Inventory:
    circuit = Circuit("inventory", threshold=threshold, pause=timedelta(seconds=pause))
    return Inventory(Remote(url, InventoryUnavailableError, circuit, deadline=timedelta(seconds=deadline)))


class Shop:
    """The application with an item in it, whose stock it looks up where a test says."""

    def __init__(self, manager: LifespanManager, services: AppServices, client: httpx.AsyncClient) -> None:
        self.manager = manager
        self.services = services
        self.client = client
        self.item_id = 0
        self.headers: dict[str, str] = {}
        self.opened: list[Inventory] = []

    def ask(self, url: str, **options: Any) -> None:
        inventory = asking(url, **options)
        self.opened.append(inventory)
        self.manager._state["services"] = replace(self.services, inventory=inventory)

    async def stock(self, **headers: str) -> httpx.Response:
        return await self.client.get(f"/api/v1/items/{self.item_id}/stock", headers=self.headers | headers)


@pytest.fixture
async def shop(
    running_app: tuple[LifespanManager, AppServices, AsyncSession], client: httpx.AsyncClient, make: Factory
) -> AsyncIterator[Shop]:
    manager, services, _ = running_app
    shop = Shop(manager, services, client)
    owner = await make.user()
    shop.item_id = (await make.item(owner, stock=3)).id
    shop.headers = await make.bearer(await make.user(), scope="items:read")
    yield shop
    for inventory in shop.opened:
        await inventory.close()


async def test_without_an_inventory_the_items_own_stock_is_told(shop: Shop) -> None:
    assert shop.services.inventory is None
    answer = await shop.stock()
    assert answer.status_code == 200
    assert answer.json() == {"item_id": shop.item_id, "stock": 3, "source": "local"}


async def test_an_inventory_is_asked_with_the_requests_id(shop: Shop, inventory: FakeInventory) -> None:
    shop.ask(inventory.url)
    answer = await shop.stock(**{"X-Request-ID": "mine-1"})
    assert answer.json() == {"item_id": shop.item_id, "stock": 7, "source": "inventory"}
    assert inventory.paths == [f"GET /stock/{shop.item_id} HTTP/1.1"]
    assert inventory.headers[0]["x-request-id"] == "mine-1"
    assert "authorization" not in inventory.headers[0], "the user's token is no business of others"


async def test_connections_are_kept(shop: Shop, inventory: FakeInventory) -> None:
    shop.ask(inventory.url)
    for stock in (5, 0):
        inventory.reply = counted(stock)
        assert (await shop.stock()).json()["stock"] == stock
    assert inventory.connections == 1


async def test_an_item_that_is_not_there_is_asked_of_nobody(shop: Shop, inventory: FakeInventory) -> None:
    shop.ask(inventory.url)
    shop.item_id += 1
    assert code(await shop.stock()) == (404, "item_not_found")
    assert inventory.paths == []


async def test_an_anonymous_client_and_one_without_the_scope_are_refused(
    shop: Shop, inventory: FakeInventory, make: Factory
) -> None:
    shop.ask(inventory.url)
    shop.headers = {}
    assert code(await shop.stock()) == (401, "not_authenticated")
    shop.headers = await make.bearer(await make.user(), scope="users:read")
    assert code(await shop.stock()) == (403, "insufficient_scope")
    assert inventory.paths == []


@pytest.mark.parametrize("item_id", ["0", "x", str(2**63)])
async def test_a_senseless_id_is_refused(shop: Shop, item_id: str) -> None:
    answer = await shop.client.get(f"/api/v1/items/{item_id}/stock", headers=shop.headers)
    assert code(answer) == (422, "validation_error")


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(status=404), id="an item it does not know"),
        pytest.param(Reply(status=401), id="a password it does not know"),
        pytest.param(Reply(status=302, headers={"Location": "/stock/0"}), id="a redirect"),
        pytest.param(Reply(status=201), id="another success"),
        pytest.param(Reply(b"<html>"), id="no JSON"),
        pytest.param(Reply(b""), id="nothing"),
        pytest.param(Reply(b"[7]"), id="a list"),
        pytest.param(Reply(b"{}"), id="no stock"),
        pytest.param(counted(-1), id="a negative number"),
        pytest.param(counted(1.5), id="half a thing"),
        pytest.param(counted("7"), id="a text"),
        pytest.param(counted(True), id="a truth"),
        pytest.param(counted(None), id="null"),
        pytest.param(counted(2**31), id="more than an item can have"),
        pytest.param(Reply(gzip.compress(b'{"stock": 7}'), headers={"Content-Encoding": "gzip"}), id="compressed"),
        pytest.param(Reply(b'{"stock": 7}' + b" " * 70_000), id="too large"),
    ],
)
async def test_an_answer_of_no_use_is_asked_for_once_and_does_not_open_the_circuit(
    shop: Shop, inventory: FakeInventory, reply: Reply
) -> None:
    """Whoever asks for one odd item must not take the stock of all others away."""
    shop.ask(inventory.url, threshold=1)
    inventory.replies = [reply]
    answer = await shop.stock()
    assert code(answer) == UNAVAILABLE
    assert answer.headers["retry-after"] == "5"
    assert len(inventory.paths) == 1
    assert (await shop.stock()).json()["stock"] == 7


@pytest.mark.parametrize(
    ("reply", "attempts"),
    [
        pytest.param(Reply(status=500), 3, id="500"),
        pytest.param(Reply(status=503, headers={"Retry-After": "3600"}), 3, id="503"),
        pytest.param(Reply(status=None), 3, id="no answer"),
        pytest.param(Reply(b"{", headers={"Content-Length": "12", "Connection": "close"}), 1, id="half an answer"),
        pytest.param(Reply(status=429), 1, id="too many requests"),
        pytest.param(Reply(delay=5), 1, id="slow"),
    ],
)
async def test_a_failing_inventory_is_tried_again_unless_that_would_make_it_worse(
    shop: Shop, inventory: FakeInventory, reply: Reply, attempts: int
) -> None:
    shop.ask(inventory.url, deadline=0.6)
    inventory.reply = reply
    answer = await shop.stock()
    assert code(answer) == UNAVAILABLE
    assert int(answer.headers["retry-after"]) >= 1
    assert len(inventory.paths) == attempts


async def test_nobody_at_the_address_is_unavailable(shop: Shop) -> None:
    shop.ask(f"http://127.0.0.1:{free_port()}")
    assert code(await shop.stock()) == UNAVAILABLE


@pytest.mark.parametrize("first", [BROKEN, Reply(status=None)], ids=["500", "cut"])
async def test_a_second_attempt_may_succeed(shop: Shop, inventory: FakeInventory, first: Reply) -> None:
    shop.ask(inventory.url)
    inventory.replies = [first]
    assert (await shop.stock()).json()["stock"] == 7
    assert len(inventory.paths) == 2


async def test_a_slow_inventory_is_given_up_after_two_seconds(shop: Shop, inventory: FakeInventory) -> None:
    inventory.reply = Reply(delay=30)
    open_at = shop.services.settings.model_copy(update={"inventory_url": SecretStr(inventory.url)})
    slow = Inventory.from_settings(open_at)
    assert slow is not None
    shop.opened.append(slow)
    shop.manager._state["services"] = replace(shop.services, inventory=slow)
    started = time.monotonic()
    assert code(await shop.stock()) == UNAVAILABLE
    assert 1.9 < time.monotonic() - started < 4


async def test_the_circuit_opens_and_closes_again(
    shop: Shop, inventory: FakeInventory, logs: Callable[[], list[dict[str, Any]]]
) -> None:
    shop.ask(inventory.url, threshold=2, pause=1.2)
    inventory.reply = Reply(status=429)
    assert (await shop.stock()).headers["retry-after"] == "5"
    assert (await shop.stock()).headers["retry-after"] == "2", "now it is open, for 1.2 s"
    inventory.reply = Reply()
    for _ in range(3):
        refused = await shop.stock()
        assert code(refused) == UNAVAILABLE
        assert refused.headers["retry-after"] in {"1", "2"}
    assert len(inventory.paths) == 2, "nobody was asked"
    await asyncio.sleep(1.3)
    assert (await shop.stock()).json()["stock"] == 7
    assert (await shop.stock()).status_code == 200
    events = [line["event"] for line in logs()]
    assert events.count("circuit opened: the service keeps failing") == 1
    assert events.count("circuit closed: the service is back") == 1


async def test_one_request_finds_out_whether_the_inventory_is_back(inventory: FakeInventory) -> None:
    asked = asking(inventory.url, threshold=1, pause=0.1)
    inventory.reply = Reply(status=429)
    with pytest.raises(InventoryUnavailableError):
        await asked.count(1)
    await asyncio.sleep(0.2)
    inventory.reply = Reply(status=429, delay=0.2)
    failures = await asyncio.gather(*(asked.count(1) for _ in range(5)), return_exceptions=True)
    assert {type(failure) for failure in failures} == {InventoryUnavailableError}
    assert len(inventory.paths) == 2, "the one that failed, and one of five"
    with pytest.raises(InventoryUnavailableError):
        await asked.count(1)
    assert len(inventory.paths) == 2, "open again"
    await asked.close()


async def test_a_success_in_between_keeps_the_circuit_closed(shop: Shop, inventory: FakeInventory) -> None:
    shop.ask(inventory.url, threshold=2)
    for _ in range(3):
        inventory.replies = [Reply(status=429)]
        assert code(await shop.stock()) == UNAVAILABLE
        assert (await shop.stock()).status_code == 200


async def test_the_password_of_the_inventory_is_sent_and_not_logged(
    shop: Shop, inventory: FakeInventory, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.ask(f"http://me:{QUOTED_PASSWORD}@127.0.0.1:{inventory.port}/shop/v2", threshold=2)
    inventory.replies = [Reply()]
    inventory.reply = BROKEN
    configure_logging(shop.services.settings.model_copy(update={"debug": True}))
    answers = [await shop.stock() for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 503, 503, 503]
    assert inventory.paths[0] == f"GET /shop/v2/stock/{shop.item_id} HTTP/1.1"
    credentials = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    assert inventory.headers[0]["authorization"] == f"Basic {credentials}"
    logged = capsys.readouterr().err
    assert "a service does not respond" in logged
    assert "status 500" in logged
    told = logged + "".join(answer.text for answer in answers)
    assert not [secret for secret in (PASSWORD, QUOTED_PASSWORD, credentials, "127.0.0.1") if secret in told]


@pytest.mark.real_database
async def test_no_connection_of_the_database_waits_for_the_inventory(
    real_settings: Settings, inventory: FakeInventory
) -> None:
    settings = real_settings.model_copy(update={"inventory_url": SecretStr(inventory.url)})
    async with serve(create_app(settings)) as server, httpx.AsyncClient(base_url=server.url) as client:
        make = Factory(server.services)
        user = await make.user()
        item = await make.item(user)
        headers = await make.bearer(user)
        pool = server.services.database.read_engine.pool
        assert isinstance(pool, QueuePool)
        held: list[int] = []
        inventory.on_request = lambda: held.append(pool.checkedout())
        answer = await client.get(f"/api/v1/items/{item.id}/stock", headers=headers)
        assert answer.json() == {"item_id": item.id, "stock": 7, "source": "inventory"}
        assert held == [0]


async def test_the_application_closes_its_connections(settings: Settings, inventory: FakeInventory) -> None:
    configured = settings.model_copy(update={"inventory_url": SecretStr(inventory.url)})
    async with running(configured) as (_, manager, services), connected(manager.app):
        assert services.inventory is not None
        client = services.inventory.remote.client
        assert await services.inventory.count(1) == 7
    assert client.is_closed


IMPORTS = """
import asyncio, sys
from app.core.config.settings import Settings
from app.core.observability.logging import configure_logging
from app.main import create_app, lifespan_of

async def start(url):
    settings = Settings(**{"environment": "test", "data_dir": sys.argv[1], "inventory_url": url})
    app = create_app(settings)
    async with lifespan_of(settings, has_worker=True)(app):
        print(sorted({"httpx", "httpcore", "httpx_retries", "purgatory"} & set(sys.modules)))

asyncio.run(start(None))
asyncio.run(start("http://inventory.test"))
"""


def test_only_an_inventory_costs_its_libraries(settings: Settings) -> None:
    command = [sys.executable, "-c", IMPORTS, str(settings.data_dir)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    without, with_one = result.stdout.splitlines()
    assert without == "[]", result.stderr
    assert with_one == "['httpcore', 'httpx', 'httpx_retries', 'purgatory']", result.stderr


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (Reply(status=404), "✓ inventory       answers"),
        (Reply(status=None), "! inventory       does not respond: start it, or fix or unset INVENTORY_URL."),
        (Reply(status=401), "✗ inventory       refuses us: check the user and the password in INVENTORY_URL"),
    ],
    ids=["there", "gone", "refuses"],
)
async def test_the_doctor_looks_for_the_inventory(
    inventory: FakeInventory, settings: Settings, monkeypatch: pytest.MonkeyPatch, reply: Reply, line: str
) -> None:
    inventory.reply = reply
    monkeypatch.chdir(settings.data_dir)
    monkeypatch.setenv("DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("INVENTORY_URL", f"http://me:{QUOTED_PASSWORD}@127.0.0.1:{inventory.port}")
    # In a thread: the command has an event loop of its own.
    result = await asyncio.to_thread(CliRunner().invoke, cli, ["doctor"])
    assert [found for found in result.output.splitlines() if found.startswith(line)], result.output
    assert "s3cret" not in result.output
