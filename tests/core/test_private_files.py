"""What a server writes is for its owner alone, whatever the umask; what is there already stays as it is."""

import asyncio
import os
import stat
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from sqlalchemy import text

from app.core.config.private_files import make_private_file, make_private_folder
from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.sqlite_files import make_database_file
from app.core.db.startup import wait_for_database
from app.core.db.url.database_url import parse_database_url
from app.core.outbound.mail import open_mailer
from app.core.security.secret_file import generated_secrets
from app.services.accounts.admins import keep_password


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """Of the folder and all that is in it."""
    return {
        str(path.relative_to(folder.parent)): stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))
    }


def settings_in(folder: Path, **changes: str) -> Settings:
    return Settings.model_validate({"data_dir": folder, **changes})


async def write_rows(settings: Settings) -> dict[str, int]:
    """The modes while the database is open, and the files beside it are there."""
    database = Database(settings)
    try:
        await wait_for_database(database.engine, settings)
        async with database.transaction() as session:
            await session.execute(text("CREATE TABLE IF NOT EXISTS notes (id INTEGER)"))
        return modes(settings.data_dir)
    finally:
        await database.close()


async def test_a_new_sqlite_database_and_what_sqlite_keeps_beside_it_are_private(tmp_path: Path) -> None:
    found = await write_rows(settings_in(tmp_path / "new" / "var"))
    assert found == {"var": 0o700, "var/strata.db": 0o600, "var/strata.db-wal": 0o600, "var/strata.db-shm": 0o600}
    assert modes(tmp_path / "new")["new"] == 0o700


@pytest.mark.parametrize("url", ["sqlite:///{}/shop.db", "sqlite:///file:{}/shop.db?uri=true&cache=private"])
async def test_so_is_one_whose_place_the_settings_name(tmp_path: Path, url: str) -> None:
    folder = tmp_path / "shop"
    found = await write_rows(settings_in(folder, database_url=url.format(folder)))
    assert {name: mode for name, mode in found.items() if mode not in {0o600, 0o700}} == {}
    assert found["shop/shop.db"] == 0o600


@pytest.mark.parametrize(("mode", "is_made"), [("ro", False), ("rw", False), ("rwc", True)])
def test_a_database_that_must_be_there_is_not_made(tmp_path: Path, mode: str, is_made: bool) -> None:
    make_database_file(parse_database_url(f"sqlite:///file:{tmp_path}/shop.db?mode={mode}&uri=true"))
    assert (tmp_path / "shop.db").exists() is is_made


async def test_a_database_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "strata.db").touch(mode=0o640)
    found = await write_rows(settings_in(tmp_path))
    assert {mode for name, mode in found.items() if "strata.db" in name} == {0o640}


async def test_of_many_that_make_a_file_at_once_none_fails_and_none_opens_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    await asyncio.gather(*(asyncio.to_thread(make_private_file, path) for _ in range(50)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_to_a_file_that_is_not_there_makes_that_file_private(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    make_private_file(tmp_path / "link")
    assert stat.S_IMODE((tmp_path / "elsewhere").stat().st_mode) == 0o600


def test_a_folder_that_is_there_keeps_its_mode_and_one_that_is_missing_has_no_open_parent(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir(mode=0o755)
    make_private_folder(tmp_path / "shared" / "a" / "b")
    assert modes(tmp_path / "shared") == {"shared": 0o755, "shared/a": 0o700, "shared/a/b": 0o700}


async def test_secrets_passwords_and_mails_are_private_and_so_is_the_folder_they_make(tmp_path: Path) -> None:
    generated_secrets(tmp_path / "a" / "var")
    keep_password(settings_in(tmp_path / "b" / "var"), "swordfish")
    assert modes(tmp_path / "a") == {"a": 0o700, "a/var": 0o700, "a/var/secret": 0o600}
    assert modes(tmp_path / "b") == {"b": 0o700, "b/var": 0o700, "b/var/first-admin-password": 0o600}
    message = EmailMessage()
    message["To"] = "alice@example.com"
    await open_mailer(settings_in(tmp_path / "mails")).send(message)
    found = modes(tmp_path / "mails")
    assert (found.pop("mails"), found.pop("mails/mail"), set(found.values())) == (0o700, 0o700, {0o600})
