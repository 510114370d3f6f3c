"""A server to measure: `strata serve` with one worker, without rate limits, on a free port."""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

STRATA = Path(sys.executable).with_name("strata")
PASSWORD = "correct horse battery"


@asynccontextmanager
async def serve(folder: Path) -> AsyncIterator[tuple[str, int]]:
    """Its address and process id. Database: SQLite in `folder`, or what DATABASE_URL names."""
    environment = os.environ | {
        "DATA_DIR": str(folder),
        "DB_RETRY_LIMIT": "1",
        "LOG_LEVEL": "warning",
        "PYTHONUNBUFFERED": "1",
        "RATE_LIMIT_ENABLED": "false",
    }
    process = await asyncio.create_subprocess_exec(
        STRATA, "serve", "--port", "0", env=environment, cwd=folder, stdout=PIPE
    )
    try:
        yield await address(process), process.pid
    finally:
        process.terminate()
        await process.wait()


async def address(process: Process) -> str:
    assert process.stdout is not None
    async for line in process.stdout:
        if found := re.search(r"http://\S+(?=/docs)", line.decode()):
            return found[0]
    raise SystemExit("the server did not start")


async def register(url: str, names: list[str]) -> None:
    """Accounts with the password PASSWORD."""
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=60) as client:
        for name in names:
            account = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
            (await client.post("/auth/register", json=account)).raise_for_status()
