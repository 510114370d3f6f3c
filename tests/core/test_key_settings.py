"""What the settings say of a bad key: which one, and what it must be; never what it is."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pydantic import ValidationError

from app.cli.faults import explain
from app.core.config.settings import Settings
from app.core.security.keys import Algorithm
from tests.key_files import SECRETS, KeyFiles, public_half

OLD, NEW = SECRETS
RANDOM = "mJ8vQ2xT5zW1yB4nR7kL0pC3sF6hD9gAeUiOqXwZ"


def faults(algorithm: Algorithm, current: str | None, *previous: str, **others: object) -> list[str]:
    keys = {"jwt_algorithm": algorithm, "jwt_secret_key": current, "jwt_previous_keys": ",".join(previous)}
    try:
        Settings.model_validate({"environment": "test"} | keys | others)
    except ValidationError as error:
        lines = [line for text in explain(error) or [] for line in text.splitlines()]
        assert not any(key in line for key in (current, *previous) if key for line in lines)
        return lines
    return []


def fault(algorithm: Algorithm, current: str | None, *previous: str, **others: object) -> str:
    [line] = faults(algorithm, current, *previous, **others)
    return line


def test_good_keys_have_no_faults(key_files: KeyFiles) -> None:
    assert faults("HS256", NEW, OLD) == faults("HS256", None) == faults("HS256", None, OLD) == []
    for algorithm in ("RS256", "ES256"):
        old, new = key_files.two(algorithm)
        assert faults(algorithm, new, old, public_half(old)) == []


def test_short_secrets_are_named_by_their_place() -> None:
    assert fault("HS256", "short").startswith("JWT_SECRET_KEY: must have at least 32 bytes")
    assert fault("HS256", NEW, OLD, "brief").startswith("JWT_PREVIOUS_KEYS: number 2: must have at least 32 bytes")


def test_a_key_file_is_no_secret(key_files: KeyFiles) -> None:
    path = key_files.two("RS256")[0]
    public_pem = Path(public_half(path)).read_text()
    ssh = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7"
    for text in (path, Path(path).read_text(), public_pem, ssh):
        assert "set JWT_ALGORITHM to RS256 or ES256" in fault("HS256", text)
        assert fault("HS256", NEW, text).startswith("JWT_PREVIOUS_KEYS: number 1: is a key")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_key_pair_is_not_made_up(algorithm: Algorithm) -> None:
    said = fault(algorithm, None)
    assert said.startswith(f"JWT_SECRET_KEY: must be the path of a PEM private key for {algorithm}; try `openssl")
    exposed = faults(algorithm, None, environment="production", trusted_hosts="example.com")
    assert exposed == [said]


def test_key_files_must_be_there_and_be_keys(key_files: KeyFiles, tmp_path: Path) -> None:
    good = key_files.two("ES256")[0]
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")
    empty = tmp_path / "empty.pem"
    empty.touch()
    encrypted = key_files.write("encrypted", key_files.keys("ES256")[0], passphrase=b"secret")
    for path, said in [
        (str(tmp_path / "missing.pem"), "there is no such file"),
        (OLD, "there is no such file"),
        (str(tmp_path), "the file cannot be read: Is a directory"),
        (Path(good).read_text(), "must be the path of the PEM file, not what is in it"),
        (str(nonsense), "must hold a private or a public key in PEM"),
        (str(empty), "must hold a private or a public key in PEM"),
        (encrypted, "the key is encrypted"),
    ]:
        assert fault("ES256", path).startswith("JWT_SECRET_KEY: ")
        assert said in fault("ES256", path)
        assert fault("ES256", good, path).startswith("JWT_PREVIOUS_KEYS: number 1: ")
        assert said in fault("ES256", good, path)


def test_key_files_must_be_of_the_algorithms_kind(key_files: KeyFiles) -> None:
    curve = key_files.write("p384", ec.generate_private_key(ec.SECP384R1()))
    short = key_files.write("short", rsa.generate_private_key(65537, 1024))
    edwards = key_files.write("ed25519", ed25519.Ed25519PrivateKey.generate())
    es256, rs256 = key_files.two("ES256")[0], key_files.two("RS256")[0]
    for path in (curve, edwards, rs256):
        assert "must be an EC key on the curve P-256 for ES256" in fault("ES256", path)
        assert "must be an EC key on the curve P-256 for ES256" in fault("ES256", es256, public_half(path))
    for path in (short, edwards, es256):
        assert "must be an RSA key of at least 2048 bits for RS256" in fault("RS256", path)
        assert "must be an RSA key of at least 2048 bits for RS256" in fault("RS256", rs256, public_half(path))
    assert fault("ES256", public_half(es256)) == "JWT_SECRET_KEY: is a public key; signing needs the private one"


def test_in_production_secrets_must_not_be_guessable_and_paths_may_be(key_files: KeyFiles) -> None:
    exposed = {"environment": "production", "trusted_hosts": "example.com"}
    guessable = "change-me-" * 5
    assert faults("HS256", guessable) == []
    assert fault("HS256", guessable, **exposed).startswith("JWT_SECRET_KEY: is guessable; in production")
    assert fault("HS256", RANDOM, guessable, **exposed).startswith("JWT_PREVIOUS_KEYS: number 1: is guessable")
    secret_example = key_files.write("secret-example", key_files.keys("ES256")[0])
    assert faults("ES256", secret_example, **exposed) == []
    assert "JWT_SECRET_KEY: must be set in production" in fault("HS256", None, **exposed)
