"""Below a prefix: what is told leads to where clients are, and the prefix makes no other resource of one."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.routing import iter_route_contexts

from app.api.deprecation import deprecated
from app.core.config.root_path import OWN
from app.core.config.settings import Settings
from app.main import create_app
from tests.api.asgi import scope_of
from tests.api.test_conventions import assert_problem
from tests.conftest import connected, running
from tests.factories import PASSWORD, Factory
from tests.statements import MaxQueries

PREFIX = "/shop"
# As a proxy passes it on that takes the prefix off, and one that does not.
BASES = ["", PREFIX]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"root_path": PREFIX})


def test_no_prefix_can_be_where_our_own_paths_begin(settings: Settings) -> None:
    paths = [route.path for route in iter_route_contexts(create_app(settings).routes)]
    assert paths
    assert {path.split("/")[1] for path in paths if path} <= OWN


@pytest.mark.parametrize("base", BASES)
async def test_a_location_has_the_prefix_and_leads_to_what_was_made(
    client: httpx.AsyncClient, make: Factory, base: str
) -> None:
    mine, admin = await make.bearer(await make.user()), await make.bearer(await make.admin())
    order = {"lines": [{"item_id": (await make.item(await make.user(), stock=1)).id, "quantity": 1}]}
    book = {"title": "t", "author": "a", "release_year": 1999}
    user = {"username": "bob", "email": "bob@example.com", "password": PASSWORD}
    for path, body, headers in (
        ("items", {"title": "x"}, mine),
        ("orders", order, mine),
        ("books", book, admin),
        ("users", user, admin),
    ):
        made = await client.post(f"{base}/api/v1/{path}", json=body, headers=headers)
        assert made.status_code == 201, made.text
        location = made.headers["location"]
        assert location == f"{PREFIX}/api/v1/{path}/{made.json()['id']}"
        for address in (location, location.removeprefix(PREFIX), f"{location}/"):
            assert (await client.get(address, headers=headers)).status_code == 200
    upserted = await client.put(f"{base}/api/v1/items/by-sku/A", json={"title": "x"}, headers=mine)
    assert upserted.headers["location"] == f"{PREFIX}/api/v1/items/{upserted.json()['id']}"


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_the_documentation_loads_all_it_has_from_below_the_prefix(
    client: httpx.AsyncClient, base: str, page: str
) -> None:
    answer = await client.get(base + page)
    addresses = re.findall(r"""(?:src|href|url|spec-url|oauth2RedirectUrl)(?:=|: |": )["']([^"']+)""", answer.text)
    assert len(addresses) >= 3
    assert any(address.endswith("/openapi.json") for address in addresses)
    for address in addresses:
        path = address.removeprefix("http://test")
        assert path.startswith(f"{PREFIX}/"), address
        for each in (path, path.removeprefix(PREFIX)):
            assert (await client.get(each)).status_code == 200, each


@pytest.mark.parametrize("base", BASES)
async def test_the_document_says_where_the_paths_begin(client: httpx.AsyncClient, base: str) -> None:
    for _ in range(2):
        document = (await client.get(f"{base}/openapi.json")).json()
        assert document["servers"] == [{"url": PREFIX}]
        assert all(path.startswith(("/api/", "/health", "/ready", "/info", "/.well")) for path in document["paths"])
        (scheme,) = [each for each in document["components"]["securitySchemes"].values() if "flows" in each]
        flow = scheme["flows"]["password"]
        assert flow["tokenUrl"] == f"{PREFIX}/api/v1/auth/login"
        assert flow["refreshUrl"] == f"{PREFIX}/api/v1/auth/refresh"


async def test_without_a_prefix_the_document_names_no_server(settings: Settings) -> None:
    async with (
        running(settings.model_copy(update={"root_path": ""})) as (_, manager, _),
        connected(manager.app) as plain,
    ):
        document = (await plain.get("/openapi.json")).json()
        assert "servers" not in document
        assert PREFIX not in json.dumps(document["components"]["securitySchemes"])
        assert_problem(await plain.get(f"{PREFIX}/health"), 404, "not_found")


@pytest.mark.parametrize("base", BASES)
async def test_browsers_send_the_cookie_to_the_prefix_alone(
    client: httpx.AsyncClient, make: Factory, base: str
) -> None:
    await make.user(username="alice")
    own = {"Origin": "http://test"}
    form = {"username": "alice", "password": PASSWORD}
    answer = await client.post(f"{base}/api/v1/auth/login?cookie=true", data=form, headers=own)
    assert "Path=/shop/api/v1/auth;" in answer.headers["set-cookie"]
    cookie = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
    ended = await client.post(f"{base}/api/v1/auth/logout", headers=own | cookie)
    assert ended.status_code == 204
    assert "Path=/shop/api/v1/auth;" in ended.headers["set-cookie"], "or it would not be cleared"


async def test_a_cursor_is_good_at_both_addresses(client: httpx.AsyncClient, make: Factory) -> None:
    alice = await make.user()
    ids = [(await make.item(alice)).id for _ in range(3)]
    headers = await make.bearer(alice)
    for version, rows in (("v1", "items"), ("v2", "data")):
        found = []
        for first, then in ((BASES[0], BASES[1]), (BASES[1], BASES[0])):
            url = f"/api/{version}/items?sort=id&limit=1"
            page = (await client.get(first + url, headers=headers)).json()
            cursor = page.get("next_cursor") or page["meta"]["next_cursor"]
            rest = await client.get(f"{then}{url}&cursor={cursor}", headers=headers)
            found.append(rest.json()[rows][0]["id"])
        assert found == [ids[1], ids[1]]


async def test_an_idempotency_key_is_one_key_at_both_addresses(client: httpx.AsyncClient, make: Factory) -> None:
    headers = await make.bearer(await make.user()) | {"Idempotency-Key": "a"}
    first = await client.post("/api/v1/items", json={"title": "x"}, headers=headers)
    again = await client.post("/shop/api/v1/items", json={"title": "x"}, headers=headers)
    assert again.headers["idempotency-replayed"] == "true"
    assert (again.json(), again.headers["location"]) == (first.json(), first.headers["location"])


async def test_a_cached_answer_is_one_for_both_addresses(client: httpx.AsyncClient, max_queries: MaxQueries) -> None:
    first = await client.get("/api/v1/books")
    with max_queries(1):  # for the generation
        again = await client.get("/shop/api/v1/books")
    assert (again.status_code, again.content) == (200, first.content)


async def test_probes_below_the_prefix_are_probes(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    changes = {"trusted_hosts": ("api.example.com",), "log_level": "debug", "log_format": "json"}
    async with running(settings.model_copy(update=changes)) as (_, manager, _), connected(manager.app) as client:
        for base in BASES:
            for probe in ("/health", "/ready"):
                assert (await client.get(base + probe, headers={"Host": "10.0.0.7"})).status_code == 200
            assert_problem(await client.get(f"{base}/info", headers={"Host": "10.0.0.7"}), 400, "bad_request")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "strata.access" in line]
    told = [(line["level"], line["path"]) for line in lines]
    assert told == 2 * [("debug", "/health"), ("debug", "/ready"), ("info", "/info")], "the log has one path of each"


async def test_probes_below_the_prefix_are_answered_when_there_is_too_much_else(settings: Settings) -> None:
    async with running(settings.model_copy(update={"max_concurrent_requests": 1})) as (app, manager, _):

        @app.get("/inside")
        async def inside() -> dict[str, int]:
            paths = ("/health", "/shop/health", "/info", "/shop/info")
            async with connected(manager.app) as client:
                return {path: (await client.get(path)).status_code for path in paths}

        async with connected(manager.app) as client:
            answer = await client.get("/shop/inside")
    assert answer.json() == {"/health": 200, "/shop/health": 200, "/info": 503, "/shop/info": 503}


@pytest.mark.parametrize(
    "path", ["/shop", "/shop/", "/shopping/health", "/Shop/health", "/shop/nothing", "/a/shop/health"]
)
async def test_what_is_not_there_is_not_there_below_the_prefix_either(client: httpx.AsyncClient, path: str) -> None:
    assert_problem(await client.get(path), 404, "not_found")


async def test_a_wrong_method_below_the_prefix_names_the_right_ones(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/shop/api/v1/items")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"


async def test_the_token_endpoint_below_the_prefix_answers_as_oauth_asks(client: httpx.AsyncClient) -> None:
    answer = await client.post("/shop/api/v1/auth/token", data={"grant_type": "password"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("name", ["X-Forwarded-Prefix", "X-Script-Name", "X-Forwarded-Path"])
async def test_no_header_chooses_the_prefix(client: httpx.AsyncClient, make: Factory, name: str) -> None:
    evil = {name: "/evil"}
    for page in ("/docs", "/redoc", "/openapi.json"):
        assert "/evil" not in (await client.get(page, headers=evil)).text
    headers = await make.bearer(await make.user())
    made = await client.post("/api/v1/items", json={"title": "x"}, headers=headers | evil)
    assert made.headers["location"].startswith("/shop/api/")
    assert_problem(await client.get("/evil/health", headers=evil), 404, "not_found")


@pytest.fixture
async def more(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application with routes of a module's."""
    async with running(settings) as (app, manager, _):
        add_routes(app)
        async with connected(manager.app) as client:
            yield client


