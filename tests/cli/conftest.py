"""An installation in a folder of its own, and the `strata` command in the tests' own process."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.engine import URL
from typer.testing import CliRunner, Result

from app.cli import cli, main
from app.core.config.settings import Settings
from tests.conftest import SECRET

type Strata = Callable[..., Result]


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    """`serve` sets what SIGTERM does."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, with a test's settings in the environment but for a database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENVIRONMENT", "test")
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DB_RETRY_LIMIT", "1")
    return tmp_path


@pytest.fixture
def use_database(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[URL], Settings]:
    def use(url: URL) -> Settings:
        monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
        settings = Settings.load()
        assert settings.data_dir == folder
        return settings

    return use


@pytest.fixture
def empty(use_database: Callable[[URL], Settings], empty_url: URL) -> Settings:
    """An installation whose database no migration has seen."""
    return use_database(empty_url)


@pytest.fixture
def installed(use_database: Callable[[URL], Settings], real_url: URL) -> Settings:
    """An installation that has been migrated, without users."""
    return use_database(real_url)


@pytest.fixture
def strata() -> Strata:
    """`strata("db", "current")` runs the command; an exception that leaves it fails the test."""

    def run(*arguments: str, stdin: str = "") -> Result:
        return CliRunner().invoke(cli, arguments, input=stdin, catch_exceptions=False)

    return run


@dataclass(frozen=True, slots=True)
class Failure:
    code: object
    out: str
    lines: list[str]


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Failure]:
    """Runs a command that fails the way the installed script runs it: what does a user get to see?"""

    def run(*arguments: str) -> Failure:
        monkeypatch.setattr("sys.argv", ["strata", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Failure(caught.value.code, out, err.splitlines())

    return run
