"""`strata serve` as a real process: first starts, bad starts, many at once, and how it ends."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import URL

from app.cli.faults import MistakeError
from app.cli.serve import base_url, bind, load_settings
from tests.cli.conftest import Failure
from tests.conftest import SECRET
from tests.factories import PASSWORD
from tests.process import usual_interrupt
from tests.standin import stand_in

STRATA = str(Path(sys.executable).with_name("strata"))
PATIENCE = 60  # seconds that a start may take on a busy machine

pytestmark = pytest.mark.real_database


class Process:
    """A running `strata serve`; its output goes to files, so that it never waits for a reader."""

    def __init__(self, folder: Path, name: str, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        self.out, self.err = folder / f"{name}.out", folder / f"{name}.err"
        with self.out.open("w") as out, self.err.open("w") as err, usual_interrupt():
            self.process = subprocess.Popen(
                [STRATA, "serve", *arguments],
                cwd=folder,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def told(self) -> str:
        return self.out.read_text()

    @property
    def complaints(self) -> str:
        return self.err.read_text()

    def wait_until(self, is_so: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            assert self.process.poll() is None, f"it ended:\n{self.told}\n{self.complaints}"
            assert time.monotonic() < deadline, f"it takes too long:\n{self.told}\n{self.complaints}"
            time.sleep(0.02)

    def shown(self, name: str) -> str | None:
        """A value of the banner."""
        found = re.search(rf"^  {name} +(\S+)", self.told, re.MULTILINE)
        return found[1] if found else None

    def line(self, message: str) -> dict[str, Any]:
        """The first of the JSON log's lines with this message; empty where there is none."""
        lines = [json.loads(line) for line in self.complaints.splitlines(keepends=True) if line.endswith("}\n")]
        return next((line for line in lines if line["message"] == message), {})

    def client(self) -> httpx.Client:
        """Talks to the server, once it has said where it is."""
        self.wait_until(lambda: "Ctrl+C stops the server." in self.told or self.line("serving"))
        url = (self.shown("API") or self.line("serving")["url"]).removesuffix("/api/v1")
        return httpx.Client(base_url=url, timeout=PATIENCE)

    def log_in(self, client: httpx.Client, password: str | None) -> httpx.Response:
        form = {"username": "admin", "password": password or "none was shown"}
        return client.post("/api/v1/auth/login", data=form)

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """The exit code; the time it may take is far below the grace that open requests get."""
        self.process.send_signal(with_signal)
        return self.process.wait(timeout=10)

    def end(self) -> int:
        """The exit code of a server that ends by itself."""
        return self.process.wait(timeout=PATIENCE)


