"""What a request must not be in two minds about: its path, its host, and every field that counts once."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import PlainTextResponse

from app.api.deps import AppServices
from app.api.router import Router
from app.core.config.settings import Settings
from app.main import create_app
from tests.api.test_conventions import assert_problem
from tests.conftest import connected, running
from tests.factories import Factory
from tests.server import Server, serve

type Running = tuple[LifespanManager, AppServices, AsyncSession]

ORIGIN = "https://app.example.com"


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    """With routes of every kind beside our own."""
    app = create_app(settings.model_copy(update={"cors_origins": (ORIGIN,), "trusted_hosts": ()}))
    router, mounted = Router(prefix="/more"), FastAPI()

    async def answer() -> dict[str, bool]:
        return {"found": True}

    router.add_api_route("/text/{name}", answer)
    router.add_api_route("/rest/{rest:path}", answer)
    router.add_route("/more/plain/{name}", lambda _: PlainTextResponse("found"))
    mounted.add_api_route("/x", answer)
    mounted.add_api_route("/text/{name}", answer)
    app.include_router(router)
    app.mount("/mounted", mounted)
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with LifespanManager(app) as manager, connected(manager.app) as client:
        yield client


PATHS = [
    "/health",
    "/ready",
    "/info",
    "/openapi.json",
    "/docs",
    "/docs/assets/favicon.png",
    "/.well-known/jwks.json",
    "/api/v1/items",
    "/api/v1/items/5",
    "/api/v1/items/by-sku/a",
    "/api/v1/items/5/stock",
    "/api/v1/books",
    "/api/v2/books",
    "/api/v1/auth/login",
    "/more/text/a",
    "/more/rest/a/b",
    "/more/plain/a",
    "/mounted/x",
    "/mounted/text/a",
    "/",
]


ESCAPES = ["%0a", "%0d", "%00", "%1f", "%7f", "%c2%85", "%e2%80%a8"]


async def test_a_path_with_a_control_character_leads_nowhere(client: httpx.AsyncClient) -> None:
    for (number, path), method in itertools.product(enumerate(PATHS), ("GET", "HEAD", "POST")):
        for escape in ("%0a", ESCAPES[number % len(ESCAPES)]):
            for concrete in (f"{path}{escape}", f"{path}{escape}/", path.replace("/", f"/{escape}", 1)):
                answer = await client.request(method, concrete)
                assert answer.status_code == 404, (method, concrete, answer.text)
                if method != "HEAD":
                    assert_problem(answer, 404, "not_found")


async def test_other_characters_are_taken_as_ever(client: httpx.AsyncClient) -> None:
    for text in ("é", "%C2%A0", "👩‍👧", "a%20b", "%F0%9F%98%80"):
        for path in ("/more/text/", "/more/rest/", "/more/plain/", "/mounted/text/"):
            assert (await client.get(f"{path}{text}")).status_code == 200, (path, text)


@pytest.mark.parametrize("trusted", [(), ("test", "other")])
async def test_a_second_host_is_refused_whichever_hosts_are_trusted(
    settings: Settings, trusted: tuple[str, ...]
) -> None:
    usual = settings.model_copy(update={"trusted_hosts": trusted, "cors_origins": (ORIGIN,)})
    async with running(usual) as (_, manager, _), connected(manager.app) as client:
        assert (await client.get("/info")).status_code == 200
        for path in ("/info", "/health", "/ready", "/nothing", "/api/v1/books"):
            for hosts in (("test", "test"), ("test", "other"), ("other", "test")):
                headers = [("Host", host) for host in hosts] + [("Origin", ORIGIN)]
                refused = await client.get(path, headers=headers)
                assert_problem(refused, 400, "bad_request")
                assert "`host`" in refused.json()["detail"]
                assert refused.headers["access-control-allow-origin"] == ORIGIN


USUAL = ["test", "TEST.example.com.", "a_b.internal:8000", "10.0.0.7:80", "[::1]:8000", "[::1]"]
NO_HOSTS = [
    "",
    "a b",
    "a,b",
    "test/x",
    "user@test",
    "test:http",
    "[::1",
    "ünï",
    "test:123456",
    "te\tst",
    "x" * 256,
    "x?",
]


async def test_what_is_no_host_is_refused(client: httpx.AsyncClient) -> None:
    for host in USUAL:
        assert (await client.get("/info", headers={"Host": host})).status_code == 200
    for host in NO_HOSTS:
        headers = {b"Host": host.encode()}
        assert_problem(await client.get("/info", headers=headers), 400, "bad_request")
        assert (await client.get("/health", headers=headers)).status_code == 200, "probes are of any host"


async def asgi(app: Any, headers: list[tuple[bytes, bytes]], path: str = "/info", **scope: Any) -> int:
    """The status of an answer to what httpx would not send."""
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        statuses.append(message.get("status", 0))

    usual = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
    }
    await app(usual | scope, receive, send)
    return statuses[0]


async def test_http_1_1_has_a_host_and_older_ones_need_none(app: FastAPI) -> None:
    async with LifespanManager(app) as manager:
        assert await asgi(manager.app, []) == 400
        assert await asgi(manager.app, [], http_version="1.0") == 200
        assert await asgi(manager.app, [], http_version="2") == 200, "it has another field for it"
        assert await asgi(manager.app, [], "/health") == 200


async def test_a_field_that_counts_once_is_refused_twice(client: httpx.AsyncClient) -> None:
    names = ["Authorization", "Content-Type", "Idempotency-Key", "Origin", "Range", "Sec-Fetch-Site", "If-Range"]
    for name, values in itertools.product(names, (("a", "b"), ("a", "a"))):
        refused = await client.get("/api/v1/books", headers=[(name, value) for value in values])
        assert_problem(refused, 400, "bad_request")
        assert f"`{name.lower()}`" in refused.json()["detail"]


async def test_two_lengths_that_differ_are_refused_where_a_server_lets_them_pass(app: FastAPI) -> None:
    async with LifespanManager(app) as manager:
        headers = [(b"host", b"test"), (b"content-length", b"1"), (b"content-length", b"2")]
        assert await asgi(manager.app, headers) == 400


async def test_a_list_may_come_in_several_fields(running_app: Running, make: Factory) -> None:
    """RFC 9110 section 5.3."""
    async with connected(running_app[0].app) as client:
        await check_lists(client, make)


async def check_lists(client: httpx.AsyncClient, make: Factory) -> None:
    alice = await make.user()
    item, headers = await make.item(alice), await make.bearer(alice)
    url = f"/api/v1/items/{item.id}"
    tag = (await client.get(url, headers=headers)).headers["etag"]
    both = [*headers.items(), ("If-None-Match", '"99"'), ("If-None-Match", tag)]
    assert (await client.get(url, headers=both)).status_code == 304
    other = [*headers.items(), ("If-Match", '"98"'), ("If-Match", '"99"')]
    assert (await client.patch(url, headers=other, json={"stock": 1})).status_code == 412
    one = [*headers.items(), ("If-Match", '"99"'), ("If-Match", tag)]
    assert (await client.patch(url, headers=one, json={"stock": 1})).status_code == 200


async def test_cookies_may_come_in_several_fields(client: httpx.AsyncClient) -> None:
    cookies = [("Cookie", "a=1"), ("Cookie", "refresh_token=wrong")]
    headers = [*cookies, ("Sec-Fetch-Site", "same-origin")]
    assert_problem(await client.post("/api/v1/auth/refresh", headers=headers), 401, "invalid_token")


QUERIES = [b"q=%ff", b"q=%ed%a0%80", b"q=\xff", b"%ff=1", b"cursor=%ff", b"sort=%00", b"q=%00", b"author=\xed"]


async def test_what_is_no_text_is_no_fault_of_ours(
    running_app: Running, make: Factory, capfd: pytest.CaptureFixture[str]
) -> None:
    """Bytes that are no UTF-8 and halves of characters, also as servers less strict than uvicorn hand them on."""
    headers = [(b"host", b"test"), (b"cookie", b"refresh_token=\xff"), (b"user-agent", b"\xff")]
    token = (await make.bearer(await make.admin()))["Authorization"].encode()
    app = running_app[0].app
    for path, query in itertools.product(("/info", "/api/v1/items", "/api/v1/books", "/api/v1/users"), QUERIES):
        for more in ([], [(b"authorization", token)], [(b"origin", b"http://test\xff")]):
            assert await asgi(app, headers + more, path, query_string=query) < 500, (path, query)
    for path in ("/info", "/api/v1/items", "/nothing", "/api/v1/books/1", ""):
        assert await asgi(app, headers, f"{path}\udcff") == 404
        assert await asgi(app, headers, f"{path}/\ufffd") in {404, 401, 422}
    refresh = "/api/v1/auth/refresh"
    assert await asgi(app, headers, refresh, method="POST", query_string=b"cookie=true&\xff") < 500
    assert "Traceback" not in capfd.readouterr().err


async def test_over_a_socket_it_is_the_same(app: FastAPI) -> None:
    async with serve(app) as server:
        for target in ("/info%0a", "/info%00", "/mounted/x%0a", "/docs/assets/favicon.png%0a"):
            assert await status_of(server, target) == 404
        assert await status_of(server, "/info", "Host: a", "Host: b") == 400
        assert await status_of(server, "/info", "Host: a", "Host: a") == 400
        assert await status_of(server, "/info", "X: a") == 400
        assert await status_of(server, "/info?q=%ff%ed%a0%80", "Host: a") == 200
        assert await status_of(server, "/%ff%fe", "Host: a") == 404
        for lengths in (("1", "2"), ("1", "1")):
            fields = [f"Content-Length: {length}" for length in lengths]
            assert await status_of(server, "/info", "Host: a", *fields) == 400


async def status_of(server: Server, target: str, *fields: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    lines = [f"GET {target} HTTP/1.1", *(fields or ("Host: a",)), "Connection: close", "", "x"]
    writer.write("\r\n".join(lines).encode())
    answer = await reader.read()
    writer.close()
    return int(answer[9:12])
