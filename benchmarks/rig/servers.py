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
from rig.processes import child
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
    "RATE_LIMIT_DEFAULT": "1000000/minute",
    "RATE_LIMIT_LOGIN": "1000000/minute",
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
    how = {"env": environment, "cwd": folder, "stdin": DEVNULL, "stderr": STDOUT}
    with log.open("wb") as output:
        async with child(*command(name, port), stdout=output, **how) as process:
            server = Server(name, port, process, log)
            await wait_until_it_answers(server)
            yield server


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


@asynccontextmanager
async def serve_all(url: str, secret: str, folder: Path) -> AsyncIterator[dict[str, Server]]:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serve(name, url, secret, folder)) for name in NAMES]
        yield {server.name: server for server in servers}
