"""The three servers that are compared, each one worker on the same database."""

import asyncio
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rig.database import STRATA
from rig.wire import exchange

APPS = Path(__file__).parents[1] / "apps"
NAMES = ("strata", "limit", "tutorial")
START_SECONDS = 30
UVICORN = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
# As in production, but for limits that no load reaches; they count all the same.
STRATA_SETTINGS = {
    "ENVIRONMENT": "production",
    "TRUSTED_HOSTS": "127.0.0.1",
    "LOG_FORMAT": "json",
    "RATE_LIMIT_DEFAULT": "100000000/minute",
    "RATE_LIMIT_LOGIN": "100000000/minute",
}


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    port: int
    process: Process
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


def command(name: str, port: int) -> list[str]:
    if name == "strata":
        return [str(STRATA), "serve", "--port", str(port)]
    return [sys.executable, "-m", "uvicorn", f"{name}:app", "--app-dir", str(APPS), "--port", str(port), *UVICORN]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def serve(name: str, url: str, secret: str, folder: Path) -> AsyncIterator[Server]:
    port, log = free_port(), folder / f"{name}.log"
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": url, "JWT_SECRET_KEY": secret, "DATA_DIR": str(folder)}
    if name == "strata":
        environment |= STRATA_SETTINGS
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command(name, port),
            env=environment,
            cwd=folder,
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            start_new_session=True,  # Ctrl+C is for us: they are ended below
        )
    server = Server(name, port, process, log)
    try:
        await wait_until_it_answers(server)
        yield server
    finally:
        await end(process)


async def wait_until_it_answers(server: Server) -> None:
    for _ in range(START_SECONDS * 20):
        if server.process.returncode is not None:
            break
        try:
            await exchange(server.port, "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        except OSError:
            await asyncio.sleep(0.05)
        else:
            return
    raise SystemExit(f"{server.name} does not start:\n{server.last_words()}")


async def end(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 5)
    except TimeoutError:
        process.kill()
        await process.wait()


@asynccontextmanager
async def serve_all(urls: dict[str, str], secret: str, folder: Path) -> AsyncIterator[dict[str, Server]]:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serve(name, urls[name], secret, folder)) for name in NAMES]
        yield {server.name: server for server in servers}
