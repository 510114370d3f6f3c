"""`strata doctor`: what serve makes is a note, what had better be changed a warning, what is wrong a fault."""

import os
import re
import stat
from pathlib import Path

import pytest

from app.core.config.settings import Settings
from tests.cli.conftest import Strata
from tests.cli.test_commands import CREATE, in_database
from tests.factories import PASSWORD


@pytest.fixture
def fresh(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine where nothing has been made yet."""
    monkeypatch.delenv("JWT_SECRET_KEY")
    monkeypatch.setenv("DATA_DIR", "var")
    return folder


@pytest.mark.usefixtures("fresh")
def test_what_serve_makes_is_a_note_with_a_mark_of_its_own_and_no_fault(strata: Strata) -> None:
    answer = strata("doctor")
    assert answer.exit_code == 0
    *notes, fast_path = answer.stdout.splitlines()[1:]
    assert notes == [
        "· data directory  var is not there yet: `strata serve` makes it",
        "· signing secret  there is none yet: `strata serve` makes it, in var/secret",
        "· database        var/strata.db is not there yet: `strata serve` makes it",
    ]
    assert re.fullmatch(r"✓ fast path       on, \d+ of \d+ operations", fast_path)


def test_a_data_directory_that_serve_cannot_make_is_a_fault(strata: Strata, fresh: Path) -> None:
    (fresh / "var").touch()
    answer = strata("doctor")
    assert answer.exit_code == 1
    assert "✗ data directory  var is no directory" in answer.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_a_fault(strata: Strata, fresh: Path) -> None:
    fresh.chmod(0o500)
    assert strata("doctor").exit_code == 1


@pytest.mark.real_database
def test_a_migration_that_this_code_does_not_know_is_a_fault(strata: Strata, installed: Settings) -> None:
    in_database(installed, "UPDATE alembic_version SET version_num = 'abcdef012345'")
    answer = strata("doctor")
    assert answer.exit_code == 1
    assert "✗ migrations      at abcdef012345, which this code does not know" in answer.stdout


@pytest.mark.real_database
@pytest.mark.usefixtures("installed")
def test_files_that_others_can_read_are_told_and_left_as_they_are(strata: Strata, folder: Path) -> None:
    strata(*CREATE, stdin=f"{PASSWORD}\n")
    (folder / "mail").mkdir(mode=0o700)
    (folder / "mail" / "1.eml").touch(mode=0o600)
    assert f"✓ data directory  {folder} can be written" in strata("doctor").stdout
    exposed = [folder / "mail" / "1.eml"]
    exposed += [folder / "real.db"] if (folder / "real.db").exists() else []
    for path in exposed:
        path.chmod(0o644)
    answer = strata("doctor")
    assert answer.exit_code == 0
    (line,) = (line for line in answer.stdout.splitlines() if "data directory" in line)
    assert line.startswith("! data directory  others can read ")
    assert all(str(path) in line for path in exposed)
    assert {stat.S_IMODE(path.stat().st_mode) for path in exposed} == {0o644}


@pytest.mark.real_database
@pytest.mark.usefixtures("installed")
def test_a_first_password_that_is_still_in_its_file_is_told(strata: Strata, folder: Path) -> None:
    strata(*CREATE, stdin=f"{PASSWORD}\n")
    (folder / "first-admin-password").touch(mode=0o600)
    answer = strata("doctor")
    assert answer.exit_code == 0
    assert "! administrator   the first one's generated password is still in " in answer.stdout
