"""A plan of a route's dependencies does what FastAPI's own walk of them does."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from asgi_lifespan import LifespanManager
from fastapi import APIRouter, Cookie, Depends, FastAPI, Form, Header, Path, Query, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from pydantic import BaseModel, Field
from sqlalchemy.engine import URL

from app.api.fastpath.plan import Plan
from app.api.router import Router
from app.core.errors import ForbiddenError
from app.main import create_app
from tests.conftest import connected, of_the_fast_path, settings_for

pytestmark = of_the_fast_path

calls: list[str] = []


class Thing(BaseModel):
    name: Annotated[str, Field(min_length=2)]
    size: int = 1


async def who(request: Request, x_name: Annotated[str, Header(max_length=5)] = "nobody") -> str:
    calls.append("who")
    if x_name == "evil":
        raise ForbiddenError
    return f"{request.method} {x_name}"


async def scoped(needed: SecurityScopes, name: Annotated[str, Depends(who)]) -> list[str]:
    calls.append(f"scoped {needed.scope_str}")
    return [name, *needed.scopes]


async def paging(
    limit: Annotated[int, Query(ge=1, le=100)] = 20, after: Annotated[str | None, Query(alias="from")] = None
) -> tuple[int, str | None]:
    calls.append("paging")
    return limit, after


async def marked(response: Response, paged: Annotated[tuple[int, str | None], Depends(paging)]) -> Any:
    calls.append("marked")
    response.headers["X-Mark"] = str(paged[0])
    return paged


async def forbidding(x_stop: Annotated[bool, Header()] = False) -> None:
    calls.append("forbidding")
    if x_stop:
        raise ForbiddenError


async def generated() -> AsyncIterator[str]:
    yield "generated"


def plain() -> str:
    return "plain"


Name = Annotated[str, Depends(who)]
One = Annotated[list[str], Security(scoped, scopes=["one"])]


def routes(router: APIRouter) -> APIRouter:  # noqa: C901 - a list of small handlers
    @router.get("/things/{number}", dependencies=[Depends(forbidding)])
    async def read(
        number: Annotated[int, Path(ge=1)], one: One, name: Name, marked: Annotated[Any, Depends(marked)]
    ) -> dict[str, Any]:
        return {"number": number, "one": one, "name": name, "marked": marked}

    @router.get("/scopes")
    async def read_scopes(one: One, two: Annotated[list[str], Security(scoped, scopes=["two"])]) -> list[Any]:
        return [one, two]

    @router.get("/needed")
    async def read_needed(
        needed: int, several: Annotated[list[str] | None, Query()] = None, crumb: Annotated[str, Cookie()] = "none"
    ) -> list[Any]:
        return [needed, several, crumb]

    @router.post("/things", status_code=201)
    async def create(thing: Thing, name: Name, paged: Annotated[Any, Depends(paging)]) -> dict[str, Any]:
        return {"thing": thing, "name": name, "paged": paged}

    @router.put("/things")
    async def replace(name: Name, thing: Thing | None = None) -> Any:
        return thing or name

    @router.post("/two")
    async def two_bodies(one: Thing, two: Thing) -> Any:
        return [one, two]

    @router.post("/form")
    async def form(field: Annotated[str, Form()]) -> str:
        return field

    @router.get("/generated")
    async def read_generated(value: Annotated[str, Depends(generated)]) -> str:
        return value

    @router.get("/plain")
    async def read_plain(value: Annotated[str, Depends(plain)]) -> str:
        return value

    return router


@pytest.fixture(scope="module")
def apps(migrated_url: URL, tmp_path_factory: pytest.TempPathFactory) -> tuple[FastAPI, FastAPI]:
    """One whose dependencies are planned, and one that makes FastAPI walk them."""
    folder = tmp_path_factory.mktemp("data")
    planned, walking = (
        create_app(settings_for(migrated_url, folder, session_cache=False, fast_path=mode)) for mode in ("auto", "off")
    )
    for app in (planned, walking):
        app.include_router(routes(Router(prefix="/try")))
    return planned, walking


@pytest.fixture
async def clients(apps: tuple[FastAPI, FastAPI]) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    planned, walking = apps
    async with (
        LifespanManager(planned) as here,
        LifespanManager(walking) as there,
        connected(here.app) as first,
        connected(there.app) as second,
    ):
        yield first, second


def without_repetition(body: dict[str, Any]) -> dict[str, Any]:
    """FastAPI tells the faults of a dependency as often as it is named."""
    faults = {json.dumps(fault, sort_keys=True) for fault in body.pop("errors", [])}
    return {**{name: value for name, value in body.items() if name != "request_id"}, "faults": sorted(faults)}


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "/things/5", {}),
        ("GET", "/things/5?limit=7&from=x", {"headers": {"X-Name": "alice"}}),
        ("GET", "/things/0?limit=0", {"headers": {"X-Name": "too long"}}),
        ("GET", "/things/five?limit=many", {}),
        ("GET", "/things/0", {"headers": {"X-Name": "evil"}}),
        ("GET", "/things/0?limit=0", {"headers": {"X-Stop": "true"}}),
        ("GET", "/things/5", {"headers": {"X-Stop": "perhaps"}}),
        ("GET", "/scopes", {}),
        ("GET", "/needed", {}),
        ("GET", "/needed?needed=1&several=a&several=b", {"headers": {"Cookie": "crumb=some"}}),
        ("POST", "/things", {"json": {"name": "lamp"}}),
        ("POST", "/things?limit=0", {"json": {"name": "x", "size": "big"}, "headers": {"X-Name": "too long"}}),
        ("POST", "/things", {"json": {"name": "x"}, "headers": {"X-Name": "evil"}}),
        ("POST", "/things", {}),
        ("POST", "/things", {"content": b"{", "headers": {"Content-Type": "application/json"}}),
        ("POST", "/things", {"content": b'{"name": "lamp"}', "headers": {"Content-Type": "text/plain"}}),
        ("POST", "/things", {"json": None, "headers": {"Content-Type": "application/json"}}),
        ("POST", "/things", {"content": b"null", "headers": {"Content-Type": "application/json"}}),
        ("POST", "/things", {"content": b'{"name": NaN}', "headers": {"Content-Type": "application/json"}}),
        ("POST", "/things", {"content": rb'{"name": "\ud800"}', "headers": {"Content-Type": "application/json"}}),
        ("POST", "/things", {"content": b'{"name": "\xff"}', "headers": {"Content-Type": "application/json"}}),
        ("POST", "/things", {"content": b"9" * 5000, "headers": {"Content-Type": "application/json"}}),
        ("POST", "/things", {"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}),
        ("PUT", "/things", {}),
        ("PUT", "/things", {"json": {"name": "lamp"}}),
        ("PUT", "/things", {"json": []}),
        ("POST", "/two", {"json": {"one": {"name": "lamp"}, "two": {"name": "x"}}}),
        ("POST", "/form", {"data": {"field": "x"}}),
        ("GET", "/generated", {}),
        ("GET", "/plain", {}),
    ],
)
async def test_a_plan_answers_as_the_walk_does(
    clients: tuple[httpx.AsyncClient, httpx.AsyncClient], method: str, path: str, options: dict[str, Any]
) -> None:
    found = []
    for client in clients:
        calls.clear()
        answer = await client.request(method, f"/try{path}", **options)
        body = without_repetition(answer.json()) if answer.text[:1] == "{" else answer.text
        found.append((answer.status_code, body, answer.headers.get("x-mark"), list(calls)))
    assert found[0] == found[1]


def test_what_only_fastapi_knows_has_no_plan() -> None:
    planned = {}
    for route in routes(APIRouter()).routes:
        assert isinstance(route, APIRoute)
        planned[route.name] = Plan.of(route.dependant) is not None
    without = {name for name, is_planned in planned.items() if not is_planned}
    assert without == {"two_bodies", "form", "read_generated", "read_plain"}
