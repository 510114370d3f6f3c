"""`strata serve` as a real process on a test's database, with what a test needs to make rows and tokens for it."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL

from app.core.config.settings import Settings
from tests.conftest import SECRET, running
from tests.factories import Factory

STRATA = Path(sys.executable).with_name("strata")
PATIENCE = 60  # seconds that a start may take on a busy machine


@contextmanager
def usual_interrupt() -> Iterator[None]:
    """A process that is started meanwhile ends at Ctrl+C, also where the tests run in the background of a script.

    There SIGINT is ignored, and a program inherits that.
    """
    handler = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """`output` gets all that the process says, its log included."""

    process: subprocess.Popen[bytes]
    output: Path
    database: URL

    @classmethod
    def start(cls, settings: Settings, folder: Path, workers: int, **more: str) -> "ServerProcess":
        environment = {
            "DATABASE_URL": settings.database.render_as_string(hide_password=False),
            "JWT_SECRET_KEY": SECRET,
            "RATE_LIMIT_ENABLED": "false",
            "DATA_DIR": str(folder),
            **more,
        }
        output = folder / "server.log"
        with output.open("wb") as log, usual_interrupt():
            process = subprocess.Popen(
                [STRATA, "serve", "--port", "0", "--workers", str(workers)],
                cwd=folder,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return cls(process, output, settings.database)

    @property
    def told(self) -> str:
        return self.output.read_text()

    @property
    def port(self) -> int | None:
        """None until it has said where it is."""
        found = re.search(r"^  API +\S+:(\d+)/.*Ctrl\+C stops the server\.", self.told, re.MULTILINE | re.DOTALL)
        return int(found[1]) if found else None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """At once and with all of its workers, as when the power fails."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()


@asynccontextmanager
async def serve_process(
    settings: Settings, folder: Path, *, workers: int = 1, **more: str
) -> AsyncIterator[ServerProcess]:
    """A server on any free port, without rate limits; `more` is environment."""
    server = ServerProcess.start(settings, folder, workers, **more)
    try:
        async with asyncio.timeout(PATIENCE):
            while server.port is None:
                assert server.process.poll() is None, f"it ended:\n{server.told}"
                await asyncio.sleep(0.02)
        yield server
    finally:
        if server.process.poll() is None:
            await asyncio.to_thread(server.stop)


@asynccontextmanager
async def factory_for(settings: Settings) -> AsyncIterator[Factory]:
    """Makes rows and tokens that are good at every server with these settings."""
    async with running(settings) as (_, _, services):
        yield Factory(services)
