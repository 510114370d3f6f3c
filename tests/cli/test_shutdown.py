"""SIGTERM: whoever could connect is answered, with one worker and with several, and nobody holds the server up."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from app.core.config import Settings
from tests.process import PATIENCE, ServerProcess, serve_process

GET = b"GET /info HTTP/1.1\r\nHost: localhost\r\n\r\n"
WAITING = 200
pytestmark = [
    pytest.mark.real_database,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]


def workers_of(server: ServerProcess) -> list[int]:
    """Those that serve: the process itself, or the children that it has made for that."""
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    spawned = [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return spawned or [pid]


async def until_ready(server: ServerProcess, workers: int) -> None:
    """Until each worker has answered, and not the first alone."""
    async with asyncio.timeout(PATIENCE):
        while server.told.count("Application startup complete") < workers:
            await asyncio.sleep(0.02)


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> bytes:
        """One whole answer to a GET of /info; fails where the connection ends before it."""
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await self.reader.readexactly(length)
            return head

    async def get(self) -> bytes:
        self.writer.write(GET)
        return await self.answer()


@asynccontextmanager
async def connected(server: ServerProcess) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


async def ask_without_end(server: ServerProcess) -> int:
    """One request after the other, and a new connection whenever the server closes one; until it refuses them."""
    answers = 0
    with suppress(ConnectionRefusedError):
        while True:
            async with connected(server) as connection:
                while b"connection: close" not in await connection.get():
                    answers += 1
    return answers


async def ask_once(server: ServerProcess, is_sent: asyncio.Semaphore) -> bytes:
    async with connected(server) as connection:
        connection.writer.write(GET)
        is_sent.release()
        return await connection.answer()


@pytest.mark.parametrize("workers", [1, 2])
async def test_whoever_could_connect_before_the_port_closed_is_answered(
    real_settings: Settings, tmp_path: Path, workers: int
) -> None:
    async with serve_process(real_settings, tmp_path, workers=workers) as server:
        await until_ready(server, workers)
        async with connected(server) as idle, connected(server) as silent:
            await idle.get()
            busy = [asyncio.create_task(ask_without_end(server)) for _ in range(5)]
            await asyncio.sleep(0.3)
            # With its workers stopped all that connect wait in the queue of the port, which nobody has accepted.
            for pid in workers_of(server):
                os.kill(pid, signal.SIGSTOP)
            is_sent = asyncio.Semaphore(0)
            waiting = [asyncio.create_task(ask_once(server, is_sent)) for _ in range(WAITING)]
            for _ in range(WAITING):
                await is_sent.acquire()
            began = time.monotonic()
            server.process.terminate()
            await asyncio.sleep(0.1)
            for pid in workers_of(server):
                os.kill(pid, signal.SIGCONT)
            answers = await asyncio.gather(*waiting)
            assert all(min(await asyncio.gather(*busy)) > 0 for _ in [0])
            assert all(answer.startswith(b"HTTP/1.1 200") and b"connection: close" in answer for answer in answers)
            assert await idle.reader.read() == b""
            assert await silent.reader.read() == b""
            assert await asyncio.to_thread(server.process.wait, 10) == 0
            assert time.monotonic() - began < 8
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/health")
        assert "Traceback" not in server.told
