"""A wheel has all that a server needs: its commands run in an empty folder, far from the repository."""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.core.db.migrations import ROOT

PATIENCE = 60
CREDENTIALS = {"FIRST_ADMIN_PASSWORD": "correct horse battery staple"}


@dataclass(frozen=True, slots=True)
class Installation:
    """A wheel that was unpacked as installers do it, where its user may write nothing but an empty folder."""

    package: Path
    folder: Path

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        # Before the checkout, which is installed in these tests' environment.
        return subprocess.Popen(
            [sys.executable, "-c", "from app.cli import main; main()", *arguments],
            cwd=self.folder,
            env=inherited | {"PYTHONPATH": str(self.package), "PYTHONSAFEPATH": "1"} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, status: int = 0) -> str:
        with self.start(*arguments) as process:
            assert process.stdout is not None
            output = process.stdout.read()
        assert process.returncode == status, output
        assert "Traceback" not in output
        return output

    @contextmanager
    def serving(self) -> Iterator[str]:
        process = self.start("serve", "--port", "0", "--workers", "2", **CREDENTIALS)
        try:
            assert process.stdout is not None
            said = ""
            while not (found := re.search(r"http://127\.0\.0\.1:\d+", said)):
                line = process.stdout.readline()
                assert line, said
                said += line
            yield found[0]
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `uv build` does it, but with the library that is here: that needs no network."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def package(wheel: Path) -> Iterator[Path]:
    """Compiled, as installers do, and nobody may write there."""
    package = wheel.with_name("site-packages")
    zipfile.ZipFile(wheel).extractall(package)
    subprocess.run([sys.executable, "-m", "compileall", "-q", package], check=True)
    for path in [*package.rglob("*"), package]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = set(package.rglob("*"))
    yield package
    assert set(package.rglob("*")) == before, "root could"
    for path in [package, *before]:
        path.chmod(0o755)


@pytest.fixture
def installation(package: Path, tmp_path: Path) -> Installation:
    return Installation(package, tmp_path)


def test_a_wheel_has_the_migrations_and_the_templates_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "app", "alembic"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    migrations = "app/migrations/"
    expected = {re.sub("^alembic/", migrations, name) for name in tracked.stdout.split()}
    assert {name for name in names if ".dist-info/" not in name} >= expected
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"app"}


@pytest.mark.parametrize("command", [("db", "revision", "-m", "orders"), ("new", "resource", "invoice", "paid:bool")])
def test_what_writes_code_says_that_it_wants_the_repository(
    installation: Installation, command: tuple[str, ...]
) -> None:
    (line,) = installation.run(*command, status=1).splitlines()
    assert "no checkout of the repository, but an installed package" in line
    assert f"uv run strata {' '.join(command[:2]).removesuffix(' resource')}" in line
    assert list(installation.folder.iterdir()) == []


def test_a_wheel_serves_from_an_empty_folder_and_its_commands_run_there(installation: Installation) -> None:
    with installation.serving() as url:
        assert httpx.get(f"{url}/ready", timeout=PATIENCE).json()["status"] == "ready"
        form = {"username": "admin", "password": CREDENTIALS["FIRST_ADMIN_PASSWORD"]}
        assert httpx.post(f"{url}/api/v1/auth/login", data=form, timeout=PATIENCE).status_code == 200
        for page in ("docs", "openapi.json"):
            assert httpx.get(f"{url}/{page}", timeout=PATIENCE).status_code == 200
    installation.run("db", "check")
    assert "the code needs" in installation.run("db", "downgrade", "-1")
    # As `doctor` sees a database that an upgrade is to come for.
    assert re.search(r"migrations.*strata db upgrade", installation.run("doctor"))
