"""What a server process does besides what the application does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jose import jwk, jwt

from app.core.security.pem import generate_key, write_private_key

PROGRAM = """
import gc, json, sys
from app.cli.serve import load_settings, uvicorn_config
from app.cli.worker import leave_out_rich
leave_out_rich()
config = uvicorn_config(load_settings(1), reload=False)
config.load()
import rich  # typer shows its help with it
told = {
    "loop": config.get_loop_factory().__module__,
    "http": config.http_protocol_class.__name__,
    "websockets": config.ws_protocol_class,
    "frozen": gc.get_freeze_count(),
    "threshold": gc.get_threshold()[0],
    "loaded": [
        name
        for name in ("pygments", "websockets", "alembic", "redis", "jinja2", "cryptography.hazmat")
        if name in sys.modules
    ],
}
from app.core.config.settings import Settings
from app.core.security.keys import Keyring
from app.core.security.tokens import Signer
told["token"] = Signer(Keyring.from_settings(Settings.load())).sign({"sub": "1"})
print(json.dumps(told))
"""


SECRET = "Zq8sT4vBn2KxW7mRj5LcYd9FhGp3UeAo"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return tell(tmp_path_factory.mktemp("worker"), JWT_SECRET_KEY=SECRET)


def tell(folder: Path, **settings: str) -> dict[str, Any]:
    """By a process that has loaded the application as a server does."""
    environment = os.environ | {"DATA_DIR": str(folder)} | settings
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


def test_a_worker_with_a_secret_signs_as_any_other_would(told: dict[str, Any]) -> None:
    assert jwt.decode(told["token"], SECRET, algorithms=["HS256"]) == {"sub": "1"}


def test_a_worker_with_a_key_pair_has_what_that_takes(tmp_path: Path) -> None:
    path = tmp_path / "jwt.pem"
    key = generate_key("ES256")
    write_private_key(path, key)
    told = tell(tmp_path, JWT_ALGORITHM="ES256", JWT_SECRET_KEY=str(path))
    assert told["loaded"] == ["cryptography.hazmat"]
    public = jwk.construct(key.public_key(), "ES256")  # type: ignore[arg-type] # also takes key objects
    assert jwt.decode(told["token"], public, algorithms=["ES256"]) == {"sub": "1"}


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
