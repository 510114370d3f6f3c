"""However much of a head, of trailers or of chunk extensions a client sends: the server reads a bounded part of it."""

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from fastapi import FastAPI, Request
from uvicorn.importer import import_from_string

from app.api.middleware.head_limit import MAX_BYTES
from app.cli.http_protocol import MAX_PIPELINED, BoundedProtocol
from app.cli.serve import uvicorn_config
from app.core.config.settings import Settings
from tests.conftest import borrowed_app
from tests.server import Server, serve

HEAD = b"GET /info HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
MIB = 1024 * 1024
ORIGIN = "https://app.example.com"


@pytest.fixture
async def server(settings: Settings) -> AsyncIterator[Server]:
    with borrowed_app(settings.model_copy(update={"cors_origins": (ORIGIN,)}), add_routes) as app:
        async with serve(app) as server:
            yield server


def add_routes(app: FastAPI) -> None:
    @app.post("/echo")
    async def echo(request: Request) -> dict[str, object]:
        return {"length": len(await request.body()), "names": list(request.headers)}


class Answers:
    """What comes back on a connection until the server ends it, or until there is nothing more to wait for."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.statuses = [int(part[:3]) for part in raw.split(b"HTTP/1.1 ")[1:]]

    @property
    def last(self) -> tuple[dict[str, str], dict[str, object]]:
        head, _, body = self.raw[self.raw.rindex(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
        headers = dict(line.decode().lower().split(": ", 1) for line in head.split(b"\r\n")[1:])
        return headers, json.loads(body)


async def send(server: Server, *pieces: bytes, times: int = 1) -> Answers:
    """Send the pieces, the last one so many times, and read all that is answered until the server ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    raw = b""
    with suppress(ConnectionError):
        for piece in (*pieces[:-1], *(pieces[-1] for _ in range(times))):
            writer.write(piece)
            await writer.drain()
    with suppress(ConnectionError):
        async with asyncio.timeout(10):
            while read := await reader.read(65536):
                raw += read
    writer.close()
    return Answers(raw)


def close(head: bytes) -> bytes:
    return head + b"Connection: close\r\n\r\n"


def of_size(size: int) -> bytes:
    """A whole head of so many bytes."""
    head, end = HEAD + b"Connection: close\r\nX-Long: ", b"\r\n\r\n"
    return head + b"x" * (size - len(head) - len(end)) + end


def assert_refused(answers: Answers, code: str = "headers_too_large", *, before: int = 0) -> None:
    assert answers.statuses == [200] * before + [431 if code == "headers_too_large" else 400]
    headers, problem = answers.last
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["x-content-type-options"] == "nosniff"
    assert problem["code"] == code
    assert problem["request_id"] == headers["x-request-id"]


