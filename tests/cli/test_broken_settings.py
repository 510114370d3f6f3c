"""What a command says where the settings are wrong: a line a fault, whichever command it is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Failure

COMMANDS = [["doctor"], ["serve", "--port", "0"], ["db", "upgrade"], ["keys", "rotate"], ["openapi"]]
BROKEN = """
CORS_ORIGINS=https://*.example.com
TRUSTED_HOSTS=a.*.b
FORWARDED_ALLOW_IPS=nginx
DATA_DIR=~nobody-of-this-name/x
RATE_LIMIT_LOGIN=0/minute
"""

type Fails = Callable[..., Failure]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and nothing in the environment."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_answers_with_a_traceback(fails: Fails, folder: Path, command: list[str]) -> None:
    (folder / ".env").write_text(BROKEN)
    names = ["DATA_DIR", "RATE_LIMIT_LOGIN", "CORS_ORIGINS", "TRUSTED_HOSTS", "FORWARDED_ALLOW_IPS"]
    assert [line.split(":")[1].strip() for line in refused(fails(*command))] == names


def test_a_file_that_cannot_be_read_ends_a_command_in_one_line(fails: Fails, folder: Path) -> None:
    (folder / ".env").write_bytes("LOG_LEVEL=info\n".encode("utf-16"))
    assert len(refused(fails("serve"))) == 1


def refused(failure: Failure) -> list[str]:
    """What it says, each line an error."""
    assert (failure.code, failure.out) == (1, "")
    assert [line for line in failure.lines if not line.startswith("error: ")] == []
    return failure.lines
