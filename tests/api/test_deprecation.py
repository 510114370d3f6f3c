"""Operations that are to go: what their answers, all of them, and the document say."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any

import httpx
import pytest
from asgi_lifespan import LifespanManager
from fastapi import APIRouter, Body, Depends, FastAPI, Response
from sqlalchemy.engine import URL

from app.api.deprecation import deprecated
from app.api.deps import CurrentUser
from app.api.errors import EarlyResponse
from app.api.middleware.cross_origin import EXPOSED_HEADERS
from app.core.config.settings import Settings
from app.core.errors import NotFoundError
from app.main import create_app
from tests.conftest import connected, settings_for

DEPRECATED_AT = datetime(2027, 1, 31, 23, 59, 59, 999_999, UTC)
SUNSET_AT = datetime(2027, 7, 1, 2, tzinfo=timezone(timedelta(hours=2)))
SUCCESSOR = "/api/v2/items?sort=-id"
DOCS = "https://example.com/moving"
LINKS = [f'<{SUCCESSOR}>; rel="successor-version"', f'<{DOCS}>; rel="deprecation"']
ORIGIN = "https://app.example.com"
HEADERS = {"deprecation", "sunset", "link"}
EVERYTHING = ("@1801439999", "Thu, 01 Jul 2027 00:00:00 GMT", LINKS)

old = deprecated(DEPRECATED_AT, SUNSET_AT, successor=SUCCESSOR, docs=DOCS)
router = APIRouter()
whole = APIRouter(prefix="/old/whole", **old)


@whole.get("")
async def read_whole() -> None: ...


async def refuse() -> None:
    raise NotFoundError


@router.get("/old", **old)
async def read_old() -> dict[str, str]:
    return {"still": "here"}


@router.post("/old", status_code=201)
async def create_old() -> None: ...


@router.get("/old/paged", **old)
async def page_old(response: Response) -> None:
    response.headers["Link"] = '</old/paged?page=2>; rel="next"'


@router.get("/old/private", **old)
async def private_old(_: CurrentUser) -> None: ...


@router.get("/old/number", **old)
async def number_old(number: int) -> int:
    return number


@router.post("/old/body", **old)
async def body_old(_: Annotated[dict[str, int], Body()]) -> None: ...


@router.get("/old/missing", **old)
async def missing_old() -> None:
    raise NotFoundError


@router.get("/old/unchanged", **old)
async def unchanged_old() -> None:
    raise EarlyResponse(Response(status_code=304))


@router.get("/old/broken", **old)
async def broken_old() -> None:
    raise RuntimeError


@router.get("/old/soon", **deprecated(DEPRECATED_AT, dependencies=[Depends(refuse)]))
async def soon_old() -> None: ...


@pytest.fixture(scope="module")
def app(migrated_url: URL, tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    folder = tmp_path_factory.mktemp("data")
    app = create_app(settings_for(migrated_url, folder, session_cache=False, cors_origins=ORIGIN))
    app.include_router(router, prefix="/api")
    app.include_router(whole, prefix="/api")
    return app


@pytest.fixture
async def old_client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with LifespanManager(app) as manager, connected(manager.app) as client:
        yield client


def told(answer: httpx.Response) -> tuple[str, str, list[str]]:
    return answer.headers["deprecation"], answer.headers["sunset"], answer.headers.get_list("link")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "", 200),
        ("HEAD", "", 200),
        ("GET", "/", 200),
        ("GET", "/whole", 200),
        ("GET", "/unchanged", 304),
        ("GET", "/private", 401),
        ("GET", "/missing", 404),
        ("GET", "/number?number=x", 422),
        ("POST", "/body", 422),
        ("GET", "/broken", 500),
    ],
)
async def test_every_answer_says_when_and_what_instead(
    old_client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    content = b"{malformed" if method == "POST" else None
    answer = await old_client.request(method, f"/api/old{path}", content=content)
    assert answer.status_code == status
    assert told(answer) == EVERYTHING


async def test_a_body_that_is_too_large_is_told_too(old_client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * 500_000

    answer = await old_client.post("/api/old/body", content=chunks())
    assert answer.status_code == 413
    assert told(answer) == EVERYTHING


async def test_links_of_the_handler_stay(old_client: httpx.AsyncClient) -> None:
    answer = await old_client.get("/api/old/paged")
    assert answer.headers.get_list("link") == ['</old/paged?page=2>; rel="next"', *LINKS]


async def test_what_is_not_known_yet_is_left_out_and_dependencies_are_kept(old_client: httpx.AsyncClient) -> None:
    answer = await old_client.get("/api/old/soon")
    assert answer.status_code == 404
    assert answer.headers["deprecation"] == EVERYTHING[0]
    assert not answer.headers.keys() & {"sunset", "link"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/old", 201),
        ("DELETE", "/api/old", 405),
        ("GET", "/api/older", 404),
        ("GET", "/health", 200),
        ("GET", "/docs/assets/favicon.png", 200),
    ],
)
async def test_other_answers_say_nothing(old_client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await old_client.request(method, path)
    assert answer.status_code == status
    assert not answer.headers.keys() & HEADERS


async def test_scripts_of_other_origins_can_read_it(old_client: httpx.AsyncClient) -> None:
    answer = await old_client.get("/api/old", headers={"Origin": ORIGIN})
    exposed = set(answer.headers["access-control-expose-headers"].lower().split(", "))
    assert exposed >= HEADERS
    assert sorted(EXPOSED_HEADERS, key=str.lower) == [*EXPOSED_HEADERS]


def test_the_document_strikes_it_out_and_nothing_of_ours(app: FastAPI, settings: Settings) -> None:
    paths = app.openapi()["paths"]
    assert paths["/api/old"]["get"]["deprecated"] is True
    assert "deprecated" not in paths["/api/old"]["post"]
    ours: dict[str, dict[str, Any]] = create_app(settings).openapi()["paths"]
    assert not [path for path, methods in ours.items() if any("deprecated" in each for each in methods.values())]


@pytest.mark.parametrize(
    ("deprecated_at", "changes", "message"),
    [
        (datetime(2027, 1, 1), {}, "no time zone"),  # noqa: DTZ001 - that is the point
        (DEPRECATED_AT, {"sunset_at": datetime(2028, 1, 1)}, "no time zone"),  # noqa: DTZ001 - as above
        (SUNSET_AT, {"sunset_at": DEPRECATED_AT}, "is before the deprecation"),
        (DEPRECATED_AT, {"successor": "/a>; rel=evil"}, "is no URI"),
        (DEPRECATED_AT, {"successor": "/a\r\nX: y"}, "is no URI"),
        (DEPRECATED_AT, {"docs": ""}, "is no URI"),
        (DEPRECATED_AT, {"docs": "/ä"}, "is no URI"),
    ],
)
def test_nonsense_is_refused_where_it_is_written(
    deprecated_at: datetime, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        deprecated(deprecated_at, **changes)


def test_both_may_be_the_same_instant() -> None:
    assert deprecated(DEPRECATED_AT, DEPRECATED_AT)["deprecated"] is True
