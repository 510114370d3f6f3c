"""HTTP/1.0, other versions, requests for an upgrade and unusual targets, over real connections."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse

from app.cli.serve import uvicorn_config
from app.core.config.settings import Settings
from tests.cli.test_http_protocol import CHUNKED, HEAD, Answers, assert_refused, close, send
from tests.conftest import borrowed_app
from tests.server import Server, serve

LINES = [b"a line\n" * 1000, b"", b"another\n" * 1000]
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
BODY = b"username=alice&password=secret"


@pytest.fixture
async def server(settings: Settings) -> AsyncIterator[Server]:
    with borrowed_app(settings, add_routes) as app:
        async with serve(app, ws=uvicorn_config(settings, reload=False).ws) as server:
            yield server


def add_routes(app: FastAPI) -> None:
    app.add_api_route("/stream", stream)
    app.add_api_route("/echo", echo, methods=["POST"])


async def stream() -> StreamingResponse:
    async def lines() -> AsyncIterator[bytes]:
        for line in LINES:
            yield line

    return StreamingResponse(lines(), media_type="text/csv")


async def echo(request: Request) -> dict[str, str]:
    return {"body": (await request.body()).decode(), "path": request.url.path, "query": request.url.query}


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_http_1_0_gets_a_stream_without_chunks_and_the_end_of_the_connection(
    server: Server, encoding: str
) -> None:
    asked = f"GET /stream HTTP/1.0\r\nAccept-Encoding: {encoding}\r\nConnection: keep-alive\r\n\r\n"
    answers = await send(server, asked.encode())
    head, _, body = answers.raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert (gzip.decompress(body) if encoding == "gzip" else body) == b"".join(LINES)


async def test_http_1_0_needs_no_host_and_gets_no_interim_answer(server: Server) -> None:
    assert (await send(server, b"GET /info HTTP/1.0\r\n\r\n")).statuses == [200]
    head = b"POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab"
    assert (await send(server, head)).statuses == [200]
    assert (
        await send(
            server, close(HEAD.replace(b"GET /info", b"POST /echo") + b"Expect: 100-continue\r\nContent-Length: 0\r\n")
        )
    ).statuses == [100, 200]


@pytest.mark.parametrize("line", [b"GET /info HTTP/2.0", b"GET /info HTTP/0.9", b"GET /info", b"GET /info HTTP/1.2"])
async def test_another_version_is_refused(server: Server, line: bytes) -> None:
    assert_refused(await send(server, line + b"\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"), "bad_request")


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2 with prior knowledge"),
        pytest.param(bytes.fromhex("16030100c8010000c40303"), id="a TLS hello"),
        pytest.param(b"FOO /info HTTP/1.1\r\nHost: localhost\r\n\r\n", id="an unknown method"),
        pytest.param(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", id="CONNECT"),
        pytest.param(HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="two lengths"),
        pytest.param(HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", id="two different numbers"),
        pytest.param(HEAD + b"Content-Length: +4\r\n\r\nabcd", id="no number"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", id="chunked not last"),
        pytest.param(HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", id="a space before the colon"),
        pytest.param(CHUNKED + b"3\nabc\n0\n\n", id="lines that end with a line feed alone"),
        pytest.param(HEAD.replace(b"/info", b"http://evil.example.com/info") + b"\r\n", id="two hosts"),
    ],
)
async def test_what_others_could_take_for_something_else_is_refused_and_the_connection_closed(
    server: Server, begin: bytes
) -> None:
    assert_refused(await send(server, begin, HEAD + b"\r\n"), "bad_request")


async def test_a_coding_inside_of_chunked_is_refused(server: Server) -> None:
    head = close(CHUNKED.replace(b"\r\n\r\n", b"\r\n").replace(b"chunked", b"gzip, chunked"))
    assert_refused(await send(server, head + b"0\r\n\r\n"), "bad_request")


@pytest.mark.parametrize("target", ["http://localhost/echo?x=1", "http://LOCALHOST/echo?x=1", "/echo?x=1"])
async def test_a_target_may_name_the_host_as_well(server: Server, target: str) -> None:
    head = f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
    assert (await send(server, close(head.encode()))).last[1] == {"body": "", "path": "/echo", "query": "x=1"}


@pytest.mark.parametrize("has_length", [True, False])
async def test_the_body_of_a_request_for_an_upgrade_is_read(server: Server, has_length: bool) -> None:
    """Java's client asks for HTTP/2 with the first request of a connection, whatever that is."""
    framing = b"Content-Length: 30\r\n\r\n" if has_length else b"Transfer-Encoding: chunked\r\n\r\n1e\r\n"
    head, end = b"POST /echo HTTP/1.1\r\nHost: localhost\r\n" + UPGRADE, b"" if has_length else b"\r\n0\r\n\r\n"
    answers = await send(server, head + framing + BODY + end + close(HEAD))
    assert answers.statuses == [200, 200]
    assert BODY in answers.raw
    in_pieces = [bytes([byte]) for byte in head + framing + BODY + end]
    assert (await send(server, *in_pieces, close(HEAD))).statuses == [200, 200]


async def test_a_request_for_a_websocket_is_answered_and_so_is_the_next_one(server: Server) -> None:
    head = HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
    assert (await send(server, head + close(HEAD))).statuses == [200, 200]


async def test_a_refusal_has_nothing_of_the_request_before(server: Server) -> None:
    good = HEAD + b"X-Request-ID: first\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(good)
    await reader.readuntil(b"}")
    writer.write(b"\x16\x03garbage\r\n\r\n")
    answers = Answers(await reader.read())
    writer.close()
    assert_refused(answers, "bad_request")
    assert answers.last[1]["request_id"] != "first"


async def test_an_early_answer_reaches_a_client_that_still_sends(server: Server) -> None:
    """The connection ends after it, and would be reset under a client that has not come to reading yet."""
    head = close(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n")
    assert (await send(server, head, b"x" * 100_000, times=50)).statuses == [413]