def add_routes(app: FastAPI) -> None:
    since = datetime(2027, 1, 31, tzinfo=UTC)

    @app.get("/old", **deprecated(since, successor="/api/v2/items", docs="https://example.com/moving"))
    async def old() -> None: ...

    @app.get("/elsewhere", **deprecated(since, successor="//example.com/items"))
    async def elsewhere() -> None: ...

    @app.get("/address/{number}")
    async def address(request: Request, number: int) -> str:
        return str(request.url_for("address", number=number + 1))


@pytest.mark.parametrize("base", BASES)
async def test_the_links_of_what_is_to_go_lead_below_the_prefix(more: httpx.AsyncClient, base: str) -> None:
    assert (await more.get(f"{base}/old")).headers.get_list("link") == [
        '</shop/api/v2/items>; rel="successor-version"',
        '<https://example.com/moving>; rel="deprecation"',
    ]
    assert (await more.get(f"{base}/elsewhere")).headers["link"] == '<//example.com/items>; rel="successor-version"'


@pytest.mark.parametrize("base", BASES)
async def test_a_module_gets_addresses_below_the_prefix(more: httpx.AsyncClient, base: str) -> None:
    address = (await more.get(f"{base}/address/1")).json()
    assert address == "http://test/shop/address/2"
    assert (await more.get(address)).json() == "http://test/shop/address/3"


