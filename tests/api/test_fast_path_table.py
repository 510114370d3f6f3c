"""The table of the fast path chooses what FastAPI's own walk would choose, and tells the handler the same."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from fastapi.routing import APIRoute, iter_route_contexts
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Match
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app.api.fastpath.entries import entries_of
from app.api.fastpath.middleware import FastPath
from app.api.fastpath.table import Table
from app.api.router import Router
from app.api.routing import UnlimitedRoute
from app.core.config.settings import Settings
from app.main import create_app
from tests.conftest import connected, of_the_fast_path

pytestmark = of_the_fast_path

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "NONSENSE"]
VALUES = ["1", "x", "a.csv", "1.5", "a-b", "batch", "", "é", "%2F", "0" * 20, "00000000-0000-0000-0000-000000000000"]
KEYS = ("endpoint", "route", "path_params", "router")


async def answer(request: Request) -> dict[str, Any]:
    return {"path": request.scope["route"].path, "params": {k: str(v) for k, v in request.path_params.items()}}


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


class PickyRouter(APIRouter):
    """As above, for all of its routes."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return super().matches(scope)


class Picky(APIRoute):
    """One of which only it knows what it takes."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return super().matches(scope) if scope["path"].endswith("7") else (Match.NONE, {})


def tricky_routes() -> APIRouter:
    """Paths that get into each other's way, two routers deep."""
    inner, outer = (
        Router(prefix="/{owner}", route_class=UnlimitedRoute),
        Router(prefix="/tricky", include_in_schema=False, route_class=UnlimitedRoute),
    )
    for path in ("/things/{thing}", "/things/batch", "/{kind}/batch", "/things/{a}-{b}", "/{name}.csv", "/same"):
        inner.add_api_route(path, answer, methods=["GET"])
    inner.add_api_route("/same", answer, methods=["GET", "DELETE"])
    inner.add_api_route("/things/{thing:int}", answer, methods=["PUT", "GET"])
    inner.add_api_route("/at/{x:float}/{y:uuid}", answer, methods=["PATCH"])
    inner.add_api_route("/rest/{rest:path}", answer, methods=["DELETE"])
    inner.add_api_route("/rest/{number}", answer, methods=["GET", "DELETE"])
    inner.add_route("/plain/{name}", lambda _: PlainTextResponse("plain"))
    inner.add_api_route("/plain/{name}", answer, methods=["POST", "GET"])
    inner.add_api_websocket_route("/things/{thing}", talk)
    outer.include_router(inner)
    outer.include_router(inner, prefix="/again")
    outer.add_api_route("/x/y", answer)
    outer.add_api_route("/{a}/y", answer)
    outer.add_api_route("/x/{b}", answer, methods=["GET", "POST"])
    router = Router()
    router.include_router(outer)
    return router


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return application(tmp_path)


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """For tests that add nothing to it."""
    return application(tmp_path_factory.mktemp("data"))


def application(tmp_path: Path) -> FastAPI:
    app = create_app(Settings.model_validate({"environment": "test", "data_dir": tmp_path, "log_level": "warning"}))
    app.mount("/tricky/x/mounted", StaticFiles(directory=tmp_path))
    app.include_router(tricky_routes())
    app.router.route_class = UnlimitedRoute
    app.add_api_route("/direct/{name}", answer, include_in_schema=False)
    app.add_api_route("/direct", answer, include_in_schema=False)
    return app


def fast_path_of(app: FastAPI) -> FastPath:
    layer: Any = app.build_middleware_stack()
    while not isinstance(layer, FastPath):
        layer = layer.app
    return layer


def scope_of(app: FastAPI, method: str, path: str, root_path: str = "") -> Scope:
    return {"type": "http", "method": method, "path": path, "root_path": root_path, "headers": [], "app": app}


class FoundError(Exception):
    pass


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """FastAPI's walk ends where it would have called the route."""
    found: list[Any] = []

    async def handle(self: APIRoute, scope: Scope, *_: object) -> None:
        route: Any = scope.get("fastapi", {}).get("effective_route_context") or self
        if scope["method"] in route.methods:
            found.append(route.path_format)
            raise FoundError

    monkeypatch.setattr(APIRoute, "handle", handle)
    return found


async def walk(app: FastAPI, scope: Scope, found: list[Any]) -> Any:
    """The path of the route that FastAPI chooses; None for other kinds of routes, a 404 or a 405."""
    found.clear()
    with suppress(FoundError, HTTPException):
        await app.router(scope, None, no_answer)  # type: ignore[arg-type] # nobody receives anything
    return found[0] if found else None


async def no_answer(_: object) -> None: ...


async def assert_same(fast_path: FastPath, walked: list[Any], scope: Scope) -> bool:
    """Whether the table knew it."""
    theirs, ours = {**scope}, {**scope}
    expected = await walk(scope["app"], theirs, walked)
    operation = fast_path.find(ours)
    if operation is not None:
        assert operation.path == expected, scope
        assert {key: ours[key] for key in KEYS} == {key: theirs[key] for key in KEYS}
        assert ours.keys() == theirs.keys() - {"fastapi"}
    else:
        assert ours == scope, "it has left no traces"
    return operation is not None


def resembling(template: str, values: list[str], odd: int) -> str:
    """A path like the template, with a value at an odd place."""
    segments = [value if "{" in part else part for part, value in zip(template.split("/"), values, strict=False)]
    if 0 < odd < len(segments):
        segments[odd] = values[-1]
    return "/".join(segments)


