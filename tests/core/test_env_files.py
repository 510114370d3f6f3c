"""`.env` files: one that cannot be read whole ends the start, and what nobody reads is told."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.config.settings import Settings, SettingsError
from app.core.config.unread_names import file_warnings, process_warnings

type Write = Callable[[bytes | str], None]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Write:
    def write(content: bytes | str) -> None:
        (folder / ".env").write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def fault() -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    (line,) = caught.value.faults
    return line


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_in_utf_16_is_told_as_what_it_is(write: Write, encoding: str) -> None:
    write("JWT_ISSUER=us\n".encode(encoding))
    assert fault() == ".env: is UTF-16, as PowerShell may write it; save it as UTF-8"


def test_a_file_in_another_encoding_is_told_with_the_line(write: Write) -> None:
    write("JWT_ISSUER=us\nMAIL_FROM=Caf\xe9 <us@example.com>\n".encode("latin-1"))
    assert fault() == ".env: line 2 is not UTF-8; save the file as UTF-8"


@pytest.mark.parametrize(
    "line", ["LOG_LEVEL: debug", "LOG_LEVEL debug", 'JWT_ISSUER="us', "JWT_ISSUER='u's'", "LOG:=1"]
)
def test_a_line_that_would_be_left_out_is_told_with_its_number(write: Write, line: str) -> None:
    write(f"# settings\n\nJWT_AUDIENCE=us\n\n{line}\n")
    assert fault() == ".env: line 5 must be NAME=value, with a value in quotes closed again"


@pytest.mark.parametrize("line", ["", "# LOG_LEVEL: debug", "export LOG_LEVEL", "LOG_LEVEL", "some.other-name=x"])
def test_what_other_programs_may_write_is_left_alone(write: Write, line: str) -> None:
    write(f"{line}\nJWT_ISSUER=us\n")
    assert Settings.load().jwt_issuer == "us"


def test_the_file_of_the_environment_is_looked_at_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "test")
    (folder / ".env.test").write_text("LOG_LEVEL: debug\n")
    assert fault().startswith(".env.test: line 1 must be ")


def test_a_directory_in_the_files_place_is_told(folder: Path) -> None:
    (folder / ".env").mkdir()
    assert fault().startswith(".env: is a directory, ")
    (folder / ".env" / "pyvenv.cfg").touch()
    Settings.load()


def test_a_link_to_nowhere_is_told(folder: Path) -> None:
    (folder / ".env").symlink_to("nowhere")
    assert fault() == ".env: is a link to a file that is not there"


@pytest.mark.skipif(sys.platform != "linux", reason="no such file elsewhere")
def test_a_file_that_cannot_be_read_is_told(folder: Path) -> None:
    # This one nobody can, root neither.
    (folder / ".env").symlink_to("/proc/self/mem")
    assert fault() == ".env: cannot be read: Input/output error; change its owner or mode, or remove it"


def test_a_working_directory_that_is_gone_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert fault() == "working directory: is gone; go to the folder again"


@pytest.mark.parametrize("value", ["a/../b", "../etc", "a\x07b", "x" * 300])
def test_an_environment_that_no_file_can_have_is_a_fault_like_any_other(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ENVIRONMENT", value)
    assert fault().startswith("ENVIRONMENT: ")
    monkeypatch.setenv("APP_ENV", value)
    with pytest.raises(SettingsError, match="APP_ENV: must be development, test, staging or production, or what a "):
        Settings.load()


def test_a_name_close_to_a_settings_is_told_where_that_is_not_set(write: Write) -> None:
    write("CORS_ORIGIN=x\nTRUSTED_HOST=x\nDATABASE_URI=x\nsecret_key=x\nALLOWED_HOSTS=x\nJWT_SECRET=x\nJWT_ISSUERS=x\n")
    meant = {
        "CORS_ORIGIN": "CORS_ORIGINS",
        "TRUSTED_HOST": "TRUSTED_HOSTS",
        "DATABASE_URI": "DATABASE_URL",
        "secret_key": "JWT_SECRET_KEY",
        "ALLOWED_HOSTS": "TRUSTED_HOSTS",
        "JWT_SECRET": "JWT_SECRET_KEY",
        "JWT_ISSUERS": "JWT_ISSUER",
    }
    expected = [f".env: {name} is not read; did you mean {setting}?" for name, setting in meant.items()]
    assert file_warnings(Settings.load()) == expected


def test_where_the_setting_is_set_the_other_name_is_another_programs(write: Write) -> None:
    write("SECRET_KEY=x\nJWT_SECRET_KEY=q7Vd0mXbN3zLr9TjKcYh5WgPfAuEi1So8Bx2Ry6C\n")
    assert file_warnings(Settings.load()) == []


def test_names_of_other_programs_are_left_alone(monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    write("POSTGRES_PASSWORD=x\nSTRATA_DB_PASSWORD=x\nREDIS_PASSWORD=x\nHTTP_PORT=1\nPGHOST=x\nDB_DSN=\nAPP_ENV=\n")
    for name in ("PATH", "HOME", "LANG", "MAIL", "DISPLAY", "DEBUGINFOD_URLS", "LOGNAME", "HOSTNAME", "GIT_EDITOR"):
        monkeypatch.setenv(name, "x")
    assert file_warnings(Settings.load()) + process_warnings(Settings.load()) == []


def test_a_setting_that_a_file_sets_twice_is_told(write: Write) -> None:
    write("LOG_LEVEL=info\nJWT_ISSUER=us\njwt_issuer=us\nlog_level=debug\n")
    settings = Settings.load()
    assert settings.log_level == "debug"
    assert file_warnings(settings) == [".env: line 4 sets LOG_LEVEL again, and counts; remove one of them"]
