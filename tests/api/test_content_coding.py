"""`Accept-Encoding` is read as RFC 9110 writes it, and caches are told that it matters."""

import gzip
import os
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.types import Message

from app.api.middleware.compression import Gzip, is_compressible
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


async def sent(*messages: Message) -> list[Message]:
    """What `Gzip` makes of a response's messages."""
    passed: list[Message] = []

    async def send(message: Message) -> None:
        passed.append(message)

    compressed = Gzip(send)
    for message in messages:
        await compressed(message)
    return passed


def start(*headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": 200, "headers": list(headers)}


def body(content: bytes, more_body: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more_body}


@pytest.mark.parametrize("size", [1024, 5000, 500_000])
async def test_the_length_is_that_of_what_is_sent(size: int) -> None:
    content = os.urandom(size // 2).hex().encode()
    head, message = await sent(start((b"content-length", b"%d" % size), (b"vary", b"Origin")), body(content))
    assert gzip.decompress(message["body"]) == content
    assert dict(head["headers"]) == {
        b"content-length": b"%d" % len(message["body"]),
        b"content-encoding": b"gzip",
        b"vary": b"Origin, Accept-Encoding",
    }


async def test_each_part_of_a_stream_can_be_read_when_it_arrives() -> None:
    head, *parts = await sent(start((b"content-length", b"9")), body(b"one", True), body(b"two", True), body(b"six"))
    assert dict(head["headers"]) == {b"content-encoding": b"gzip", b"vary": b"Accept-Encoding"}
    reader = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    assert [reader.decompress(part["body"]) for part in parts] == [b"one", b"two", b"six"]
    assert reader.eof


@pytest.mark.parametrize("last", [body(b"x" * 1023), {"type": "http.response.body"}], ids=["small", "empty"])
async def test_a_small_body_of_unknown_length_is_left_as_it_is(last: Message) -> None:
    assert await sent(start(), last) == [start(), last]


@pytest.mark.parametrize(
    ("media_type", "fits"),
    [
        (b"application/json", True),
        (b"text/csv; charset=utf-8", True),
        (b"Image/PNG", False),
        (b"image/svg+xml", True),
        (b"text/event-stream; charset=utf-8", False),
        (b"video/mp4", False),
        (b"", True),
    ],
)
def test_what_is_compressed_already_or_must_not_wait_is_left_alone(media_type: bytes, fits: bool) -> None:
    assert is_compressible(start(), {b"content-type": media_type}) is fits
