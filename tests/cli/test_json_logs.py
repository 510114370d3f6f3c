"""Where logs are JSON all that `strata serve` says is: on stderr, a line each, and no secret among them."""

import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from app.cli.greeting import greet, show_start
from app.core.config.settings import Settings
from app.core.observability.logging import configure_logging
from tests.cli.test_serve import Process, Serve, serve
from tests.conftest import SECRET
from tests.factories import PASSWORD

__all__ = ["serve"]

pytestmark = pytest.mark.real_database

JSON = {"LOG_FORMAT": "json", "JWT_SECRET_KEY": SECRET}


def lines_of(process: Process) -> list[dict[str, Any]]:
    """Each line of stderr is an object; there is no other output."""
    assert process.told == ""
    return [json.loads(line) for line in process.complaints.splitlines()]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_start_says_where_it_serves_and_where_the_password_is_and_no_request_is_missing_at_the_end(
    serve: Serve, empty_url: URL, tmp_path: Path, workers: str
) -> None:
    url = empty_url.render_as_string(hide_password=False)
    server = serve("--port", "0", "--workers", workers, DATABASE_URL=url, **JSON)
    with server.client() as client:
        file = tmp_path / "var/first-admin-password"
        assert file.stat().st_mode & 0o777 == 0o600
        password = file.read_text().strip()
        assert server.log_in(client, password).status_code == 200
        for number in range(50):
            assert client.get(f"/nothing/{number}").status_code == 404
        base_url = str(client.base_url)
    assert server.stop() == 0
    paths = [line["path"] for line in lines_of(server) if line["message"] == "request"]
    assert paths == ["/api/v1/auth/login", *(f"/nothing/{number}" for number in range(50))]
    lines = {line["message"]: line for line in lines_of(server)}
    assert {"first administrator created", "serving"} <= lines.keys()
    made, serving = lines["first administrator created"], lines["serving"]
    assert (made["username"], made["password_file"]) == ("admin", "var/first-admin-password")
    assert (serving["url"], serving["environment"]) == (base_url, "development")
    assert serving["version"]
    assert serving["database"].startswith(empty_url.drivername.partition("+")[0])
    assert password not in server.complaints


def test_a_password_of_the_settings_is_kept_in_no_file(serve: Serve, empty_url: URL, tmp_path: Path) -> None:
    url = empty_url.render_as_string(hide_password=False)
    server = serve(DATABASE_URL=url, FIRST_ADMIN_PASSWORD=PASSWORD, ENVIRONMENT="test", JWT_SECRET_KEY=SECRET)
    server.client().close()
    assert server.stop(signal.SIGINT) == 0
    assert lines_of(server)[-1]["message"] == "stopped"
    (made,) = (line for line in lines_of(server) if line["message"] == "first administrator created")
    assert made["username"] == "admin"
    assert "password_file" not in made
    assert not (tmp_path / "var/first-admin-password").exists()


def test_what_ends_a_start_is_a_line_of_the_log_too(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = serve("--port", str(taken.getsockname()[1]), **JSON)
        assert server.end() == 1
    (line,) = lines_of(server)
    assert line["level"] == "error"
    assert line["message"].startswith("Cannot listen on 127.0.0.1:")


def test_a_database_out_of_reach_is_a_line_without_its_password(serve: Serve) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"postgresql://u:hunter2-Zq8@127.0.0.1:{unused.getsockname()[1]}/d?password=hunter2-Zq8"
        server = serve(DATABASE_URL=url, DB_RETRY_LIMIT="1", **JSON)
        assert server.end() == 1
    (line,) = (line for line in lines_of(server) if line["level"] == "error")
    assert line["message"].startswith("The database cannot be used: ")
    assert "hunter2-Zq8" not in server.complaints


def test_the_parameters_of_a_database_url_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    url = "postgresql://u:hunter2-Zq8@127.0.0.1/d?password=hunter2-Zq8"
    show_start(Settings.model_validate({"database_url": url}), "http://127.0.0.1:8000", None)
    shown = capsys.readouterr().out
    assert "postgresql+asyncpg://u:***@127.0.0.1/d\n" in shown
    assert "hunter2-Zq8" not in shown


def test_closed_docs_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for is_open in (True, False):
        show_start(Settings.model_validate({"docs_enabled": is_open}), "http://127.0.0.1:8000", None)
        assert ("http://127.0.0.1:8000/docs" in capsys.readouterr().out) is is_open


def test_where_servers_run_no_jobs_the_start_says_what_does(capsys: pytest.CaptureFixture[str]) -> None:
    exposed = {"environment": "production", "trusted_hosts": "shop.example", "jwt_secret_key": SECRET}
    usual = Settings.model_validate({"log_format": "console"})
    production = Settings.model_validate(exposed | {"log_format": "console"})
    for settings in (usual, production):
        greet(settings, "http://127.0.0.1:8000", None)
        assert ("strata worker" in capsys.readouterr().out) is (settings is production)
    logged = Settings.model_validate(exposed)
    configure_logging(logged)
    greet(logged, "http://127.0.0.1:8000", None)
    assert "jobs are run by `strata worker`" in capsys.readouterr().err


def test_below_a_prefix_the_greeting_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    greet(Settings.model_validate({"root_path": "/shop/"}), "http://127.0.0.1:8000", None)
    shown = capsys.readouterr().out
    assert "http://127.0.0.1:8000/shop/api/v1\n" in shown
    assert "http://127.0.0.1:8000/shop/docs\n" in shown