@pytest.fixture
async def longest_turn() -> AsyncIterator[list[float]]:
    """For how long the event loop, which server and test share, was away at most; CPU time, whatever else runs here."""
    found = [0.0]

    async def watch() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            found[0] = max(found[0], time.thread_time() - before)

    # The tests' own objects are many: to look through them takes longer than anything that is measured.
    gc.disable()
    task = asyncio.create_task(watch())
    yield found
    task.cancel()
    gc.enable()


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param((HEAD + b"X-Long: ", b"x" * MIB), id="one value"),
        pytest.param((HEAD + b"X", b"x" * MIB), id="one name"),
        pytest.param((b"GET /", b"x" * MIB), id="the target"),
        pytest.param((HEAD, b"a: b\r\n" * (MIB // 6)), id="many fields"),
        pytest.param((b"\r\n" * (MIB // 2),), id="empty lines before the head"),
        pytest.param((CHUNKED + b"3\r\nabc\r\n0\r\n", b"a: b\r\n" * (MIB // 6)), id="trailers"),
        pytest.param((CHUNKED + b"0\r\nX-Long: ", b"x" * MIB), id="one trailer"),
        pytest.param((CHUNKED + b"3;x=", b"y" * MIB), id="a chunk extension"),
    ],
)
async def test_fifty_mebibytes_of_anything_but_a_body_are_refused_at_once(
    server: Server, begin: tuple[bytes, ...], longest_turn: list[float]
) -> None:
    assert_refused(await send(server, *begin, times=50))
    assert longest_turn[0] < 0.25


async def test_a_head_of_exactly_the_bound_is_read_and_of_one_byte_more_is_not(server: Server) -> None:
    assert (await send(server, of_size(MAX_BYTES))).statuses == [200]
    assert_refused(await send(server, of_size(MAX_BYTES + 1)))


async def test_a_head_that_arrives_in_small_pieces_is_counted_as_one(server: Server) -> None:
    for size, status in ((MAX_BYTES, 200), (MAX_BYTES + 1, 431)):
        head = of_size(size)
        pieces = [head[start : start + 4096] for start in range(0, len(head), 4096)]
        assert (await send(server, *pieces)).statuses == [status]


@pytest.mark.parametrize(("fields", "status"), [(100, 200), (101, 431)])
async def test_a_hundred_fields_are_read_and_one_more_is_not(server: Server, fields: int, status: int) -> None:
    more = b"".join(b"X-%d: 1\r\n" % number for number in range(fields - 2))  # beside Host and Connection
    assert (await send(server, close(HEAD + more))).statuses == [status]


async def test_scripts_can_read_the_refusal_and_it_has_the_requests_id(server: Server) -> None:
    begin = HEAD + b"Origin: " + ORIGIN.encode() + b"\r\nX-Request-ID: mine\r\nX-Long: "
    answers = await send(server, begin, b"x" * MIB)
    assert_refused(answers)
    headers, problem = answers.last
    assert headers["access-control-allow-origin"] == ORIGIN
    assert problem["request_id"] == "mine"


async def test_a_connection_that_served_well_is_refused_all_the_same(server: Server) -> None:
    usual, body = HEAD + b"\r\n", b"Content-Length: 200000\r\n\r\n" + b"x" * 200_000
    post = b"POST /echo HTTP/1.1\r\nHost: localhost\r\n" + body
    assert_refused(await send(server, usual, post, usual, HEAD + b"X-Long: ", b"x" * MIB), before=3)


async def test_many_good_requests_on_one_connection_add_up_to_nothing(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for _ in range(5):
        writer.write(HEAD + b"X-Long: " + b"x" * 30_000 + b"\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        await reader.readuntil(b"}")
    writer.close()


async def test_a_large_body_is_no_head(server: Server) -> None:
    length = 900_000
    whole = close(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n" % length) + b"x" * length
    assert (await send(server, whole)).last[1]["length"] == length
    chunks = b"".join(b"4000\r\n" + b"x" * 0x4000 + b"\r\n" for _ in range(20)) + b"0\r\n\r\n"
    answers = await send(server, CHUNKED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + chunks)
    assert answers.last[1]["length"] == 20 * 0x4000


async def test_a_trailer_is_no_header(server: Server) -> None:
    """RFC 9110 section 6.5.1. It could say what a proxy has looked at in vain."""
    head = CHUNKED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answers = await send(server, head + b"3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
    assert (answers.statuses, answers.last[1]["length"]) == ([200], 3)
    assert "authorization" not in str(answers.last[1]["names"])


async def test_what_is_no_http_is_a_problem_as_any_other(server: Server) -> None:
    assert_refused(await send(server, b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n"), "bad_request")
    assert_refused(await send(server, b"\x16\x03\x01\x02\x00\x01\x00"), "bad_request")


async def test_requests_that_do_not_wait_for_answers_are_bounded_and_those_that_were_taken_are_answered(
    server: Server,
) -> None:
    few = await send(server, (HEAD + b"\r\n") * MAX_PIPELINED + close(HEAD))
    assert few.statuses == [200] * (MAX_PIPELINED + 1)
    many = await send(server, (HEAD + b"\r\n") * 10_000)
    assert_refused(many, "bad_request", before=MAX_PIPELINED + 1)


async def test_an_early_answer_does_not_come_twice(server: Server) -> None:
    """The path is unknown, so that nobody waits for the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(CHUNKED.replace(b"/echo", b"/nothing") + b"3;x=")
    answer = await reader.readuntil(b"}")
    writer.write(b"y" * MIB)
    answer += await reader.read()
    writer.close()
    assert Answers(answer).statuses == [404]


def test_every_way_to_serve_uses_the_protocol(settings: Settings) -> None:
    for reload in (False, True):
        assert import_from_string(str(uvicorn_config(settings, reload).http)) is BoundedProtocol
