"""On any FastAPI that is not the one we know, the process starts, says why the fast path is off, and serves."""

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import make_dataclass
from importlib import import_module
from pathlib import Path

import fastapi
import pytest
from fastapi.dependencies import models
from fastapi.routing import APIRoute
from sqlalchemy.engine import URL

from app.api.fastpath import _fastapi
from tests.conftest import SECRET, of_the_fast_path

pytestmark = of_the_fast_path

# What FastAPI itself uses of a module stays in its functions' globals; whoever imports the module sees the changed one.
PROGRAM = """
import asyncio, dataclasses, json, sys
from importlib import import_module
from types import ModuleType

import httpx
from asgi_lifespan import LifespanManager

def changed(module, changes, names=()):
    real = import_module(module)
    fake = ModuleType(module)
    kept = {key: value for key, value in vars(real).items() if key not in names}
    fake.__dict__.update({**kept, **changes(real)})
    sys.modules[module] = fake

for place in json.loads(sys.argv[1]):
    module, _, name = place.partition(":")
    changed(module, lambda _: {}, {name})
if not json.loads(sys.argv[1]):
    bases = lambda real: {"Dependant": dataclasses.make_dataclass(
        "Dependant", [("strange", str, "")], bases=(real.Dependant,), kw_only=True)}
    changed("fastapi.dependencies.models", bases)

async def serve():
    from structlog.testing import capture_logs
    from app.core.config.settings import Settings
    from app.main import create_app
    app = create_app(Settings.load())
    with capture_logs() as logs:
        async with LifespanManager(app) as manager:
            transport = httpx.ASGITransport(manager.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                statuses = [(await client.get(path)).status_code for path in (
                    "/health", "/api/v1/users/me", "/api/v1/items", "/api/v1/items/999999", "/api/v1/items?limit=x")]
                statuses.append((await client.post("/api/v1/auth/register", content=b"{")).status_code)
    return statuses, [line for line in logs if line["event"].startswith("fast path")]

print(json.dumps(asyncio.run(serve())))
"""


def run(module: object, name: str, monkeypatch: pytest.MonkeyPatch, value: object) -> str | None:
    """What `_fastapi.py`, read anew, says of a module where the name has this value, or is none."""
    if value is None:
        monkeypatch.delattr(module, name)
    else:
        monkeypatch.setattr(module, name, value)
    difference: Callable[[], str | None] = runpy.run_path(_fastapi.__file__)["difference"]
    return difference()


@pytest.mark.parametrize("place", _fastapi.NAMES.values())
def test_each_name_that_is_gone_is_told(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, _, name = place.partition(":")
    assert run(import_module(module), name, monkeypatch, None) == f"there is no {module}.{name}"


def test_a_dependant_with_one_more_field_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    more = make_dataclass("Dependant", [("strange", str, "")], bases=(models.Dependant,), kw_only=True)
    assert run(models, "Dependant", monkeypatch, more) == "the fields of Dependant have changed: strange"


def test_a_route_with_one_more_option_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def initialize(self: object, strange: int) -> None: ...

    told = run(APIRoute, "__init__", monkeypatch, initialize)
    assert told is not None
    assert "the options of APIRoute have changed" in told
    assert "strange" in told


@pytest.mark.parametrize(("version", "is_off"), [("0.165.9", False), ("0.166.0", True), ("1.0.0", True)])
def test_patch_releases_are_known_and_others_are_not(
    version: str, is_off: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = run(fastapi, "__version__", monkeypatch, version)
    assert told == (f"FastAPI is {version}, tested is 0.165" if is_off else None)


@pytest.mark.slow
@pytest.mark.parametrize("missing", [list(_fastapi.NAMES.values()), []], ids=["no name", "one more field"])
def test_the_application_serves_without_what_it_knows(missing: list[str], migrated_url: URL, tmp_path: Path) -> None:
    environment = {
        "APP_ENV": "test",
        "ENVIRONMENT": "test",
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": migrated_url.render_as_string(hide_password=False),
        "JWT_SECRET_KEY": SECRET,
        "RATE_LIMIT_ENABLED": "false",
    }
    command = [sys.executable, "-c", PROGRAM, json.dumps(missing)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stderr[-3000:]
    statuses, lines = json.loads(run.stdout.splitlines()[-1])
    assert statuses == [200, 401, 401, 401, 401, 422]
    assert [line["event"] for line in lines] == ["fast path off"]
    assert all(place.replace(":", ".") in lines[0]["reason"] for place in missing or ["strange"])
