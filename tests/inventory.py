"""An inventory in the test's own event loop: a real HTTP server that answers what a test tells it to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reply:
    """`body` is sent as it is; without a status the connection is cut in place of an answer."""

    body: bytes = b'{"stock": 7}'
    status: int | None = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0


@dataclass
class FakeInventory:
    """Gives `replies` one after the other, then `reply` for good."""

    port: int = 0
    reply: Reply = Reply()
    replies: list[Reply] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0
    on_request: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self.answer(await reader.readuntil(b"\r\n\r\n"), writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is gone
        finally:
            writer.close()

    async def answer(self, request: bytes, writer: asyncio.StreamWriter) -> bool:
        first, *lines = request.decode("latin-1").rstrip("\r\n").split("\r\n")
        self.paths.append(first)
        self.headers.append({name.lower(): value for name, _, value in (line.partition(": ") for line in lines)})
        self.on_request()
        reply = self.replies.pop(0) if self.replies else self.reply
        await asyncio.sleep(reply.delay)
        if reply.status is None:
            return False
        headers = {"Content-Type": "application/json", "Content-Length": str(len(reply.body))} | reply.headers
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {reply.status} X\r\n{head}\r\n".encode() + reply.body)
        await writer.drain()
        return "Connection" not in reply.headers


def counted(stock: object) -> Reply:
    return Reply(json.dumps({"stock": stock}).encode())


@asynccontextmanager
async def fake_inventory(port: int = 0) -> AsyncIterator[FakeInventory]:
    inventory = FakeInventory()
    server = await asyncio.start_server(inventory.serve, "127.0.0.1", port)
    inventory.port = server.sockets[0].getsockname()[1]
    try:
        yield inventory
    finally:
        server.close()
        server.close_clients()
        await server.wait_closed()
