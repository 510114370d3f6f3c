"""What clients are told where SQLite, or the disk below it, says no; and that all is well again once that is mended."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from sqlalchemy import Engine, event
from sqlalchemy.engine import URL

from app.core.config.settings import Settings
from app.core.db.error_codes import Meaning
from app.core.db.errors import meaning
from app.services.app_services import AppServices
from tests.conftest import POSTGRES_URL, connected, running, settings_for
from tests.factories import Factory

pytestmark = [
    pytest.mark.real_database,
    pytest.mark.skipif(POSTGRES_URL is not None, reason="PostgreSQL has codes of its own"),
]

ITEMS = "/api/v1/items"
UNAVAILABLE, FULL = (503, "database_unavailable"), (507, "insufficient_storage")


class Client(NamedTuple):
    http: httpx.AsyncClient
    headers: dict[str, str]
    services: AppServices

    async def read(self) -> httpx.Response:
        return await self.http.get(ITEMS, headers=self.headers)

    async def write(self) -> httpx.Response:
        return await self.http.post(ITEMS, json={"title": "x", "description": "x" * 1000}, headers=self.headers)

    @property
    def path(self) -> Path:
        return Path(str(self.services.database.engine.url.database))


@asynccontextmanager
async def client_of(settings: Settings) -> AsyncIterator[Client]:
    async with running(settings) as (_, manager, services), connected(manager.app) as http:
        make = Factory(services)
        yield Client(http, await make.bearer(await make.user()), services)


@pytest.fixture
async def client(real_settings: Settings) -> AsyncIterator[Client]:
    async with client_of(real_settings) as client:
        yield client


def told(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("retry-after" in answer.headers) == (answer.status_code == 503)
    return answer.status_code, answer.json()["code"]


async def with_pragma(client: Client, pragma: str) -> None:
    """For all connections that are made from now on."""
    await client.services.database.close()
    engine: Engine = client.services.database.engine.sync_engine
    event.listen(engine, "connect", lambda connection, _: connection.cursor().execute(f"PRAGMA {pragma}"))


async def test_a_database_that_may_not_grow_has_no_room(client: Client) -> None:
    with closing(sqlite3.connect(client.path)) as connection:
        connection.execute("VACUUM")  # migrations leave pages free
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    await with_pragma(client, f"max_page_count={pages}")
    statuses = [(await client.write()).status_code for _ in range(20)]  # what is there already has room for some
    assert set(statuses[-10:]) == {507}
    assert told(await client.write()) == FULL
    assert (await client.read()).json()["total"] == statuses.count(201)
    await with_pragma(client, f"max_page_count={pages + 1000}")
    assert (await client.write()).status_code == 201


async def test_a_connection_that_may_not_write_is_not_used_again(client: Client) -> None:
    await with_pragma(client, "query_only=1")
    assert told(await client.write()) == UNAVAILABLE
    await with_pragma(client, "query_only=0")
    assert (await client.write()).status_code == 201


async def test_who_waits_too_long_for_another_writer_is_told_so(client: Client) -> None:
    await with_pragma(client, "busy_timeout=50")
    with closing(sqlite3.connect(client.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert told(await client.write()) == UNAVAILABLE
        assert (await client.read()).status_code == 200
        other.execute("ROLLBACK")
    assert (await client.write()).status_code == 201


async def swap(client: Client, content: bytes | None) -> bytes:
    """Put something else in the place of the file; return what was there."""
    await client.services.database.close()
    before = client.path.read_bytes()
    client.path.unlink()
    if content is None:
        client.path.mkdir()
    else:
        client.path.write_bytes(content)
    return before


@pytest.mark.parametrize("kind", ["SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_CANTOPEN"])
async def test_a_file_that_is_spoiled_is_unavailable_until_it_is_mended(
    client: Client, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await client.write()).status_code == 201
    await client.services.database.close()
    good = client.path.read_bytes()
    # Of a damaged one the header is as it was, and no page after the first.
    contents = {
        "SQLITE_NOTADB": b"this is no database" * 1000,
        "SQLITE_CORRUPT": good[:4096] + b"\xff" * (len(good) - 4096),
        "SQLITE_CANTOPEN": None,
    }
    await swap(client, contents[kind])
    for answer in (await client.read(), await client.write(), await client.http.get("/ready")):
        assert told(answer) == UNAVAILABLE
    assert {record.msg.get("code") for record in caplog.records if isinstance(record.msg, dict)} >= {kind}
    await client.services.database.close()
    shutil.rmtree(client.path) if client.path.is_dir() else client.path.unlink()
    client.path.write_bytes(good)
    assert (await client.write()).status_code == 201


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small one of the test's own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if mount("-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)) != 0:
        pytest.skip("needs the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def mount(*arguments: str) -> int:
    program = shutil.which("mount")
    return 1 if program is None else subprocess.run([program, *arguments], check=False, capture_output=True).returncode


@pytest.fixture
async def on_disk(disk: Path, migrated_url: URL, tmp_path: Path) -> AsyncIterator[Client]:
    path = disk / "strata.db"
    shutil.copy(str(migrated_url.database), path)
    async with client_of(settings_for(migrated_url.set(database=str(path)), tmp_path)) as client:
        yield client


async def test_a_disk_that_is_full_is_told_by_its_name_and_reads_go_on(on_disk: Client, disk: Path) -> None:
    assert (await on_disk.write()).status_code == 201
    fill(disk / "others")
    for _ in range(3):
        assert told(await on_disk.write()) == FULL
        assert (await on_disk.read()).status_code == 200
    (disk / "others").unlink()
    assert (await on_disk.write()).status_code == 201
    listed = (await on_disk.read()).json()
    assert listed["total"] == 2, "what was refused has not happened"


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            return


async def test_a_disk_that_is_mounted_read_only_is_unavailable_until_it_is_not(on_disk: Client, disk: Path) -> None:
    assert (await on_disk.write()).status_code == 201
    await on_disk.services.database.close()
    assert mount("-o", "remount,ro", str(disk)) == 0
    for _ in range(3):
        assert told(await on_disk.write()) == UNAVAILABLE
    assert mount("-o", "remount,rw", str(disk)) == 0
    # Without a new start: connections that were opened read-only are not kept.
    for _ in range(3):
        assert (await on_disk.write()).status_code == 201


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Meaning.TRY_AGAIN),
        (sqlite3.SQLITE_BUSY_RECOVERY, Meaning.UNAVAILABLE),
        (sqlite3.SQLITE_LOCKED_SHAREDCACHE, Meaning.UNAVAILABLE),
        (sqlite3.SQLITE_READONLY_DBMOVED, Meaning.UNAVAILABLE),
        (sqlite3.SQLITE_IOERR_FSYNC, Meaning.UNAVAILABLE),
        (sqlite3.SQLITE_IOERR_SHMSIZE, Meaning.FULL),
        (sqlite3.SQLITE_CORRUPT_INDEX, Meaning.UNAVAILABLE),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, Meaning.UNAVAILABLE),
        (sqlite3.SQLITE_SCHEMA, Meaning.PLAN_AGAIN),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, Meaning.CONFLICT),
        (sqlite3.SQLITE_TOOBIG, Meaning.OUR_BUG),
        (sqlite3.SQLITE_ERROR, Meaning.OUR_BUG),
    ],
)
def test_what_no_test_can_bring_about_is_told_by_its_code_and_not_by_its_text(code: int, expected: Meaning) -> None:
    error = sqlite3.OperationalError("texte traduit")
    error.sqlite_errorcode = code
    assert meaning(error) is expected


def test_a_process_without_memory_is_no_bug() -> None:
    assert meaning(MemoryError()) is Meaning.UNAVAILABLE
    assert meaning(OSError(28, os.strerror(28))) is Meaning.FULL
