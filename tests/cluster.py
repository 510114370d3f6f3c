"""Two PostgreSQL servers of a test's own, a primary and its standby; without the programs the test is skipped."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.redis import free_port

CONFIGURATION = "listen_addresses='127.0.0.1'\nunix_socket_directories=''\nfsync=off\nwal_level=replica\n"


@dataclass(frozen=True)
class PostgresServer:
    folder: Path
    port: int

    @property
    def url(self) -> URL:
        return URL.create("postgresql", "postgres", host="127.0.0.1", port=self.port, database="postgres")

    def configure(self) -> None:
        with (self.folder / "postgresql.conf").open("a") as file:
            file.write(f"port={self.port}\n")

    def control(self, *arguments: str) -> None:
        run("pg_ctl", "-D", str(self.folder), "-w", "-l", f"{self.folder}.log", *arguments)


def programs() -> Path:
    """The folder of the newest version's."""
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *filter(None, [find_on_path()])]
    found = [folder for folder in folders if (folder / "pg_basebackup").exists() and (folder / "initdb").exists()]
    if not found:
        pytest.skip("needs the programs of a PostgreSQL server")
    return max(found)


def find_on_path() -> Path | None:
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


def run(program: str, *arguments: str) -> None:
    # None of them is for root.
    user = "postgres" if os.geteuid() == 0 else None
    command = [str(programs() / program), *arguments]
    subprocess.run(command, user=user, cwd="/", check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def primary_server() -> Iterator[PostgresServer]:
    """Not in pytest's folder, which is for its user alone."""
    programs()
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    server = PostgresServer(folder / "primary", free_port())
    try:
        run("initdb", "-D", str(server.folder), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
        (server.folder / "postgresql.conf").write_text(CONFIGURATION)
        server.configure()
        with running(server):
            yield server
    finally:
        shutil.rmtree(folder)


@contextmanager
def standby_of(primary: PostgresServer) -> Iterator[PostgresServer]:
    standby = PostgresServer(primary.folder.with_name("standby"), free_port())
    address = primary.url.render_as_string()
    run("pg_basebackup", "-d", address, "-D", str(standby.folder), "-R", "--no-sync", "-c", "fast")
    standby.configure()
    with running(standby):
        yield standby


@contextmanager
def running(server: PostgresServer) -> Iterator[None]:
    server.control("start")
    try:
        yield
    finally:
        with suppress(subprocess.CalledProcessError):  # it may have been stopped
            server.control("stop", "-m", "immediate")
