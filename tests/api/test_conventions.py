"""What holds for every path: slashes, problems, ids, headers, limits."""

import gzip
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.main import create_app, open_app_services
from app.models.item import Item
from tests.conftest import connected, running
from tests.factories import Factory

PROBLEM = {"type", "title", "status", "detail", "code", "request_id"}


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) == PROBLEM | ({"errors"} if code == "validation_error" else set())
    assert (body["status"], body["code"]) == (status, code)
    assert body["request_id"] == answer.headers["x-request-id"]
    assert "\n" not in body["detail"]


@pytest.mark.parametrize("path", ["/health", "/ready", "/info", "/docs", "/redoc", "/openapi.json", "/api/v1/items"])
async def test_a_trailing_slash_changes_nothing(client: httpx.AsyncClient, make: Factory, path: str) -> None:
    headers = await make.bearer(await make.user())
    plain, slashed = await client.get(path, headers=headers), await client.get(f"{path}/", headers=headers)
    assert plain.status_code == slashed.status_code == 200
    assert plain.content == slashed.content


async def test_writes_take_a_trailing_slash_too(client: httpx.AsyncClient, make: Factory) -> None:
    headers = await make.bearer(await make.user())
    created = await client.post("/api/v1/items/", json={"title": "x"}, headers=headers)
    assert created.status_code == 201
    location = created.headers["location"]
    assert (await client.patch(f"{location}/", json={"stock": 1}, headers=headers)).status_code == 200
    assert (await client.delete(f"{location}/", headers=headers)).status_code == 204