async def test_nonsense_is_found_or_not_found_as_fastapi_does(app: FastAPI, walked: list[Any]) -> None:
    fast_path = fast_path_of(app)
    templates = sorted({entry.path for entry in entries_of(app)})
    values = st.lists(st.sampled_from(VALUES) | st.text(max_size=5), min_size=12, max_size=12)
    paths = st.builds(resembling, st.sampled_from(templates), values, st.integers(-12, 9))
    prefixes, endings = st.sampled_from(["", "/api", "/tricky"]), st.sampled_from(["", "", "", "/", "\n", "//"])
    known = 0

    @hypothesis_settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.sampled_from([*METHODS, *["GET"] * 8]), paths, endings, prefixes, st.booleans())
    def check(method: str, path: str, ending: str, prefix: str, is_prefixed: bool) -> None:
        nonlocal known
        scope = scope_of(app, method, (prefix if is_prefixed else "") + path + ending, prefix)
        try:
            assert_same(fast_path, walked, scope).send(None)
        except StopIteration as end:
            known += end.value

    check()
    assert known > 20, "it was not all nonsense"


async def test_a_scope_that_is_fastapis_already_is_left_to_it(app: FastAPI) -> None:
    fast_path = fast_path_of(app)
    assert fast_path.find(scope_of(app, "GET", "/health")) is not None
    assert fast_path.find({**scope_of(app, "GET", "/health"), "fastapi": {}}) is None


async def test_a_line_break_at_the_end_is_overlooked_as_fastapi_overlooks_it(app: FastAPI, walked: list[Any]) -> None:
    fast_path = fast_path_of(app)
    assert await assert_same(fast_path, walked, scope_of(app, "GET", "/tricky/x/y")) is True
    assert await assert_same(fast_path, walked, scope_of(app, "GET", "/tricky/x/y\n")) is False


async def test_routes_after_one_that_nobody_knows_are_left_to_fastapi(app: FastAPI, walked: list[Any]) -> None:
    router = APIRouter(route_class=Picky)
    router.add_api_route("/late/{number}", answer)
    app.include_router(router)
    app.add_api_route("/late/{number}", answer)
    fast_path = fast_path_of(app)
    for path, known in (("/direct", True), ("/late/7", False), ("/late/8", False)):
        assert await assert_same(fast_path, walked, scope_of(app, "GET", path)) is known


async def test_routers_of_a_kind_that_nobody_knows_are_left_to_fastapi(app: FastAPI, walked: list[Any]) -> None:
    limited = PickyRouter()
    limited.add_api_route("/limited", answer)
    app.include_router(limited)
    app.add_api_route("/after", answer)
    fast_path = fast_path_of(app)
    for path, known in (("/health", True), ("/limited", False), ("/after", False)):
        assert await assert_same(fast_path, walked, scope_of(app, "GET", path)) is known


async def test_a_route_that_is_added_later_is_found(app: FastAPI) -> None:
    nested = Router(route_class=UnlimitedRoute)
    app.include_router(nested, prefix="/nested")
    async with connected(app) as client:
        assert (await client.get("/late")).status_code == (await client.get("/nested/late")).status_code == 404
        app.add_api_route("/late", answer)
        nested.add_api_route("/late", answer)
        assert (await client.get("/nested/late")).status_code == 200
        assert (await client.get("/late")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "params"),
    [
        ("GET", "/tricky/me/things/5", 200, {"owner": "me", "thing": "5"}),
        ("GET", "/tricky/m%C3%A9/things/a%20b", 200, {"owner": "mé", "thing": "a b"}),
        ("GET", "/tricky/me/things/batch/", 200, {"owner": "me", "thing": "batch"}),
        ("PUT", "/tricky/me/things/5", 200, {"owner": "me", "thing": "5"}),
        ("PUT", "/tricky/me/things/x", 405, None),
        ("DELETE", "/tricky/me/rest/a/b", 200, {"owner": "me", "rest": "a/b"}),
        ("HEAD", "/tricky/me/same", 200, None),
        ("GET", "/tricky/x/mounted/nothing", 404, None),
        ("GET", "/tricky/me/things/5/6", 404, None),
    ],
)
async def test_requests_arrive(unchanged: FastAPI, method: str, path: str, status: int, params: dict[str, str]) -> None:
    async with connected(unchanged) as client:
        got = await client.request(method, path)
    assert got.status_code == status
    if params is not None:
        assert got.json()["params"] == params


async def test_a_websocket_is_served(app: FastAPI) -> None:
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {"type": "websocket", "path": "/tricky/me/things/5", "headers": [(b"host", b"x")], "subprotocols": []}
    await app({**scope, "query_string": b"", "scheme": "ws"}, receive, send)
    assert sent == ["websocket.accept", "websocket.close"]


async def test_a_failing_handler_is_answered_by_our_handlers(app: FastAPI) -> None:
    @app.get("/refuses")
    async def refuse() -> None:
        raise HTTPException(418, "short and stout")

    async with connected(app) as client:
        got: httpx.Response = await client.get("/refuses")
    assert (got.status_code, got.json()["code"], got.json()["detail"]) == (418, "http_error", "short and stout")


# Forms and downloads, and what leaves out fields that are null.
FASTAPIS_OWN = {
    "/api/v1/auth/login",
    "/api/v1/auth/refresh",
    "/api/v1/auth/token",
    "/api/v1/items/export",
    "/api/v1/users/me/export",
}


def test_all_own_operations_but_a_few_are_on_the_fast_path(settings: Settings) -> None:
    app = create_app(settings)
    table = Table.of(app)
    left = set()
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute):
            path = str(context.path_format).format_map(dict.fromkeys(context.param_convertors, "1"))
            left |= {context.path for method in context.methods or () if table.search(method, path) is None}
    assert left == FASTAPIS_OWN
