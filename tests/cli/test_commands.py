"""Every command but `serve`: what it does, what it says, and what it says when it cannot."""

import asyncio
import io
import json
import shutil
import socket
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from app.cli.faults import explain
from app.core.config.settings import Settings
from app.core.db import migrations
from app.core.db.engine import Database
from app.core.db.migrations import ROOT, migration_head
from app.core.security.passwords import PasswordHasher
from app.models.user import Role, User
from tests.cli.conftest import Failure, Strata
from tests.conftest import POSTGRES_URL
from tests.factories import PASSWORD

HEAD = migration_head()
UP_TO_DATE = f"The database is at {HEAD}, up to date.\n"

type Fails = Callable[..., Failure]

pytestmark = pytest.mark.real_database


def in_database[T](settings: Settings, *statements: str, read: str = "SELECT 0") -> object:
    """Run SQL, and give the value that the last of it reads."""

    async def run() -> object:
        database = Database(settings)
        try:
            async with database.transaction() as session:
                for statement in statements:
                    await session.execute(text(statement))
                return await session.scalar(text(read))
        finally:
            await database.close()

    return asyncio.run(run())


def find_user(settings: Settings, name: str) -> User | None:
    async def run() -> User | None:
        database = Database(settings)
        try:
            async with database.primary() as session:
                return await session.scalar(select(User).where(User.username == name))
        finally:
            await database.close()

    return asyncio.run(run())


@pytest.mark.usefixtures("folder")
def test_version_tells_the_version_and_needs_no_settings(strata: Strata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "nonsense")
    answer = strata("version")
    assert (answer.exit_code, answer.stdout) == (0, f"Strata {version('strata')}\n")


@pytest.mark.parametrize("arguments", [[], ["db"], ["admin"]])
def test_without_a_command_the_help_is_shown(strata: Strata, arguments: list[str]) -> None:
    answer = strata(*arguments)
    assert answer.exit_code == 2
    assert "Usage: strata" in answer.output


def test_openapi_is_printed_and_nothing_else(strata: Strata, folder: Path) -> None:
    answer = strata("openapi")
    assert answer.exit_code == 0
    document = json.loads(answer.stdout)
    assert document["openapi"].startswith("3.1")
    assert document["paths"]["/api/v1/items"]["post"]["operationId"] == "items_create"
    assert list(folder.iterdir()) == [], "it touches neither a database nor the disk"


def test_openapi_is_written_to_a_file(strata: Strata, folder: Path) -> None:
    answer = strata("openapi", "--output", "openapi.json")
    assert (answer.exit_code, answer.stdout) == (0, "")
    assert "Wrote openapi.json." in answer.stderr
    assert (folder / "openapi.json").read_text() == strata("openapi").stdout


