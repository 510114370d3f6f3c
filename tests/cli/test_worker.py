"""What a server process does besides what the application does."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import gc, json, sys
from app.cli.serve import load_settings, uvicorn_config
config = uvicorn_config(load_settings(1), reload=False)
config.load()
told = {
    "loop": config.get_loop_factory().__module__,
    "http": config.http_protocol_class.__name__,
    "websockets": config.ws_protocol_class,
    "frozen": gc.get_freeze_count(),
    "threshold": gc.get_threshold()[0],
    "loaded": [
        name
        for name in ("websockets", "alembic", "redis", "jinja2", "aiosmtplib", "httpx")
        if name in sys.modules
    ],
}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By a process that has loaded the application as a server does."""
    folder = tmp_path_factory.mktemp("worker")
    environment = os.environ | {"DATA_DIR": str(folder), "JWT_SECRET_KEY": "Zq8sT4vBn2KxW7mRj5LcYd9FhGp3UeAo"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_worker_uses_the_quick_loop_and_parser(told: dict[str, Any]) -> None:
    assert told["loop"].startswith("uvloop")
    assert told["http"] == "BoundedProtocol"


def test_a_worker_loads_nothing_that_it_does_not_need(told: dict[str, Any]) -> None:
    assert told["loaded"] == []
    assert told["websockets"] is None


def test_the_collector_leaves_alone_what_stays(told: dict[str, Any]) -> None:
    assert told["frozen"] > 100_000
    assert told["threshold"] == 20_000


def test_importing_the_application_decides_nothing_of_this() -> None:
    program = "import gc, app.main; print(gc.get_freeze_count(), *gc.get_threshold())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    plain = subprocess.run(
        [sys.executable, "-c", "import gc; print(0, *gc.get_threshold())"], capture_output=True, text=True, check=True
    )
    assert done.stdout == plain.stdout
