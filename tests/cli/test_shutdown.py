"""SIGTERM: whoever could connect is answered, with one worker and with several, and nobody holds the server up."""

import asyncio
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from app.cli.serve import GRACE_SECONDS, uvicorn_config
from app.cli.server import Worker
from app.core.config.settings import Settings
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


def send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def is_locked(database: URL) -> bool:
    """Whether somebody is in the middle of writing to SQLite, where nobody else can meanwhile."""
    if database.get_backend_name() != "sqlite":
        return False
    with closing(sqlite3.connect(str(database.database), timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
    return False


@contextmanager
def stopped(server: ServerProcess, pids: Iterable[int]) -> Iterator[None]:
    """In no transaction: each worker of a server also runs jobs."""
    send(pids, signal.SIGSTOP)
    while is_locked(server.database):
        send(pids, signal.SIGCONT)
        time.sleep(0.02)
        send(pids, signal.SIGSTOP)
    yield
    send(pids, signal.SIGCONT)


async def until_all_serve(server: ServerProcess) -> None:
    """Each worker answers while the others are stopped."""
    workers = workers_of(server)
    for worker in workers:
        with stopped(server, set(workers) - {worker}):
            async with connected(server) as connection:
                await connection.get()


async def ask_without_end(server: ServerProcess) -> int:
    """One request after the other, until the server refuses to be connected to; how often it has said to close."""
    closings = 0
    with suppress(ConnectionRefusedError):
        while True:
            async with connected(server) as connection:
                while b"connection: close" not in await connection.get():
                    pass
                closings += 1
    return closings


async def ask_once(server: ServerProcess, is_sent: asyncio.Semaphore) -> bytes:
    async with connected(server) as connection:
        connection.writer.write(GET)
        is_sent.release()
        return await connection.answer()


async def assert_all_who_could_connect_are_answered(server: ServerProcess) -> None:
    """It is told to end while some talk to it and others wait for it."""
    async with connected(server) as idle, connected(server) as silent:
        await idle.get()
        busy = [asyncio.create_task(ask_without_end(server)) for _ in range(5)]
        await asyncio.sleep(0.3)
        is_sent = asyncio.Semaphore(0)
        # All that connect meanwhile wait in the queue of the port, and nobody has accepted them.
        with stopped(server, workers_of(server)):
            waiting = [asyncio.create_task(ask_once(server, is_sent)) for _ in range(WAITING)]
            for _ in range(WAITING):
                await is_sent.acquire()
            began = time.monotonic()
            server.process.terminate()
        answers = await asyncio.gather(*waiting)
        assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
        assert min(await asyncio.gather(*busy)) > 0
        assert [await connection.reader.read() for connection in (idle, silent)] == [b"", b""]
        assert await asyncio.to_thread(server.process.wait, 10) == 0
        assert time.monotonic() - began < 8
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)
    assert "Traceback" not in server.told


async def test_whoever_could_connect_before_the_port_closed_is_answered(
    real_settings: Settings, tmp_path: Path
) -> None:
    async with serve_process(real_settings, tmp_path) as server:
        await until_all_serve(server)
        await assert_all_who_could_connect_are_answered(server)


async def until(is_so: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110 - it looks at other processes
            await asyncio.sleep(0.05)


async def assert_one_that_dies_is_replaced(server: ServerProcess) -> None:
    await until_all_serve(server)
    victim, survivor = workers_of(server)
    # Just when it is asked whether it is still alive, for which a busy one may take long.
    with stopped(server, [victim]):
        await asyncio.sleep(0.7)
        os.kill(victim, signal.SIGKILL)
    await until(lambda: len(set(workers_of(server)) - {victim, survivor}) == 1, GRACE_SECONDS / 2)
    await until_all_serve(server)
    assert survivor in workers_of(server)


@pytest.mark.slow
async def test_of_two_workers_one_that_dies_is_replaced_and_both_answer_to_the_end(
    real_settings: Settings, tmp_path: Path
) -> None:
    """In one server: the start of each worker costs a second or more."""
    async with serve_process(real_settings, tmp_path, workers=2) as server:
        await assert_one_that_dies_is_replaced(server)
        await assert_all_who_could_connect_are_answered(server)


def test_a_worker_that_is_exchanged_leaves_the_port_to_the_others(settings: Settings) -> None:
    config = uvicorn_config(settings, reload=False)
    assert Worker(config, []).server.owns_port is False


async def test_who_connects_while_it_starts_is_answered_though_it_is_to_end(
    real_settings: Settings, tmp_path: Path
) -> None:
    async with serve_process(real_settings, tmp_path) as server:
        # The address has just been shown, and the application is not imported yet.
        asked = asyncio.create_task(ask_once(server, asyncio.Semaphore(0)))
        await asyncio.sleep(0.05)
        server.process.terminate()
        assert (await asked).startswith(b"HTTP/1.1 200")
        assert await asyncio.to_thread(server.process.wait, 20) == 0
