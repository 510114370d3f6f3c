"""Clients that ask for a download over a socket of their own, and take little of it or nothing."""

import asyncio
import socket
from dataclasses import dataclass

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.item import Item
from tests.server import Server

BUFFER = 4096


@dataclass(frozen=True, slots=True)
class SlowReader:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def status(self) -> int:
        """Of the answer's first line; nothing more of it is read than a small buffer takes."""
        async with asyncio.timeout(10):
            return int((await self.reader.readline()).split()[1])

    def close(self) -> None:
        self.writer.close()


async def ask(server: Server, path: str, headers: dict[str, str]) -> SlowReader:
    """Without `Accept-Encoding`: what is compressed might fit into the buffers on the way."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    taken.setblocking(False)
    await asyncio.get_running_loop().sock_connect(taken, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=taken, limit=1024)
    lines = [f"GET {path} HTTP/1.1", "Host: test", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    return SlowReader(reader, writer)


async def large_items(session: AsyncSession, owner_id: int, count: int = 1000) -> None:
    """10 KB each: more than the buffers between a server and a client hold."""
    rows = [
        {"owner_id": owner_id, "title": f"Item {number}", "version": 1, "description": "x" * 10_000}
        for number in range(count)
    ]
    await session.execute(insert(Item), rows)
    await session.commit()