@pytest.mark.parametrize("path", ["/", "/nothing", "/api", "/api/v1", "/api/v1/items/1/nothing", "/docs/assets/no.js"])
async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient, path: str) -> None:
    assert_problem(await client.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/v1/items", "GET, HEAD, POST"),
        ("POST", "/api/v1/items/1", "DELETE, GET, HEAD, PATCH, PUT"),
        ("GET", "/api/v1/auth/login", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("TRACE", "/health", "GET, HEAD"),
        ("NONSENSE", "/health", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_names_every_right_one(
    client: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    answer = await client.request(method, path)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


async def test_head_answers_like_get_without_a_body(client: httpx.AsyncClient) -> None:
    answer = await client.head("/health")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "15"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b"", "application/json"),
        (b"[]", "application/json"),
        (b'"x"', "application/json"),
        (b"null", "application/json"),
        (b'{"title": "x"', "application/json"),
        (b"\xff\xfe", "application/json"),
        (b'{"title": "\\ud800"}', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"title": "x", "stock": ' + b"9" * 5000 + b"}", "application/json"),
        (b"title=x", "application/x-www-form-urlencoded"),
        (b'{"title": "x"}', "text/plain"),
    ],
)
async def test_a_malformed_body_is_a_problem(
    client: httpx.AsyncClient, make: Factory, body: bytes, content_type: str
) -> None:
    headers = await make.bearer(await make.user()) | {"Content-Type": content_type}
    answer = await client.post("/api/v1/items", content=body, headers=headers)
    assert answer.status_code in {400, 422}
    assert_problem(answer, answer.status_code, answer.json()["code"])
    assert answer.json()["code"] in {"validation_error", "bad_request"}


@pytest.mark.parametrize("given", ["a", "Abc-1._", "x" * 128])
async def test_a_sane_request_id_is_kept(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get("/nothing", headers={"X-Request-ID": given})
    assert_problem(answer, 404, "not_found")
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "two words", "<script>", "é"])
async def test_an_insane_request_id_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get("/health", headers={b"X-Request-ID": given.encode()})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.parametrize("path", ["/health", "/nothing", "/docs", "/api/v1/items"])
async def test_every_answer_is_timed_and_guarded(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    assert re.fullmatch(r"\d+\.\d+", headers["x-process-time"])
    assert re.fullmatch(r"app;dur=\d+\.\d+", headers["server-timing"])
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "public" not in headers["cache-control"]
    assert "strict-transport-security" not in headers, "plain HTTP in development"
    assert "server" not in headers


async def test_an_announced_body_over_the_limit_is_refused_before_anything_is_done(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice = await make.user()
    item = await make.item(alice)
    headers = await make.bearer(alice)
    too_large = b" " * (1024 * 1024 + 1)
    answers = [
        await client.post("/api/v1/items", content=too_large, headers=headers),
        await client.request("DELETE", f"/api/v1/items/{item.id}", content=too_large, headers=headers),
        await client.request("GET", "/health", content=too_large),
    ]
    for answer in answers:
        assert_problem(answer, 413, "body_too_large")
    assert await session.get(Item, item.id) is not None


async def test_a_body_without_a_length_is_cut_off_at_the_limit(client: httpx.AsyncClient, make: Factory) -> None:
    read = 0

    async def endless() -> Any:
        nonlocal read
        for _ in range(1000):
            read += 64 * 1024
            yield b" " * (64 * 1024)

    headers = await make.bearer(await make.user()) | {"Content-Type": "application/json"}
    answer = await client.post("/api/v1/items", content=endless(), headers=headers)
    assert_problem(answer, 413, "body_too_large")
    assert read <= 2 * 1024 * 1024


async def test_a_body_at_the_limit_is_read(client: httpx.AsyncClient, make: Factory) -> None:
    body = b'{"title": "x"' + b" " * (1024 * 1024 - 14) + b"}"
    headers = await make.bearer(await make.user()) | {"Content-Type": "application/json"}
    assert (await client.post("/api/v1/items", content=body, headers=headers)).status_code == 201


async def test_answers_above_a_kilobyte_are_compressed(client: httpx.AsyncClient, make: Factory) -> None:
    alice = await make.user()
    headers = await make.bearer(alice)
    small = await client.get("/health", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in small.headers
    await make.item(alice, description="x" * 2000)
    async with client.stream("GET", "/api/v1/items", headers=headers | {"Accept-Encoding": "gzip"}) as large:
        raw = b"".join([chunk async for chunk in large.aiter_raw()])
    assert large.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in large.headers["vary"]
    assert len(raw) < 1000 < len(gzip.decompress(raw))
    plain = await client.get("/api/v1/items", headers=headers | {"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


async def test_caches_learn_what_an_answer_depends_on(client: httpx.AsyncClient, make: Factory) -> None:
    alice = await make.user()
    await make.item(alice, description="x" * 2000)
    for encoding in ("gzip", "identity"):
        headers = await make.bearer(alice) | {"Accept-Encoding": encoding}
        assert (await client.get("/health", headers=headers)).headers["vary"] == "Origin"
        large = (await client.get("/api/v1/items", headers=headers)).headers["vary"]
        assert set(large.split(", ")) == {"Origin", "Accept-Encoding"}
        picture = await client.get("/docs/assets/favicon.png", headers=headers)
        assert picture.headers["vary"] == "Origin"
        assert "content-encoding" not in picture.headers, "it would not become smaller"


async def test_headers_of_the_handler_stay_but_for_those_that_tell_of_the_request(settings: Settings) -> None:
    async with running(settings) as (app, manager, _):

        @app.get("/own")
        async def own(response: Response) -> None:
            response.headers.update({"X-Frame-Options": "SAMEORIGIN", "Vary": "Cookie", "X-Request-ID": "theirs"})

        async with connected(manager.app) as client:
            answer = await client.get("/own", headers={"X-Request-ID": "mine"})
    assert answer.headers.get_list("x-frame-options") == ["SAMEORIGIN"]
    assert answer.headers.get_list("x-request-id") == ["mine"]
    assert answer.headers.get_list("vary") == ["Cookie, Origin"]
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_only_listed_origins_may_read_answers(settings: Settings) -> None:
    listed = settings.model_copy(update={"cors_origins": ("https://app.example.com",)})
    async with running(listed) as (_, manager, _), connected(manager.app) as client:
        ours = await client.get("/nothing", headers={"Origin": "https://app.example.com"})
        assert_problem(ours, 404, "not_found")
        assert ours.headers["access-control-allow-origin"] == "https://app.example.com"
        assert ours.headers["access-control-allow-credentials"] == "true"
        assert "X-Request-ID" in ours.headers["access-control-expose-headers"]
        theirs = await client.get("/health", headers={"Origin": "https://evil.example.com"})
        assert "access-control-allow-origin" not in theirs.headers
        asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,if-match"}
        preflight = await client.options("/api/v1/items/1", headers=asked | {"Origin": "https://app.example.com"})
        assert preflight.status_code == 200
        refused = await client.options("/api/v1/items/1", headers=asked | {"Origin": "https://evil.example.com"})
        assert_problem(refused, 400, "bad_request")


async def test_a_wildcard_origin_gets_no_credentials(settings: Settings) -> None:
    wildcard = settings.model_copy(update={"cors_origins": ("*",)})
    async with running(wildcard) as (_, manager, _), connected(manager.app) as client:
        answer = await client.get("/health", headers={"Origin": "https://anywhere.example.com"})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers


async def test_only_trusted_hosts_are_served(settings: Settings) -> None:
    trusting = settings.model_copy(update={"trusted_hosts": ("api.example.com", "*.internal")})
    async with running(trusting) as (_, manager, _), connected(manager.app) as client:
        for host in ("api.example.com", "api.example.com:8000", "a.internal"):
            assert (await client.get("/info", headers={"Host": host})).status_code == 200
        for host in ("evil.example.com", "example.com", ""):
            assert_problem(await client.get("/info", headers={"Host": host}), 400, "bad_request")
        for probe in ("/health", "/ready"):
            assert (await client.get(probe, headers={"Host": "10.0.0.7:8000"})).status_code == 200


async def test_production_answers_ask_for_https(settings: Settings) -> None:
    exposed = settings.model_copy(update={"environment": "production", "trusted_hosts": ("test",)})
    async with running(exposed) as (_, manager, _), connected(manager.app) as client:
        assert "max-age=" in (await client.get("/health")).headers["strict-transport-security"]


async def test_an_unexpected_error_tells_nothing_and_is_logged_once(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running(settings.model_copy(update={"cors_origins": ("https://a.example.com",)})) as (app, manager, _):

        @app.get("/broken")
        async def broken() -> None:
            secret = "a-local-secret"
            raise RuntimeError("SELECT hashed_password" + secret[:0])

        async with connected(manager.app) as client:
            answer = await client.get("/broken", headers={"Origin": "https://a.example.com"})
    assert_problem(answer, 500, "internal_error")
    assert "SELECT" not in answer.text
    assert answer.headers["access-control-allow-origin"] == "https://a.example.com", "a browser may read it"
    log = capfd.readouterr().err
    assert log.count("unhandled error") == 1
    assert answer.json()["request_id"] in log
    assert "a-local-secret" not in log


async def test_an_unreachable_database_is_a_503_with_a_time_to_wait(tmp_path: Path) -> None:
    gone = Settings.model_validate(
        {
            "environment": "test",
            "data_dir": tmp_path,
            "database_url": "postgresql://nobody@127.0.0.1:1/nothing",
            "jwt_secret_key": "x" * 20 + "abcdefghijklmnop",
            "log_level": "critical",
        }
    )

    app = create_app(gone)
    services = open_app_services(gone, Database(gone))

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = {"services": services}
        await app(scope, receive, send)

    token = services.auth.tokens.issue(
        "access",
        user_id=1,
        session_id=1,
        session_key="0" * 32,
        jti="x",
        issued_at=utc_now(),
        expires_at=utc_now() + services.auth.access_ttl,
    )
    async with connected(with_state) as client:
        assert (await client.get("/health")).status_code == 200
        for answer in (
            await client.get("/ready"),
            await client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"}),
            await client.post("/api/v1/auth/login", data={"username": "alice", "password": "x"}),
        ):
            assert_problem(answer, 503, "database_unavailable")
            assert int(answer.headers["retry-after"]) > 0
    await services.database.close()
