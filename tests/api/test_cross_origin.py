"""Scripts of other origins: what they may send, and that they can read every answer, whichever layer gives it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from fastapi import FastAPI

from app.api.middleware.head_limit import MAX_FIELDS
from app.cli import http_protocol
from app.cli import server as graceful
from app.core.config.settings import Settings
from app.core.errors import DatabaseUnavailableError
from app.main import create_app
from tests.conftest import connected, running
from tests.server import serve

ORIGIN = "https://app.example.com"
STRANGER = "https://evil.example.com"
type Call = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]
type Provoke = tuple[int, str, Call]


def with_settings(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"cors_origins": (ORIGIN,), "trusted_hosts": ("test", "127.0.0.1"), **changes})


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running(with_settings(settings)) as (app, manager, _):
        app.add_api_route("/broken", broken)
        app.add_api_route("/down", down)
        async with connected(manager.app, headers={"Origin": ORIGIN}) as client:
            yield client


async def broken() -> None:
    raise RuntimeError


async def down() -> None:
    raise DatabaseUnavailableError


async def pieces() -> AsyncIterator[bytes]:
    for _ in range(40):
        yield b"x" * 64 * 1024


# What answers, its status and code, and what it takes.
LAYERS: dict[str, Provoke] = {
    "HeadLimit": (431, "headers_too_large", lambda c: c.get("/info", headers=[("X-Many", "1")] * MAX_FIELDS)),
    "RequestForm": (400, "bad_request", lambda c: c.get("/info", headers=[("Range", "a"), ("Range", "b")])),
    "RequestForm's hosts": (400, "bad_request", lambda c: c.get("/info", headers={"Host": "a b"})),
    "the host check": (400, "bad_request", lambda c: c.get("/info", headers={"Host": "evil.example.com"})),
    "the announced body": (413, "body_too_large", lambda c: c.post("/api/v1/auth/login", content=b"x" * 2**21)),
    "the counted body": (413, "body_too_large", lambda c: c.post("/api/v1/auth/register", content=pieces())),
    "the router": (404, "not_found", lambda c: c.get("/nothing")),
    "the router's methods": (405, "method_not_allowed", lambda c: c.delete("/info")),
    "a dependency": (401, "not_authenticated", lambda c: c.get("/api/v1/items")),
    "validation": (422, "validation_error", lambda c: c.post("/api/v1/auth/register", json={})),
    "AppError": (503, "database_unavailable", lambda c: c.get("/down")),
    "LastResort": (500, "internal_error", lambda c: c.get("/broken")),
    "CORS": (400, "bad_request", lambda c: c.options("/info", headers={"Access-Control-Request-Method": "FOO"})),
}


# What a preflight asks for, as browsers write it.
ADDED = {
    "ours": ("authorization", "content-type", "if-match", "idempotency-key", "x-request-id"),
    "OpenTelemetry, Sentry": ("traceparent", "tracestate", "baggage", "sentry-trace"),
    "Datadog": ("x-datadog-origin", "x-datadog-parent-id", "x-datadog-sampling-priority"),
    "Zipkin": ("b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled"),
    "other tracing": ("request-id", "request-context", "newrelic", "elastic-apm-traceparent"),
    "axios, jQuery, Rails": ("x-requested-with", "x-csrf-token", "x-xsrf-token"),
    "no caching": ("cache-control", "pragma", "expires", "if-modified-since"),
    "media players": ("accept", "accept-language", "accept-encoding", "range", "if-range"),
    "EventSource in scripts": ("cache-control", "last-event-id"),
    "tus": ("tus-resumable", "upload-length", "upload-metadata", "upload-offset"),
}


def assert_readable(answer: httpx.Response, status: int, code: str | None = None, layer: str = "") -> None:
    assert answer.status_code == status, layer
    assert answer.headers["access-control-allow-origin"] == ORIGIN, layer
    assert answer.headers["access-control-allow-credentials"] == "true", layer
    assert "Origin" in answer.headers["vary"].split(", "), layer
    assert answer.headers["x-content-type-options"] == "nosniff", layer
    if code is not None:
        assert answer.headers["content-type"] == "application/problem+json", layer
        assert answer.json()["code"] == code, layer
        assert answer.json()["request_id"] == answer.headers["x-request-id"], layer


async def test_scripts_can_read_the_refusal_of_every_layer(client: httpx.AsyncClient) -> None:
    for layer, (status, code, call) in LAYERS.items():
        assert_readable(await call(client), status, code, layer)


async def test_those_of_an_origin_that_is_not_listed_cannot(client: httpx.AsyncClient) -> None:
    client.headers["Origin"] = STRANGER
    for layer, (_, _, call) in LAYERS.items():
        answer = await call(client)
        assert answer.status_code >= 400, layer
        assert "access-control-allow-origin" not in answer.headers, layer
        assert "Origin" in answer.headers["vary"].split(", "), layer


async def test_scripts_can_read_what_is_no_refusal(client: httpx.AsyncClient) -> None:
    for path in ("/health", "/ready", "/info", "/docs", "/openapi.json", "/api/v1/books"):
        assert_readable(await client.get(path), 200)


async def test_scripts_can_read_that_there_are_too_many_requests_and_their_preflights_pass(settings: Settings) -> None:
    inside, opened = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        inside.set()
        await opened.wait()

    app = create_app(with_settings(settings, max_concurrent_requests=1))
    app.add_api_route("/wait", wait)
    async with connected(app, headers={"Origin": ORIGIN}) as client:
        waiting = asyncio.create_task(client.get("/wait"))
        await inside.wait()
        assert_readable(await client.get("/info"), 503, "overloaded")
        assert_readable(await preflight(client, "GET"), 200)
        assert_readable(await preflight(client, "FOO"), 400, "bad_request")
        opened.set()
        await waiting


async def test_scripts_can_read_what_the_server_itself_refuses(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "SLOW_SECONDS", 0)
    monkeypatch.setattr(graceful, "LOOK_TICKS", 1)
    head = f"GET /info HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: {ORIGIN}\r\nX-Request-ID: mine\r\nDNT: 1\r\n"
    async with serve(create_app(with_settings(settings))) as server:
        for rest, status in (("no field\r\n\r\n", 400), ("X-Long: " + "x" * 2**17, 431), ("X-Slow: ", 408)):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write((head + rest).encode())
            answer = (await reader.read()).decode()
            writer.close()
            assert answer.startswith(f"HTTP/1.1 {status} ")
            assert f"access-control-allow-origin: {ORIGIN}" in answer
            assert "x-request-id: mine" in answer
            assert "application/problem+json" in answer


async def test_scripts_can_read_that_the_server_ends_before_their_request_has(settings: Settings) -> None:
    inside = asyncio.Event()

    async def wait() -> None:
        inside.set()
        await asyncio.Event().wait()

    app: FastAPI = create_app(with_settings(settings))
    app.add_api_route("/wait", wait)
    async with httpx.AsyncClient(headers={"Origin": ORIGIN}) as client:
        async with serve(app, timeout_graceful_shutdown=0.1) as server:
            waiting = asyncio.create_task(client.get(f"{server.url}/wait"))
            await inside.wait()
        answer = await waiting
    assert_readable(answer, 503, "shutting_down")
    assert (answer.headers["connection"], answer.headers["retry-after"]) == ("close", "1")


async def preflight(client: httpx.AsyncClient, method: str, *names: str) -> httpx.Response:
    asked = {"Access-Control-Request-Method": method} | (
        {"Access-Control-Request-Headers": ",".join(names)} if names else {}
    )
    return await client.options("/api/v1/items", headers=asked)


async def test_what_common_tools_add_to_a_request_is_allowed(client: httpx.AsyncClient) -> None:
    for tool, names in ADDED.items():
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            answer = await preflight(client, method, *names)
            assert_readable(answer, 200, layer=tool)
            assert set(names) <= set(answer.headers["access-control-allow-headers"].lower().split(", "))
            assert method in answer.headers["access-control-allow-methods"].split(", ")
            assert answer.headers["access-control-max-age"] == "600"


async def test_another_header_is_refused_until_a_setting_names_it(settings: Settings) -> None:
    usual = with_settings(settings)
    async with running(usual) as (_, manager, _), connected(manager.app, headers={"Origin": ORIGIN}) as client:
        assert_readable(await preflight(client, "GET", "x-tenant"), 400, "bad_request")
    mine = usual.model_copy(update={"cors_headers": ("X-Tenant", "X-Device")})
    async with running(mine) as (_, manager, _), connected(manager.app, headers={"Origin": ORIGIN}) as client:
        assert_readable(await preflight(client, "GET", "x-tenant", "x-device", "authorization"), 200)


async def test_scripts_can_read_the_headers_that_tell_them_what_to_do(client: httpx.AsyncClient) -> None:
    exposed = (await client.get("/nothing")).headers["access-control-expose-headers"].split(", ")
    assert {
        "Accept-Ranges", "Allow", "Content-Disposition", "Content-Location", "Content-Range", "Deprecation", "ETag",
        "Idempotency-Replayed", "Link", "Location", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
        "Retry-After", "Server-Timing", "Sunset", "Tus-Resumable", "Upload-Length", "Upload-Offset",
        "WWW-Authenticate", "X-Process-Time", "X-Request-ID",
    } <= set(exposed)  # fmt: skip
