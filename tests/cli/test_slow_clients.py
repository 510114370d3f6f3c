"""How long a connection may be idle, and how long a client may take for what it has to send."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from fastapi import FastAPI, Request
from starlette.requests import ClientDisconnect

from app.cli import http_protocol
from app.cli import server as graceful
from app.cli.serve import uvicorn_config
from app.core.config.settings import Settings
from tests.cli.test_http_protocol import HEAD, Answers
from tests.conftest import borrowed_app
from tests.server import Server, serve

POST = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\n"
SLOW_SECONDS = 0.6


@pytest.fixture
def left() -> list[str]:
    """What the handler has seen of clients that left, as it thinks."""
    return []


@pytest.fixture
async def server(settings: Settings, monkeypatch: pytest.MonkeyPatch, left: list[str]) -> AsyncIterator[Server]:
    monkeypatch.setattr(http_protocol, "SLOW_SECONDS", SLOW_SECONDS)
    monkeypatch.setattr(graceful, "LOOK_TICKS", 1)
    usual = uvicorn_config(settings.model_copy(update={"keep_alive_seconds": 1}), reload=False)
    with borrowed_app(settings, add_routes) as app:
        app.state.left = left
        async with serve(app, timeout_keep_alive=usual.timeout_keep_alive) as server:
            yield server


def add_routes(app: FastAPI) -> None:
    app.add_api_route("/slow", slow)
    app.add_api_route("/echo", echo, methods=["POST"])


async def slow() -> str:
    await asyncio.sleep(SLOW_SECONDS + 0.3)
    return "done"


async def echo(request: Request) -> str:
    try:
        return (await request.body()).decode()
    except ClientDisconnect:
        request.app.state.left.append("left")
        raise


async def until_closed(reader: asyncio.StreamReader) -> Answers:
    raw = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(20):
            while piece := await reader.read(65536):
                raw += piece
    return Answers(raw)


async def drip(writer: asyncio.StreamWriter, text: bytes) -> None:
    """A byte now and then, each long before anybody would call the connection idle."""
    with suppress(ConnectionError):
        for byte in text:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.1)


def test_a_connection_may_be_idle_for_longer_than_a_balancer_keeps_it(settings: Settings) -> None:
    assert uvicorn_config(settings, reload=False).timeout_keep_alive == 75
    longer = settings.model_copy(update={"keep_alive_seconds": 620})
    assert uvicorn_config(longer, reload=False).timeout_keep_alive == 620


async def test_a_post_after_an_idle_while_is_answered_and_a_longer_one_ends_the_connection(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for _ in range(2):
        writer.write(POST + b"abcdef")
        assert (await reader.readuntil(b'"abcdef"')).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.5)
    assert (await until_closed(reader)).raw == b""
    writer.close()


@pytest.mark.parametrize("text", [b"", b"\r\n" * 100], ids=["nothing", "empty lines"])
async def test_a_connection_that_never_asks_is_closed(server: Server, text: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    dripping = asyncio.create_task(drip(writer, text))
    assert (await until_closed(reader)).raw == b""
    dripping.cancel()
    writer.close()


@pytest.mark.parametrize("before", [b"", HEAD + b"\r\n"], ids=["first", "second"])
async def test_a_head_that_comes_byte_by_byte_is_refused(server: Server, before: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(before)
    dripping = asyncio.create_task(drip(writer, HEAD + b"X-Long: " + b"x" * 1000))
    answers = await until_closed(reader)
    dripping.cancel()
    writer.close()
    assert answers.statuses == [200] * bool(before) + [408]
    headers, problem = answers.last
    assert (headers["content-type"], headers["connection"]) == ("application/problem+json", "close")
    assert problem["code"] == "request_timeout"


async def test_a_body_that_does_not_go_on_is_refused_and_its_handler_let_go(server: Server, left: list[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(POST + b"abc")
    answers = await until_closed(reader)
    writer.close()
    assert (answers.statuses, answers.last[1]["code"]) == ([408], "request_timeout")
    assert left == ["left"]


async def test_who_sends_slowly_but_sends_is_served(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(POST)
    for byte in b"abcdef":
        await asyncio.sleep(0.2)
        writer.write(bytes([byte]))
    assert (await reader.readuntil(b'"abcdef"')).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_a_client_need_send_nothing_while_its_answer_is_made(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(HEAD.replace(b"/info", b"/slow") + b"\r\n")
    assert (await reader.readuntil(b'"done"')).startswith(b"HTTP/1.1 200")
    writer.close()