type Serve = Callable[..., Process]
type Refused = Callable[..., Failure]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers on any free port; `name` tells their output apart, the rest is their environment."""
    processes: list[Process] = []

    def start(*arguments: str, name: str = "server", **environment: str) -> Process:
        process = Process(tmp_path, name, arguments or ("--port", "0"), environment)
        processes.append(process)
        return process

    try:
        yield start
    finally:
        for started in processes:
            if started.process.poll() is None:
                started.process.terminate()
                try:
                    started.process.wait(5)
                except subprocess.TimeoutExpired:
                    started.process.kill()
                    started.process.wait()


def failure_of(process: Process) -> Failure:
    code = process.end()
    assert "Traceback" not in process.complaints, process.complaints
    return Failure(code, process.told, process.complaints.splitlines())


def errors(failure: Failure) -> list[str]:
    return [line for line in failure.lines if line.startswith("error: ")]


def test_a_first_start_in_an_empty_folder_is_all_it_takes(serve: Serve, tmp_path: Path) -> None:
    first = serve()
    with first.client() as client:
        assert client.get("/ready").json()["status"] == "ready"
        assert client.get("/docs").status_code == 200
        password = first.shown("Password")
        assert first.told.count("Password") == 1
        assert first.shown("Admin") == "admin"
        assert first.shown("Docs") == str(client.base_url.join("/docs"))
        answer = first.log_in(client, password)
        assert answer.status_code == 200
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert client.get("/api/v1/users/me", headers=headers).json()["role"] == "admin"
    secret = (tmp_path / "var/secret").read_text()
    assert (tmp_path / "var/secret").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "var/strata.db").is_file()
    assert first.stop() == 0
    assert password is not None
    assert password not in first.complaints

    second = serve(name="second")
    with second.client() as client:
        assert client.get("/api/v1/users/me", headers=headers).status_code == 200, "the session outlives the process"
        assert second.log_in(client, password).status_code == 200
    assert second.shown("Password") is None
    assert second.shown("Admin") is None
    assert (tmp_path / "var/secret").read_text() == secret
    assert second.stop(signal.SIGINT) == 0
    assert "Stopped." in second.told


def test_a_password_from_the_settings_is_not_shown(serve: Serve, real_url: URL) -> None:
    url = real_url.render_as_string(hide_password=False)
    server = serve(DATABASE_URL=url, FIRST_ADMIN_PASSWORD=PASSWORD, JWT_SECRET_KEY=SECRET)
    with server.client() as client:
        assert server.log_in(client, PASSWORD).status_code == 200
    assert server.shown("Admin") == "admin"
    assert server.shown("Password") is None
    assert server.stop() == 0
    assert PASSWORD not in server.told + server.complaints


def test_a_busy_port_is_told_before_anything_is_done(serve: Serve, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failure = failure_of(serve("--port", str(port)))
    assert failure.code == 1
    assert failure.lines == [
        f"error: Cannot listen on 127.0.0.1:{port}: Address already in use. Choose another with --host or --port."
    ]
    assert failure.out == ""
    assert not (tmp_path / "var").exists()


def test_of_two_that_want_one_port_at_once_one_gets_it() -> None:
    with bind("127.0.0.1", 0) as first, pytest.raises(MistakeError, match="Address already in use"):
        bind("127.0.0.1", first.getsockname()[1])


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1", "::2"])
def test_an_address_that_is_not_ours_is_told(host: str) -> None:
    with pytest.raises(MistakeError, match=f"Cannot listen on {host}:0: "):
        bind(host, 0)


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_the_address_that_is_shown_can_be_opened(host: str, shown: str) -> None:
    if ":" in host and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    with bind(host, 0) as listener:
        url = httpx.URL(base_url(listener))
        assert str(url) == f"http://{shown}:{listener.getsockname()[1]}"
        socket.create_connection((url.host, url.port or 0), timeout=5).close()


def test_the_workers_are_told_how_many_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEB_CONCURRENCY", "5")
    assert load_settings(None).web_concurrency == 5
    assert load_settings(3).web_concurrency == 3
    assert os.environ["WEB_CONCURRENCY"] == "3"


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.fixture
def refused(fails: Callable[..., Failure], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """What `strata serve` says where it cannot start, in this process: it is not worth one that loads it all again."""
    monkeypatch.chdir(tmp_path)

    def run(**environment: str) -> Failure:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return fails("serve", "--port", "0")

    return run


def test_a_data_folder_that_cannot_be_written_is_told(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    failure = refused(DATA_DIR=str(tmp_path / "file" / "below"))
    assert failure.code == 1
    (line,) = failure.lines
    assert line.startswith(f"error: Cannot use {tmp_path}/file")
    assert line.endswith(" Check DATA_DIR.")
    assert failure.out == ""


def test_a_database_out_of_reach_is_told_after_the_last_try(refused: Refused) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"postgresql://u:hunter2-Zq8@127.0.0.1:{unused.getsockname()[1]}/d"
        failure = refused(DATABASE_URL=url, DB_RETRY_LIMIT="2", DB_RETRY_INTERVAL="0.05", JWT_SECRET_KEY=SECRET)
    assert failure.code == 1
    (line,) = errors(failure)
    assert line.startswith("error: The database cannot be used: ")
    assert sum("waiting for the database" in line for line in failure.lines) == 1
    assert "hunter2-Zq8" not in str(failure.lines)
    assert failure.out == ""


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("28P01", "error: The database refuses this user or password: check DATABASE_URL or DB_USER and DB_PASSWORD."),
        ("3D000", "error: There is no such database: create it (`createdb NAME`) or fix DATABASE_URL."),
    ],
)
async def test_what_waiting_cannot_mend_is_told_at_once(serve: Serve, code: str, hint: str) -> None:
    async with stand_in(code) as (refuser, url):
        server = serve(
            DATABASE_URL=url.render_as_string(hide_password=False),
            DB_SSL="disable",
            DB_RETRY_INTERVAL="60",
            JWT_SECRET_KEY=SECRET,
        )
        failure = await asyncio.to_thread(failure_of, server)
    assert (failure.code, failure.lines, failure.out) == (1, [hint], "")
    assert len(refuser.parameters) == 1


def test_a_real_postgresql_without_the_database_is_told_at_once(refused: Refused, empty_url: URL) -> None:
    if empty_url.get_backend_name() != "postgresql":
        pytest.skip("needs STRATA_TEST_DATABASE_URL")
    url = empty_url.set(database="strata_nowhere").render_as_string(hide_password=False)
    failure = refused(DATABASE_URL=url, DB_RETRY_INTERVAL="60", JWT_SECRET_KEY=SECRET)
    assert failure.code == 1
    assert failure.lines == ["error: There is no such database: create it (`createdb NAME`) or fix DATABASE_URL."]


def test_wrong_settings_are_told_one_a_line(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ENVIRONMENT=production\nCORS_ORIGINS=*\n")
    failure = refused()
    assert failure.code == 1
    assert [line.split(":")[1] for line in failure.lines] == [" JWT_SECRET_KEY", " CORS_ORIGINS", " TRUSTED_HOSTS"]
    assert failure.out == ""


def test_a_server_that_waits_for_its_database_can_be_stopped(serve: Serve) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"postgresql://u:p@127.0.0.1:{unused.getsockname()[1]}/d"
        server = serve(DATABASE_URL=url, DB_RETRY_LIMIT="1000", DB_RETRY_INTERVAL="0.2", JWT_SECRET_KEY=SECRET)
        server.wait_until(lambda: "waiting for the database" in server.complaints)
        assert server.stop() == 0
    assert "Traceback" not in server.complaints


def test_several_workers_serve_and_stop_together(serve: Serve, real_url: URL) -> None:
    url = real_url.render_as_string(hide_password=False)
    server = serve("--port", "0", "--workers", "2", DATABASE_URL=url, JWT_SECRET_KEY=SECRET)
    with server.client() as client:
        assert client.get("/ready").status_code == 200
        answer = server.log_in(client, server.shown("Password"))
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        address = client.base_url
    for _ in range(20):  # a connection each, so that both get some
        assert httpx.get(address.join("/api/v1/users/me"), headers=headers, timeout=PATIENCE).status_code == 200
    assert server.told.count("Password") == 1
    assert server.stop(signal.SIGINT) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(address.join("/health"))
    assert "Traceback" not in server.complaints


def test_three_that_start_at_once_on_an_empty_database_share_the_work(
    serve: Serve, empty_url: URL, tmp_path: Path
) -> None:
    environment: dict[str, Any] = {"DATABASE_URL": empty_url.render_as_string(hide_password=False)}
    environment["DATA_DIR"] = str(tmp_path / "shared")
    servers = [serve(name=f"server{number}", **environment) for number in range(3)]
    clients = [server.client() for server in servers]
    assert [client.get("/ready").status_code for client in clients] == [200] * 3
    passwords = [password for server in servers if (password := server.shown("Password"))]
    assert len(passwords) == 1
    answers = [server.log_in(client, passwords[0]) for server, client in zip(servers, clients, strict=True)]
    assert [answer.status_code for answer in answers] == [200] * 3
    # The token of one is good at the next: they have the same generated secret.
    for client, answer in zip(clients, [*answers[1:], answers[0]], strict=True):
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert client.get("/api/v1/users/me", headers=headers).status_code == 200
        client.close()
    assert [server.stop() for server in servers] == [0] * 3
    assert sum("migrated" in server.complaints for server in servers) == 1
