"""A home folder that the server cannot read, as in a container with another user, is told as what it is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.core.config.settings import Settings

STRATA = str(Path(sys.executable).with_name("strata"))
# What root may do beside others' rights, it may not under this.
WITHOUT_PRIVILEGES = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
NOBODY = 65534


@pytest.fixture
def closed(folder: Path) -> Path:
    path = folder / "closed"
    path.mkdir(mode=0)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    return path


def run(*command: str, **environment: str) -> str:
    privileges = WITHOUT_PRIVILEGES if os.geteuid() == 0 else []
    if privileges and shutil.which(privileges[0]) is None:
        pytest.skip("root reads everything, and there is no setpriv")
    ended = subprocess.run(
        [*privileges, STRATA, *command],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.real_database
def test_the_drivers_keys_in_a_home_that_cannot_be_read_are_told(
    closed: Path, installed: Settings, is_postgresql: bool
) -> None:
    if not is_postgresql:
        pytest.skip("SQLite has no keys")
    assert installed.db_ssl is None
    told = run("db", "current", HOME=str(closed))
    assert "set HOME to a folder that this user may read" in told
    assert "DATA_DIR" not in told


def test_a_data_directory_in_a_home_that_cannot_be_read_is_told(closed: Path) -> None:
    told = run("doctor", HOME=str(closed), DATA_DIR="~/strata")
    assert f"Cannot use {closed}/strata: Permission denied. Check DATA_DIR." in told
