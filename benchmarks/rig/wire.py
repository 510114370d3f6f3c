"""What goes over the wire: single exchanges with a server, and statements, counted on their way to PostgreSQL."""

import asyncio
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from http import HTTPStatus

SSL_REQUEST = 80877103
# Messages of the client (PostgreSQL's manual, "Message Formats"). Each Execute and each simple Query runs a statement,
# and after a Query, a Sync or a Flush the client waits.
STATEMENTS = {b"E", b"Q"}
WAITS = {b"Q", b"S", b"H"}


@dataclass(slots=True)
class Counts:
    statements: int = 0
    round_trips: int = 0

    def copy(self) -> "Counts":
        return replace(self)

    def add(self, kind: bytes) -> None:
        self.statements += kind in STATEMENTS
        self.round_trips += kind in WAITS


async def exchange(port: int, request: str) -> tuple[int, bytes]:
    """The status and the body that one request gets, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await ask(reader, writer, request)
    finally:
        writer.close()


async def ask(reader: StreamReader, writer: StreamWriter, request: str) -> tuple[int, bytes]:
    writer.write(request.encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].split("\r\n")[0] or 0)
    return int(head.split()[1]), await reader.readexactly(length)


async def ask_all(port: int, requests: list[str]) -> str | None:
    """Send them one after the other; return what has gone wrong, if anything has."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for request in requests:
            status, body = await ask(reader, writer, request)
            if not HTTPStatus(status).is_success:
                return f"{status} {body.decode()}"
        return None
    finally:
        writer.close()


@asynccontextmanager
async def counting_proxy(host: str, port: int) -> AsyncIterator[tuple[int, Counts]]:
    """A port that leads to PostgreSQL, and what has been sent through it."""
    counts = Counts()

    async def relay(client: StreamReader, to_client: StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(host, port)
        answers = asyncio.create_task(copy(server, to_client))
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await forward_start(client, to_client, to_server)
            while True:
                head = await client.readexactly(5)
                to_server.write(head + await client.readexactly(length_of(head[1:])))
                counts.add(head[:1])
        to_server.close()
        await answers

    listener = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1], counts


def length_of(field: bytes) -> int:
    """What follows a length, which counts itself."""
    length: int = struct.unpack("!I", field)[0]
    return length - len(field)


async def forward_start(client: StreamReader, to_client: StreamWriter, to_server: StreamWriter) -> None:
    """The first message has no kind; what is encrypted could not be counted, so that is declined."""
    while True:
        field = await client.readexactly(4)
        body = await client.readexactly(length_of(field))
        if struct.unpack("!I", body[:4])[0] != SSL_REQUEST:
            to_server.write(field + body)
            return
        to_client.write(b"N")


async def copy(reader: StreamReader, writer: StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()
