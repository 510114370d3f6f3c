"""`Accept-Encoding` is read as RFC 9110 writes it, and caches are told that it matters."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app.core.config.settings import Settings
from tests.conftest import connected, running

LARGE = "/openapi.json"
SUITS = (
    "gzip",
    "GZIP",
    "x-gzip",
    "gzip;q=0.1",
    "gzip ; Q=1.0",
    "br, gzip;q=0.5, *;q=0",
    "*",
    "deflate, *;q=0.5",
    "identity;q=0.5, gzip;q=1",
)
DOES_NOT_SUIT = (
    "",
    "identity",
    "gzip;q=0",
    "gzip;q=0.0",
    "GZIP;Q=0.000",
    "gzip; q=0",
    "x-gzip;q=0",
    "identity;q=1, *;q=0",
    "*;q=0",
    "br, deflate",
    "gzippy",
    "gzip;q=much",
    "identity, gzip;q=0.5",
    "*, gzip;q=0",
)


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running(settings) as (_, manager, _), connected(manager.app) as client:
        yield client


async def test_gzip_is_sent_to_whom_it_suits(client: httpx.AsyncClient) -> None:
    for accepted in SUITS:
        answer = await client.get(LARGE, headers={"Accept-Encoding": accepted})
        assert answer.headers.get("content-encoding") == "gzip", accepted
        assert "Accept-Encoding" in answer.headers["vary"].split(", "), accepted
        assert answer.json()["openapi"]


async def test_it_is_not_sent_to_whom_it_does_not(client: httpx.AsyncClient) -> None:
    for accepted in DOES_NOT_SUIT:
        answer = await client.get(LARGE, headers={"Accept-Encoding": accepted})
        assert "content-encoding" not in answer.headers, accepted
        assert "Accept-Encoding" in answer.headers["vary"].split(", "), accepted


async def test_a_cache_is_told_also_where_nothing_has_changed(client: httpx.AsyncClient) -> None:
    """A 304 replaces the fields of the stored answer, which may have been compressed (RFC 9110 section 15.4.5)."""
    tag = (await client.get("/api/v1/books")).headers["etag"]
    answer = await client.get("/api/v1/books", headers={"If-None-Match": tag})
    assert answer.status_code == 304
    assert set(answer.headers["vary"].split(", ")) >= {"Accept-Encoding", "Origin"}
