"""Modules of other packages in real processes: `strata openapi`, `strata serve`; and what the doctor says of them."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Strata
from tests.cli.test_serve import STRATA, Process, Refused, refused
from tests.plugin_packages import documented_plugin, install, on_the_path

__all__ = ["refused"]

URL = "/api/v1/stock"
FAILS = "def init_app(app): raise LookupError"

pytestmark = pytest.mark.real_database


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    with on_the_path(tmp_path / "site") as folder:
        yield folder


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [STRATA, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder / "site")} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_document_has_the_listed_plugins(strata: Strata, folder: Path, site: Path) -> None:
    install(site, documented_plugin())
    listed = run(folder, "openapi", MODULES="stock")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert URL in json.loads(listed.stdout)["paths"]
    assert URL not in json.loads(strata("openapi").stdout)["paths"]


def test_a_served_plugin_answers_its_user(tmp_path: Path, site: Path) -> None:
    install(site, documented_plugin())
    server = Process(tmp_path, "server", ("--port", "0"), {"PYTHONPATH": str(site), "MODULES": "stock"})
    try:
        with server.client() as client:
            token = server.log_in(client, server.shown("Password")).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            client.post("/api/v1/items", json={"title": "Chair", "stock": 5}, headers=headers).raise_for_status()
            assert client.get(URL, headers=headers).json() == {"pieces": 5}
            assert client.get(URL).status_code == httpx.codes.UNAUTHORIZED
        assert server.stop() == 0
    finally:
        server.process.kill()
    assert server.complaints.count("plugin loaded") == 1
    assert "acme-stock" in server.complaints


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_plugin_that_fails_ends_the_start_before_anything_is_done(
    refused: Refused, site: Path, tmp_path: Path, workers: str
) -> None:
    install(site, FAILS)
    failure = refused(MODULES="stock", WEB_CONCURRENCY=workers)
    assert (failure.code, failure.out) == (1, "")
    (line,) = failure.lines
    assert line.startswith("error: The plugin stock (acme-stock 1.2.3) failed with LookupError (")
    assert not (tmp_path / "var").exists()


def test_a_plugin_that_is_not_installed_ends_the_start(refused: Refused) -> None:
    failure = refused(MODULES="stock")
    assert (failure.code, failure.out) == (1, "")
    assert failure.lines == ["error: MODULES: no installed package provides stock; installed: none."]


@pytest.mark.usefixtures("installed")
def test_the_doctor_tells_which_plugins_are_there(strata: Strata, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "plugins" not in strata("doctor").stdout
    install(site, documented_plugin())
    install(site, FAILS, "broken", package="acme_broken")
    installed = "installed but not listed in MODULES"
    assert f"✓ plugins         {installed}: broken (acme-broken 1.2.3), stock (acme-stock 1.2.3)\n" in (
        strata("doctor").stdout
    )
    monkeypatch.setenv("MODULES", "stock")
    said = f"✓ plugins         loaded: stock (acme-stock 1.2.3); {installed}: broken (acme-broken 1.2.3)\n"
    assert said in strata("doctor").stdout
    monkeypatch.setenv("MODULES", "stock,broken")
    answer = strata("doctor")
    assert answer.exit_code == 1
    assert "✗ plugins         The plugin broken (acme-broken 1.2.3) failed with LookupError (" in answer.stdout