async def test_a_prefix_may_come_encoded_and_from_servers_that_keep_no_raw_path(settings: Settings) -> None:
    async with running(settings) as (_, manager, _), connected(manager.app) as client:
        for path in ("/%73hop/health", "/shop%2Fhealth"):
            assert (await client.get(path)).status_code == 200
        statuses: list[int] = []

        async def send(message: Any) -> None:
            statuses.append(message.get("status", 0))

        scope = scope_of("GET", "/shop/health") | {"headers": [(b"host", b"test")], "state": dict(manager._state)}
        del scope["raw_path"]
        await manager.app(scope, None, send)  # type: ignore[arg-type] # nothing is received
        assert statuses[0] == 200


async def test_the_pages_files_are_told_from_their_compressed_forms(client: httpx.AsyncClient) -> None:
    """A range of the file is no part of what was sent compressed: `If-Range` must not fit both."""
    url = f"{PREFIX}/docs/assets/swagger-ui.css"
    whole = await client.get(url, headers={"Accept-Encoding": "gzip"})
    assert (whole.status_code, whole.headers["content-encoding"]) == (200, "gzip")
    tag = whole.headers["etag"]
    resumed = await client.get(url, headers={"Range": "bytes=100-", "If-Range": tag, "Accept-Encoding": "identity"})
    assert (resumed.status_code, resumed.content) == (200, whole.content)
    assert (await client.get(url, headers={"If-None-Match": tag})).status_code == 304
    part = await client.get(url, headers={"Range": "bytes=0-9", "Accept-Encoding": "identity"})
    assert (part.status_code, part.content) == (206, whole.content[:10])
