"""`strata keys rotate`, and what `strata doctor` says of keys."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.cli.faults import explain
from app.core.clock import utc_now
from app.core.config.settings import Settings, SettingsError
from app.core.security.keys import Algorithm, Keyring
from app.core.security.pem import KeyPairAlgorithm
from app.core.security.tokens import Tokens
from tests.key_files import SECRETS, KeyFiles, public_half


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def tokens() -> Tokens:
    """As a server that starts now would have them."""
    return Tokens(Keyring.from_settings(Settings.load()), "strata", "strata")


def issue(tokens: Tokens) -> str:
    now = utc_now()
    return tokens.issue(
        "refresh",
        user_id=7,
        session_id=3,
        session_key="0" * 32,
        jti="3.0",
        issued_at=now,
        expires_at=now + timedelta(hours=1),
    )


def set_keys(monkeypatch: pytest.MonkeyPatch, algorithm: Algorithm, current: str, previous: str = "") -> None:
    monkeypatch.setenv("JWT_ALGORITHM", algorithm)
    monkeypatch.setenv("JWT_SECRET_KEY", current)
    monkeypatch.setenv("JWT_PREVIOUS_KEYS", previous)


def printed_settings(output: str) -> dict[str, str]:
    return dict(re.findall(r"^  (JWT_\w+)=(.*)$", output, re.MULTILINE))


def test_a_generated_secret_is_replaced_and_kept() -> None:
    secret, replaced = Path("var/secret"), Path("var/secret.previous")
    issued = [issue(tokens())]
    secrets = [secret.read_text()]
    for _ in range(2):
        output = run("keys", "rotate")
        assert "Restart the server" in output
        assert "Delete var/secret.previous 7 days after that (REFRESH_TOKEN_EXPIRE_DAYS" in output
        assert secret.read_text() not in output
        secrets.insert(0, secret.read_text())
        issued.append(issue(tokens()))
        assert replaced.read_text().split() == secrets[1:]
    assert len(set(secrets)) == 3
    assert all(tokens().verify(token, "refresh").user_id == 7 for token in issued)
    assert {file.name: file.stat().st_mode & 0o777 for file in Path("var").iterdir()} == {
        "secret": 0o600,
        "secret.previous": 0o600,
    }


def test_without_a_secret_there_is_nothing_to_replace() -> None:
    result = CliRunner().invoke(cli, ["keys", "rotate"])
    assert isinstance(result.exception, SettingsError)
    assert explain(result.exception) == ["var/secret: there is no secret to replace yet; `strata serve` makes one"]
    assert not Path("var").exists()


@pytest.mark.parametrize("name", ["secret", "secret.previous"])
def test_half_a_secret_is_not_used(name: str) -> None:
    issue(tokens())
    Path("var", name).write_text("half")
    result = CliRunner().invoke(cli, ["keys", "rotate"])
    assert isinstance(result.exception, SettingsError)
    assert f"var/{name}: has less than 32 bytes" in str(result.exception)


def test_a_secret_of_the_environments_is_left_alone_and_a_new_one_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    old, older = SECRETS
    set_keys(monkeypatch, "HS256", old, older)
    token = issue(tokens())
    output = run("keys", "rotate")
    assert output.startswith("Nothing has been changed")
    assert old not in output
    assert older not in output
    assert not list(Path().iterdir())
    proposed = printed_settings(output)
    assert proposed["JWT_PREVIOUS_KEYS"] == "<the value JWT_SECRET_KEY has now>,<those JWT_PREVIOUS_KEYS has>"
    set_keys(monkeypatch, "HS256", proposed["JWT_SECRET_KEY"], f"{old},{older}")
    assert tokens().verify(token, "refresh").user_id == 7
    assert printed_settings(run("keys", "rotate"))["JWT_SECRET_KEY"] != proposed["JWT_SECRET_KEY"]


def test_a_secret_that_a_list_cannot_hold_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    set_keys(monkeypatch, "HS256", SECRETS[0] + ",")
    output = run("keys", "rotate")
    assert "has a comma" in output
    assert printed_settings(output)["JWT_PREVIOUS_KEYS"] == "<the value JWT_SECRET_KEY has now>"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_new_key_file_is_put_beside_the_old_one(
    monkeypatch: pytest.MonkeyPatch, key_files: KeyFiles, algorithm: KeyPairAlgorithm
) -> None:
    current, older = (
        Path(name).write_bytes(Path(path).read_bytes()) and name
        for name, path in zip(("a.pem", "b.pem"), key_files.two(algorithm), strict=True)
    )
    before = {path: path.read_bytes() for path in Path().iterdir()}
    set_keys(monkeypatch, algorithm, str(current), str(older))
    token = issue(tokens())
    proposed = printed_settings(run("keys", "rotate"))
    new = Path(proposed["JWT_SECRET_KEY"])
    assert proposed["JWT_PREVIOUS_KEYS"] == "a.pem,b.pem"
    assert new.stat().st_mode & 0o777 == 0o600
    assert {path: path.read_bytes() for path in Path().iterdir()} == before | {new: new.read_bytes()}
    for name, value in proposed.items():
        monkeypatch.setenv(name, value)
    assert tokens().verify(token, "refresh").user_id == 7


def test_a_folder_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, key_files: KeyFiles) -> None:
    with Path(key_files.two("ES256")[0]).open("rb") as file:
        # Not even root can put a file there.
        set_keys(monkeypatch, "ES256", f"/dev/fd/{file.fileno()}")
        result = CliRunner().invoke(cli, ["keys", "rotate"])
    assert isinstance(result.exception, SettingsError)
    assert re.fullmatch(r"/dev/fd/jwt-es256-.{8}\.pem: cannot be written: .+", str(result.exception))


def doctor_on_keys() -> str:
    result = CliRunner().invoke(cli, ["doctor"], catch_exceptions=False)
    [line] = [line for line in result.output.splitlines() if "signing secret" in line]
    return line


def test_the_doctor_finds_generated_secrets_that_others_can_read() -> None:
    assert doctor_on_keys().startswith("·")
    issue(tokens())
    run("keys", "rotate")
    assert doctor_on_keys() == "✓ signing secret  generated, in var/secret"
    Path("var/secret.previous").chmod(0o640)
    assert doctor_on_keys().endswith("var/secret.previous can be read by others: chmod 600 var/secret.previous")


def test_the_doctor_warns_of_private_key_files_that_others_can_read(
    monkeypatch: pytest.MonkeyPatch, key_files: KeyFiles
) -> None:
    private, public = Path("private.pem"), Path("public.pem")
    private.write_bytes(Path(key_files.two("ES256")[0]).read_bytes())
    public.write_bytes(Path(public_half(key_files.two("ES256")[1])).read_bytes())
    set_keys(monkeypatch, "ES256", str(private), str(public))
    private.chmod(0o600)
    public.chmod(0o644)
    assert doctor_on_keys() == "✓ signing secret  ES256, in private.pem"
    private.chmod(0o640)
    assert doctor_on_keys() == "! signing secret  private keys that others can read: chmod 600 private.pem"
