"""DB_HOST and its kin: when they count, what is missing beside them, and what Kubernetes puts there unasked."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.config.settings import Settings, SettingsError

type Env = Callable[..., None]

SQLITE = "sqlite+aiosqlite:///var/strata.db"
# Of a service named `db`, as https://kubernetes.io/docs/concepts/services-networking/service/ has them, and Docker.
SERVICE_LINKS = {
    "DB_PORT": "tcp://10.0.0.5:5432",
    "DB_SERVICE_HOST": "10.0.0.5",
    "DB_SERVICE_PORT": "5432",
    "DB_PORT_5432_TCP": "tcp://10.0.0.5:5432",
    "DB_PORT_5432_TCP_PROTO": "tcp",
    "DB_PORT_5432_TCP_PORT": "5432",
    "DB_PORT_5432_TCP_ADDR": "10.0.0.5",
    "DB_NAME": "/strata/db",
}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def faults() -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    return str(caught.value).splitlines()


def test_a_service_named_db_changes_nothing(env: Env) -> None:
    env(**SERVICE_LINKS)
    assert Settings.load().database.render_as_string() == SQLITE


def test_a_service_named_db_hides_no_port_of_a_file(empty_folder: Path, env: Env) -> None:
    (empty_folder / ".env").write_text("DB_HOST=h\nDB_PORT=6432\nDB_USER=u\nDB_DATABASE=d\n")
    env(**SERVICE_LINKS)
    assert Settings.load().database.render_as_string() == "postgresql+asyncpg://u@h:6432/d"


def test_only_the_port_of_the_database_could_be_taken_for_that_of_a_service() -> None:
    """Whoever adds a setting with such a name finds out here that clusters set it, and not to what it means."""
    link = re.compile(r".*_(PORT|SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
    names = {name.upper() for name in Settings.model_fields} | {"DB_DSN"}
    assert {name for name in names if link.fullmatch(name)} == {"DB_PORT"}


@pytest.mark.parametrize(
    "parts",
    [{"DB_PORT": "many"}, {"DB_DRIVER": "mysql"}, {"DB_HOST": "not a host"}, {"DB_USER": "u"}, {"DB_PORT": "0"}],
)
def test_parts_beside_a_url_stop_nothing(env: Env, parts: dict[str, str]) -> None:
    env(DATABASE_URL="postgresql://from-url/d", **parts)
    assert Settings.load().database.render_as_string() == "postgresql+asyncpg://from-url/d"


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        ({"DB_PASSWORD": "p"}, "DB_PASSWORD: DB_HOST, DB_USER and DB_DATABASE are missing beside it"),
        ({"DB_USER": "u"}, "DB_USER: DB_HOST and DB_DATABASE are missing beside it"),
        ({"DB_PORT": "5432"}, "DB_PORT: DB_HOST, DB_USER and DB_DATABASE are missing beside it"),
        ({"DB_DATABASE": "d", "DB_USER": "u"}, "DB_USER: DB_HOST is missing beside it"),
        ({"DB_HOST": "h"}, "DB_HOST: DB_USER and DB_DATABASE are missing beside it"),
        ({"DB_HOST": "h", "DB_DATABASE": "d"}, "DB_HOST: DB_USER is missing beside it"),
    ],
)
def test_half_a_database_is_told_by_what_is_missing(env: Env, parts: dict[str, str], line: str) -> None:
    env(**parts)
    assert faults() == [f"{line}; set DATABASE_URL, or all of these"]


@pytest.mark.parametrize("host", ["tcp://10.0.0.5:5432", "h:5432", "postgresql://h", "a b"])
def test_a_host_is_a_name_alone(env: Env, host: str) -> None:
    env(DB_HOST=host, DB_USER="u", DB_DATABASE="d")
    (line,) = faults()
    assert line.startswith("DB_HOST: the host must be a name, an address, or the folder of a socket")


def test_the_folder_of_a_socket_is_a_host(env: Env) -> None:
    env(DB_HOST="/cloudsql/p:r:i", DB_USER="u", DB_DATABASE="d", DB_PASSWORD="p@/?#")
    database = Settings.load().database
    assert (database.query["host"], database.password) == ("/cloudsql/p:r:i", "p@/?#")


@pytest.mark.parametrize("path", ["shop.db", "/srv/a shop?#%41.db"])
def test_an_sqlite_file_may_have_any_name(env: Env, path: str) -> None:
    env(DB_DRIVER="sqlite", DB_DATABASE=path)
    assert Settings.load().database.database == path