@pytest.mark.usefixtures("folder")
def test_openapi_knows_the_prefix_of_the_proxy(strata: Strata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOT_PATH", "/shop/")
    assert json.loads(strata("openapi").stdout)["servers"] == [{"url": "/shop"}]


def test_openapi_says_when_it_cannot_write(fails: Fails, folder: Path) -> None:
    (folder / "file").touch()
    failure = fails("openapi", "--output", "file/openapi.json")
    assert failure.code == 1
    assert "file/openapi.json" in failure.lines[-1]
    assert "Not a directory" in failure.lines[-1]


@pytest.mark.usefixtures("empty")
def test_a_database_goes_up_and_down_and_tells_where_it_is(strata: Strata) -> None:
    behind = f"The database is at no migration, the code needs {HEAD}: run `strata db upgrade`.\n"
    assert strata("db", "current").stdout == behind
    assert strata("db", "upgrade").stdout == UP_TO_DATE
    assert strata("db", "current").stdout == UP_TO_DATE
    assert strata("db", "check").exit_code == 0
    assert strata("db", "upgrade").stdout == UP_TO_DATE
    assert strata("db", "downgrade", "base").stdout == behind
    assert strata("db", "upgrade", "head").stdout == UP_TO_DATE
    assert strata("db", "downgrade", "-1").exit_code == 0
    assert strata("db", "current").stdout != UP_TO_DATE


def test_the_printed_sql_builds_the_same_database(strata: Strata, empty: Settings) -> None:
    printed = strata("db", "upgrade", "--sql")
    assert printed.exit_code == 0
    assert "CREATE TABLE items" in printed.stdout
    statements = [part.strip() for part in printed.stdout.split(";\n")]
    in_database(empty, *(part for part in statements if part and part not in {"BEGIN", "COMMIT"}))
    assert strata("db", "current").stdout == UP_TO_DATE
    assert strata("db", "check").exit_code == 0


def test_check_tells_what_differs(fails: Fails, installed: Settings) -> None:
    in_database(installed, "DROP INDEX ix_items_price_id")
    failure = fails("db", "check")
    assert failure.code == 1
    (line,) = failure.lines
    assert line.startswith("error: ")
    assert "ix_items_price_id" in line


@pytest.mark.usefixtures("empty")
def test_check_wants_a_migrated_database(fails: Fails) -> None:
    assert (fails("db", "check").code, fails("db", "check").lines) == (1, ["error: Target database is not up to date."])


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("command", ["upgrade", "downgrade"])
def test_an_unknown_migration_is_told(fails: Fails, command: str) -> None:
    failure = fails("db", command, "nonsense")
    assert (failure.code, failure.lines) == (1, ["error: Can't locate revision identified by 'nonsense'"])


@pytest.fixture
def copied_root(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what `strata db revision` writes to."""
    root = folder / "root"
    shutil.copytree(ROOT / "alembic", root / "alembic", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("alembic.ini", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    monkeypatch.setattr(migrations, "ROOT", root)
    monkeypatch.syspath_prepend(root)  # Alembic does too, and would leave it there
    return root


def written(root: Path) -> str:
    """The one migration that is in the copy alone."""
    names = {path.name for path in (root / "alembic/versions").glob("*.py")}
    (new,) = names - {path.name for path in (ROOT / "alembic/versions").glob("*.py")}
    return (root / "alembic/versions" / new).read_text()


def test_a_revision_holds_what_models_and_database_differ_in(
    strata: Strata, installed: Settings, copied_root: Path
) -> None:
    in_database(installed, "DROP INDEX ix_items_price_id", "ALTER TABLE users DROP COLUMN full_name")
    assert strata("db", "revision", "-m", "Put things right").exit_code == 0
    source = written(copied_root)
    assert source.startswith('"""Put things right"""\n')
    assert "ix_items_price_id" in source
    assert '"full_name"' in source
    assert strata("db", "upgrade").exit_code == 0
    assert strata("db", "check").exit_code == 0
    assert strata("db", "downgrade", "-1").exit_code == 0


@pytest.mark.usefixtures("installed")
def test_an_empty_revision_is_ready_to_be_filled(strata: Strata, copied_root: Path) -> None:
    assert strata("db", "revision", "--empty", "--message", "Fill items").exit_code == 0
    source = written(copied_root)
    assert source.count("    pass") == 2
    assert f'down_revision: str | Sequence[str] | None = "{HEAD}"' in source
    compile(source, "revision", "exec")


CREATE = ["admin", "create", "--username", "Alice", "--email", "alice@example.com"]


def test_an_administrator_is_made_with_the_password_of_standard_input(strata: Strata, installed: Settings) -> None:
    answer = strata(*CREATE, stdin=f"{PASSWORD}\n")
    assert (answer.exit_code, answer.stdout) == (0, "Administrator Alice created.\n")
    alice = find_user(installed, "Alice")
    assert alice is not None
    assert (alice.email, alice.role, alice.is_active, alice.is_verified) == (
        "alice@example.com",
        Role.ADMIN,
        True,
        True,
    )
    assert PasswordHasher().verify_now(PASSWORD, alice.hashed_password) == (True, None)


@pytest.mark.parametrize(
    ("changes", "password", "line"),
    [
        ({}, "2short", "PASSWORD: value should have at least 8 characters"),
        ({}, "", "PASSWORD: value should have at least 8 characters"),
        ({}, "x" * 129, "PASSWORD: value should have at most 128 characters"),
        ({"Alice": "A"}, PASSWORD, "USERNAME: string should have at least 3 characters"),
        ({"Alice": "not a name"}, PASSWORD, "USERNAME: must be 3 to 50 letters"),
        ({"Alice": "\u0430lice"}, PASSWORD, "USERNAME: must have the letters of one script only"),
        ({"alice@example.com": "Evil <a@example.com>"}, PASSWORD, "EMAIL: must be an e-mail address alone"),
        ({"alice@example.com": "nowhere"}, PASSWORD, "EMAIL: value is not a valid email address"),
    ],
)
def test_nobody_becomes_administrator_with_what_nobody_could_register(
    fails: Fails,
    installed: Settings,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    password: str,
    line: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    failure = fails(*(changes.get(argument, argument) for argument in CREATE))
    assert failure.code == 1
    assert len(failure.lines) == 1
    assert failure.lines[0].startswith(f"error: {line}")
    assert not password or password not in failure.lines[0]
    assert in_database(installed, read="SELECT count(*) FROM users") == 0


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "email", "line"),
    [
        ("ALICE", "other@example.com", "error: This username is already in use."),
        ("other", "Alice@Example.com", "error: This email is already in use."),
    ],
)
def test_a_taken_name_or_address_is_told(
    strata: Strata, fails: Fails, monkeypatch: pytest.MonkeyPatch, name: str, email: str, line: str
) -> None:
    strata(*CREATE, stdin=f"{PASSWORD}\n")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    failure = fails("admin", "create", "--username", name, "--email", email)
    assert (failure.code, failure.lines) == (1, [line])


@pytest.mark.usefixtures("empty")
def test_an_administrator_needs_tables_first(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    failure = fails(*CREATE)
    assert (failure.code, failure.lines) == (
        1,
        ["error: The database has no tables yet: run `strata db upgrade`."],
    )


@pytest.mark.usefixtures("installed")
def test_the_doctor_finds_a_healthy_installation_healthy(strata: Strata) -> None:
    strata(*CREATE, stdin=f"{PASSWORD}\n")
    answer = strata("doctor")
    assert answer.exit_code == 0, answer.output
    assert [line.split()[0] for line in answer.stdout.splitlines()] == ["✓"] * (8 if POSTGRES_URL is None else 9)
    assert "test, no faults" in answer.stdout
    assert f"at {HEAD}, up to date" in answer.stdout


@pytest.mark.usefixtures("installed")
@pytest.mark.skipif(POSTGRES_URL is None, reason="SQLite knows no limit")
def test_the_doctor_warns_of_more_connections_than_the_server_has(
    strata: Strata, monkeypatch: pytest.MonkeyPatch
) -> None:
    strata(*CREATE, stdin=f"{PASSWORD}\n")
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    assert "✓ connections     4 workers with up to 15 each; the server has " in strata("doctor").stdout
    monkeypatch.setenv("DB_POOL_SIZE", "9000")
    answer = strata("doctor")
    assert answer.exit_code == 0
    assert "! connections     4 workers with up to 9005 each, but the server has " in answer.stdout


def test_the_doctor_finds_nothing_to_mend_where_serve_makes_what_is_missing(
    strata: Strata, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JWT_SECRET_KEY")
    monkeypatch.setenv("DATA_DIR", "var")
    answer = strata("doctor")
    assert answer.exit_code == 0
    settings, *notes = answer.stdout.splitlines()
    assert settings.startswith("✓ settings")
    assert [note.split()[:2] for note in notes] == [["·", "data"], ["·", "signing"], ["·", "database"], ["✓", "fast"]]
    assert all("`strata serve` makes it" in note for note in notes[:3])
    assert list(folder.iterdir()) == [], "it looks, and touches nothing"


@pytest.mark.usefixtures("installed")
def test_the_doctor_notes_old_tables_and_a_missing_administrator(strata: Strata) -> None:
    answer = strata("doctor")
    assert answer.exit_code == 0
    assert "· administrator   there is none yet: `strata serve` makes it" in answer.stdout
    strata("db", "downgrade", "base")
    answer = strata("doctor")
    assert answer.exit_code == 0
    assert f"· migrations      at none, needs {HEAD}: `strata serve` makes it so" in answer.stdout
    assert "administrator" not in answer.stdout, "that could not be known"


@pytest.mark.usefixtures("installed")
def test_the_doctor_minds_a_secret_that_others_can_read(
    strata: Strata, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JWT_SECRET_KEY")
    path = folder / "secret"
    path.write_text("x" * 64)
    path.chmod(0o644)
    assert f"✗ signing secret  {path} can be read by others: chmod 600 {path}" in strata("doctor").stdout
    path.chmod(0o600)
    assert f"✓ signing secret  generated, in {path}" in strata("doctor").stdout


@pytest.mark.usefixtures("folder")
def test_the_doctor_shows_no_password_of_a_database_out_of_reach(
    strata: Strata, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        monkeypatch.setenv("DATABASE_URL", f"postgresql://u:{PASSWORD.replace(' ', '')}@127.0.0.1:{port}/d")
        answer = strata("doctor")
    assert answer.exit_code == 1
    assert "✗ database        The database cannot be used:" in answer.stdout
    assert PASSWORD.replace(" ", "") not in answer.output


@pytest.mark.usefixtures("folder")
@pytest.mark.skipif(POSTGRES_URL is None, reason="needs STRATA_TEST_DATABASE_URL")
@pytest.mark.parametrize("command", [["db", "current"], ["db", "upgrade"], ["admin", "create"]])
def test_a_database_that_does_not_exist_is_told_with_what_to_do(
    fails: Fails, real_url: URL, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    url = real_url.set(database="strata_nowhere").render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DB_RETRY_LIMIT", "10")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    failure = fails(*(CREATE if command == ["admin", "create"] else command))
    assert failure.code == 1
    assert failure.lines == ["error: There is no such database: create it (`createdb NAME`) or fix DATABASE_URL."]


@pytest.mark.parametrize(
    "command", [["serve"], ["openapi"], ["doctor"], ["db", "current"], ["db", "upgrade"], ["db", "check"], CREATE]
)
def test_wrong_settings_are_told_line_by_line_by_every_command(
    fails: Fails, folder: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("JWT_SECRET_KEY", "guessable")
    monkeypatch.setenv("DEBUG", "true")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    failure = fails(*command)
    assert failure.code == 1
    assert failure.out == ""
    names = ["JWT_SECRET_KEY", "DEBUG", "TRUSTED_HOSTS"]
    assert [line.split(":")[:2] for line in failure.lines] == [["error", f" {name}"] for name in names]
    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", [["nonsense"], ["db", "nonsense"], ["serve", "--port", "x"], ["version", "x"]])
def test_an_unknown_command_or_option_is_refused(fails: Fails, command: list[str]) -> None:
    assert fails(*command).code == 2


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", [["db", "current"], ["db", "upgrade"]])
def test_a_file_that_is_no_database_is_told_with_what_to_do(
    fails: Fails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes\n" * 1000)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{path}")
    failure = fails(*command)
    assert failure.lines[-1:] == [
        "error: The file is no SQLite database: fix DATABASE_URL, or move the file away.",
    ]


@pytest.mark.skipif(POSTGRES_URL is None, reason="needs STRATA_TEST_DATABASE_URL")
async def test_a_database_that_does_not_write_is_told_with_what_to_do(real_settings: Settings) -> None:
    database = Database(real_settings)
    async with database.transaction() as session:
        await session.execute(text("SET TRANSACTION READ ONLY"))
        with pytest.raises(DBAPIError) as caught:
            await session.execute(text("DELETE FROM items"))
        await session.rollback()
    await database.close()
    assert explain(caught.value) == [
        "The database does not write: DATABASE_URL or DB_HOST names a standby, or it is set to read-only."
    ]


def test_a_defect_of_ours_is_not_dressed_up_as_the_users_mistake() -> None:
    assert explain(ValueError("a bug")) is None
    assert explain(KeyError("a bug")) is None


def test_a_file_that_cannot_be_used_is_named() -> None:
    error = PermissionError(13, "Permission denied", "/srv/strata/secret")
    assert explain(error) == ["Cannot use /srv/strata/secret: Permission denied. Check DATA_DIR."]
