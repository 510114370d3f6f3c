"""More requests at once than MAX_CONCURRENT_REQUESTS are turned away; however one ends, it gives its place back."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI, Request

from app.api.middleware import shedding
from app.api.middleware.head_limit import HeadLimit
from app.api.middleware.shedding import LoadShedding
from app.core.config.settings import Settings
from app.main import create_app
from tests.api.test_conventions import assert_problem
from tests.conftest import connected, running

ORIGIN = "https://app.example.com"
type Logs = Callable[[], list[dict[str, Any]]]


class Gate:
    """A handler that answers when it is let."""

    def __init__(self) -> None:
        self.inside = asyncio.Semaphore(0)
        self.opened = asyncio.Event()

    async def wait(self) -> None:
        self.inside.release()
        await self.opened.wait()

    async def fail(self) -> None:
        await self.wait()
        raise RuntimeError

    async def read(self, request: Request) -> int:
        self.inside.release()
        return len(await request.body())

    async def full(self, number: int) -> None:
        for _ in range(number):
            await self.inside.acquire()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def app(settings: Settings, gate: Gate) -> FastAPI:
    app = create_app(settings.model_copy(update={"max_concurrent_requests": 2, "cors_origins": (ORIGIN,)}))
    app.add_api_route("/wait", gate.wait)
    app.add_api_route("/fail", gate.fail)
    app.add_api_route("/read", gate.read, methods=["POST"])
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with connected(app) as client:
        yield client


async def fill(client: httpx.AsyncClient, gate: Gate, path: str = "/wait") -> list[asyncio.Task[httpx.Response]]:
    tasks = [asyncio.create_task(client.get(path)) for _ in range(2)]
    await gate.full(2)
    return tasks


def places(app: FastAPI) -> int:
    layer: Any = app.middleware_stack
    while not isinstance(layer, HeadLimit):  # Starlette's own come first
        layer = layer.app
    assert isinstance(layer.app, LoadShedding)
    return layer.app.in_flight


async def test_one_more_than_the_limit_is_refused_until_a_place_is_free(
    client: httpx.AsyncClient, gate: Gate, app: FastAPI
) -> None:
    tasks = await fill(client, gate)
    refused = await client.get("/info", headers={"X-Request-ID": "mine"})
    assert_problem(refused, 503, "overloaded")
    assert refused.json()["request_id"] == "mine"
    assert int(refused.headers["retry-after"]) in {1, 2, 3}
    gate.opened.set()
    assert [(await task).status_code for task in tasks] == [200, 200]
    assert places(app) == 0
    assert (await client.get("/wait")).status_code == 200


async def test_a_refusal_has_the_headers_of_every_other_answer(client: httpx.AsyncClient, gate: Gate) -> None:
    answers = [await client.get("/nothing")]
    tasks = await fill(client, gate)
    answers.append(await client.get("/nothing"))
    gate.opened.set()
    await asyncio.gather(*tasks)
    usual, refused = (answer.headers for answer in answers)
    timings = {"x-process-time", "server-timing"}
    assert usual.keys() - timings == refused.keys() - {"retry-after"}
    different = timings | {"x-request-id", "content-length"}
    assert [name for name in usual.keys() - different if usual[name] != refused[name]] == []
    assert refused["x-request-id"] != usual["x-request-id"]


async def test_scripts_of_other_origins_can_read_a_refusal(client: httpx.AsyncClient, gate: Gate) -> None:
    tasks = await fill(client, gate)
    refused = await client.get("/info", headers={"Origin": ORIGIN})
    theirs = await client.get("/info", headers={"Origin": "https://evil.example.com"})
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    preflight = await client.options("/info", headers=asked)
    gate.opened.set()
    await asyncio.gather(*tasks)
    assert_problem(refused, 503, "overloaded")
    assert refused.headers["access-control-allow-origin"] == ORIGIN
    assert "Retry-After" in refused.headers["access-control-expose-headers"]
    assert refused.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in theirs.headers
    assert preflight.status_code == 200


@pytest.mark.parametrize("path", ["/health", "/health/", "/ready", "/ready/"])
async def test_probes_are_never_refused(settings: Settings, gate: Gate, path: str) -> None:
    async with running(settings.model_copy(update={"max_concurrent_requests": 1})) as (app, manager, _):
        app.add_api_route("/wait", gate.wait)
        async with connected(manager.app) as client:
            task = asyncio.create_task(client.get("/wait"))
            await gate.full(1)
            assert (await client.get("/info")).status_code == 503
            assert (await client.get(path)).status_code == 200
            gate.opened.set()
            assert (await task).status_code == 200


async def test_a_refused_head_has_no_body(client: httpx.AsyncClient, gate: Gate) -> None:
    tasks = await fill(client, gate)
    refused = await client.head("/info")
    gate.opened.set()
    await asyncio.gather(*tasks)
    assert (refused.status_code, refused.content) == (503, b"")
    assert int(refused.headers["content-length"]) > 0


async def test_an_error_gives_its_place_back(client: httpx.AsyncClient, gate: Gate, app: FastAPI) -> None:
    tasks = await fill(client, gate, "/fail")
    gate.opened.set()
    assert [(await task).status_code for task in tasks] == [500, 500]
    assert places(app) == 0


async def test_a_cancelled_request_gives_its_place_back(client: httpx.AsyncClient, gate: Gate, app: FastAPI) -> None:
    tasks = await fill(client, gate)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert places(app) == 0


async def test_a_slow_body_holds_a_place_until_its_client_leaves(app: FastAPI, gate: Gate) -> None:
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(_: object) -> None:
        raise AssertionError("nobody is there")

    headers = [(b"host", b"test"), (b"content-length", b"5")]
    scope = {"type": "http", "method": "POST", "path": "/read", "query_string": b"", "headers": headers}
    task = asyncio.create_task(app({**scope, "http_version": "1.1"}, receive, send))
    await gate.full(1)
    assert places(app) == 1
    left.set()
    await task
    assert places(app) == 0


async def test_refusals_are_told_once_a_second(
    client: httpx.AsyncClient, gate: Gate, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shedding, "log", structlog.get_logger("strata.test"))
    monkeypatch.setattr(shedding, "REPORT_SECONDS", 0.02)
    tasks = await fill(client, gate)
    for number in (3, 2):
        assert {(await client.get("/info")).status_code for _ in range(number)} == {503}
        await asyncio.sleep(0.05)
    gate.opened.set()
    await asyncio.gather(*tasks)
    assert [(line["event"], line["level"], line["count"], line["limit"]) for line in logs()] == [
        ("overloaded: requests were rejected", "warning", 3, 2),
        ("overloaded: requests were rejected", "warning", 2, 2),
    ]


def test_the_document_of_every_operation_of_the_api_knows_the_refusal(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    operations = [each for path, methods in paths.items() if path.startswith("/api/v1/") for each in methods.values()]
    assert operations
    assert [json.dumps(each)[:80] for each in operations if "503" not in each["responses"]] == []
