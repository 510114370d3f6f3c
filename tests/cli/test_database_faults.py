"""What a user gets to see where the database's settings are wrong, or the database itself is: one line."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy.engine import URL

from app.core.db.url.parameter_hints import HINTS
from tests.cli.conftest import Failure
from tests.conftest import POSTGRES_URL, new_database_name, run_on_server

COMMANDS = [["serve", "--port", "0"], ["db", "upgrade"], ["db", "check"]]

MISSING = "are missing beside it; set DATABASE_URL, or all of these"

type Fails = Callable[..., Failure]


@pytest.fixture
def latin1_url(empty_url: URL) -> Iterator[URL]:
    name = new_database_name("latin1")
    asyncio.run(
        run_on_server(f"CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    )
    yield empty_url.set(database=name)
    asyncio.run(run_on_server(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.mark.usefixtures("folder")
@pytest.mark.skipif(POSTGRES_URL is None, reason="needs STRATA_TEST_DATABASE_URL")
@pytest.mark.parametrize("command", [*COMMANDS, ["doctor"]])
def test_an_encoding_that_cannot_hold_all_characters_is_told_with_the_mend(
    fails: Fails, latin1_url: URL, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", latin1_url.render_as_string(hide_password=False))
    failure = fails(*command)
    assert failure.code == 1
    told = [line for line in (*failure.lines, *failure.out.splitlines()) if "LATIN1" in line]
    assert len(told) == 1
    assert "CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0" in told[0]


@pytest.mark.usefixtures("folder")
@pytest.mark.skipif(POSTGRES_URL is None, reason="needs STRATA_TEST_DATABASE_URL")
@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["doctor"]])
def test_a_replicas_encoding_is_told_too(
    fails: Fails, latin1_url: URL, real_url: URL, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", real_url.render_as_string(hide_password=False))
    monkeypatch.setenv("DATABASE_READ_URL", latin1_url.render_as_string(hide_password=False))
    failure = fails(*command)
    assert failure.code == 1
    assert sum("LATIN1" in line for line in (*failure.lines, *failure.out.splitlines())) == 1


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", [*COMMANDS, ["doctor"]])
@pytest.mark.parametrize(
    ("variables", "line"),
    [
        (
            {"DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/d?keepalives=0"},
            f"error: DATABASE_URL: keepalives {HINTS['keepalives']}",
        ),
        (
            {"DB_DSN": "postgresql://u:hunter2@127.0.0.1:1/d?service=x"},
            "error: DATABASE_URL: service is not understood: write into the URL what the file says of the service",
        ),
        (
            {"DATABASE_URL": "postgresql://127.0.0.1:1/d", "DATABASE_READ_URL": "postgresql://127.0.0.1:1/d?ssl=maybe"},
            "error: DATABASE_READ_URL: sslmode must be disable, allow, prefer, require, verify-ca or verify-full",
        ),
        (
            {"DB_PASSWORD": "hunter2"},
            f"error: DB_PASSWORD: DB_HOST, DB_USER and DB_DATABASE {MISSING}",
        ),
    ],
)
def test_a_url_or_parts_that_mean_nothing_are_told_in_one_line(
    fails: Fails, monkeypatch: pytest.MonkeyPatch, command: list[str], variables: dict[str, str], line: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    failure = fails(*command)
    assert (failure.code, failure.lines, failure.out) == (1, [line], "")
