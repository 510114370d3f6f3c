"""A PgBouncer of a test's own, in transaction mode; without the program the test is skipped, but not in CI."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.redis import free_port

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def pgbouncer(url: URL, folder: Path, pool_size: int = 2) -> Iterator[URL]:
    """A real PgBouncer with few server connections in front of the database, with its defaults otherwise."""
    if PROGRAM is None:
        assert os.environ.get("CI") != "true", "CI must have pgbouncer"
        pytest.skip("needs the program pgbouncer")
    port = free_port()
    server = {
        "host": url.host,
        "port": url.port,
        "dbname": url.database,
        "user": url.username,
        "password": url.password,
    }
    target = " ".join(f"{name}={value}" for name, value in server.items() if value is not None)
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n{url.database} = {target}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = {pool_size}\n"
        "max_client_conn = 500\n"
    )
    # It refuses to be root; the settings are read before it becomes somebody else.
    as_nobody = ["-u", "nobody"] if os.geteuid() == 0 else []
    with (folder / "pgbouncer.log").open("w") as log:
        process = subprocess.Popen([PROGRAM, *as_nobody, str(config)], stderr=log)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (folder / "pgbouncer.log").read_text()
            time.sleep(0.02)
        yield url.set(host="127.0.0.1", port=port)
    finally:
        process.terminate()
        process.wait(10)
