"""Signing keys: which one signs, which verify, what others learn of them, and what is wrong with a bad one."""

import json
import re
from base64 import urlsafe_b64decode
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from app.core.clock import utc_now
from app.core.config.settings import Settings, SettingsError
from app.core.errors import InvalidTokenError
from app.core.security.cursors import CursorSigner
from app.core.security.key_pairs import thumbprint
from app.core.security.keys import Algorithm, Key, Keyring
from app.core.security.pem import KeyPairAlgorithm
from app.core.security.tokens import Tokens, TokenType
from tests.forgery import Forger, claims_of
from tests.key_files import SECRETS, KeyFiles, public_half

all_algorithms = pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256"])
key_pairs = pytest.mark.parametrize("algorithm", ["RS256", "ES256"])


def settings_with(algorithm: Algorithm, current: str | None, *previous: str, **others: object) -> Settings:
    keys = {"jwt_algorithm": algorithm, "jwt_secret_key": current, "jwt_previous_keys": ",".join(previous)}
    return Settings.model_validate({"environment": "test"} | keys | others)


def keyring(algorithm: Algorithm, current: str, *previous: str) -> Keyring:
    return Keyring.from_settings(settings_with(algorithm, current, *previous))


def tokens(algorithm: Algorithm, current: str, *previous: str) -> Tokens:
    return Tokens(keyring(algorithm, current, *previous), "strata", "strata")


def issue(tokens: Tokens, kind: TokenType = "access") -> str:
    now = utc_now()
    return tokens.issue(
        kind,
        user_id=7,
        session_id=3,
        session_key="0" * 32,
        jti="3.0",
        issued_at=now,
        expires_at=now + timedelta(hours=1),
    )


def is_good(tokens: Tokens, token: str, kind: TokenType = "access") -> bool:
    try:
        return tokens.verify(token, kind).user_id == 7
    except InvalidTokenError as error:
        if error.code != "invalid_token":
            raise
        return False


@all_algorithms
@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_after_a_rotation_old_tokens_are_good_until_their_key_is_removed(
    key_files: KeyFiles, algorithm: Algorithm, kind: TokenType
) -> None:
    old, new = key_files.two(algorithm)
    before, rotated, after = tokens(algorithm, old), tokens(algorithm, new, old), tokens(algorithm, new)
    token = issue(before, kind)
    assert is_good(rotated, token, kind)
    assert not is_good(after, token, kind)


@all_algorithms
@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_after_a_rotation_the_new_key_signs(key_files: KeyFiles, algorithm: Algorithm, kind: TokenType) -> None:
    old, new = key_files.two(algorithm)
    token = issue(tokens(algorithm, new, old), kind)
    assert is_good(tokens(algorithm, new), token, kind)
    assert not is_good(tokens(algorithm, old), token, kind)


@all_algorithms
def test_cursors_outlive_a_rotation_until_their_key_is_removed(key_files: KeyFiles, algorithm: Algorithm) -> None:
    old, new = key_files.two(algorithm)
    before, rotated, after = (CursorSigner(keyring(algorithm, *keys)) for keys in [(old,), (new, old), (new,)])
    cursor = before.sign([1, "x"], "list")
    assert rotated.read(cursor, "list") == [1, "x"]
    assert after.read(cursor, "list") is None
    assert after.read(rotated.sign([2], "list"), "list") == [2]


@key_pairs
def test_a_previous_public_key_verifies_access_tokens_alone(key_files: KeyFiles, algorithm: KeyPairAlgorithm) -> None:
    """What else is signed takes a secret, and a public key has none."""
    old, new = key_files.two(algorithm)
    before, rotated = tokens(algorithm, old), tokens(algorithm, new, public_half(old))
    assert is_good(rotated, issue(before, "access"), "access")
    assert not is_good(rotated, issue(before, "refresh"), "refresh")
    cursor = CursorSigner(keyring(algorithm, old)).sign([1], "list")
    assert CursorSigner(keyring(algorithm, new, public_half(old))).read(cursor, "list") is None


@all_algorithms
def test_a_key_that_is_listed_twice_signs_all_the_same(key_files: KeyFiles, algorithm: Algorithm) -> None:
    """In the middle of a rotation the current key may be among the previous ones."""
    old, new = key_files.two(algorithm)
    doubled = tokens(algorithm, new, old, new)
    assert is_good(doubled, issue(doubled))
    assert is_good(doubled, issue(doubled, "refresh"), "refresh")
    assert len(keyring(algorithm, new, old, new).public_keys()) == (0 if algorithm == "HS256" else 2)


@all_algorithms
def test_the_same_refresh_token_comes_out_twice(key_files: KeyFiles, algorithm: Algorithm) -> None:
    old, new = key_files.two(algorithm)
    now = utc_now()
    pair = [
        tokens(algorithm, new, old).issue(
            "refresh",
            user_id=7,
            session_id=3,
            session_key="0" * 32,
            jti="3.1",
            issued_at=now,
            expires_at=now + timedelta(days=7),
        )
        for _ in range(2)
    ]
    assert pair[0] == pair[1]


@all_algorithms
def test_no_signature_serves_another_purpose(key_files: KeyFiles, algorithm: Algorithm) -> None:
    signer = tokens(algorithm, key_files.two(algorithm)[0])
    assert not is_good(signer, issue(signer, "refresh"), "access")
    assert not is_good(signer, issue(signer, "access"), "refresh")


@all_algorithms
@pytest.mark.parametrize("other", ["HS256", "RS256", "ES256"])
def test_one_algorithm_is_accepted_and_no_other(key_files: KeyFiles, algorithm: Algorithm, other: Algorithm) -> None:
    token = issue(tokens(other, key_files.two(other)[0]))
    assert is_good(tokens(algorithm, key_files.two(algorithm)[0]), token) == (algorithm == other)


@key_pairs
def test_no_forged_token_is_good(key_files: KeyFiles, algorithm: KeyPairAlgorithm) -> None:
    old, new = key_files.two(algorithm)
    ours = tokens(algorithm, new, old)
    previous, current = key_files.keys(algorithm)
    forger = Forger(algorithm, current, previous, claims_of(issue(ours)))
    assert is_good(ours, forger.good()), "else the others were refused for nothing"
    assert [name for name, token in forger.all().items() if is_good(ours, token)] == []


@key_pairs
def test_another_library_verifies_access_tokens_with_the_published_keys(
    key_files: KeyFiles, algorithm: KeyPairAlgorithm
) -> None:
    old, new = key_files.two(algorithm)
    published = json.dumps({"keys": keyring(algorithm, new, public_half(old)).public_keys()})
    key_set = KeySet.import_key_set(json.loads(published))
    for signer in (tokens(algorithm, old), tokens(algorithm, new)):
        assert jwt.decode(issue(signer), key_set, [algorithm]).claims["sub"] == "7"
    with pytest.raises((JoseError, ValueError)):
        jwt.decode(issue(tokens(algorithm, new), "refresh"), key_set, [algorithm])


@key_pairs
def test_nothing_private_is_published(key_files: KeyFiles, algorithm: KeyPairAlgorithm) -> None:
    members = {"RS256": {"n", "e"}, "ES256": {"crv", "x", "y"}}[algorithm]
    for key in keyring(algorithm, *key_files.two(algorithm)).public_keys():
        assert set(key) == {"kty", "use", "alg", "kid"} | members
        assert (key["use"], key["alg"]) == ("sig", algorithm)
    assert "private" not in repr(keyring(algorithm, *key_files.two(algorithm))).lower()
    assert keyring("HS256", *SECRETS).public_keys() == []


def test_the_key_id_is_the_thumbprint_of_rfc_7638() -> None:
    """The example of its section 3.1."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
        "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
        "nqDKgw"
    )
    key = rsa.RSAPublicNumbers(65537, int.from_bytes(urlsafe_b64decode(modulus + "=="))).public_key()
    assert thumbprint(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_coordinates_keep_their_leading_zeros() -> None:
    """RFC 7518 section 6.2.1.2: always 32 octets."""
    keys = (ec.derive_private_key(number, ec.SECP256R1()) for number in range(1, 5000))
    short = next(key for key in keys if key.public_key().public_numbers().x < 2**248)
    [published] = Keyring("ES256", (Key.of_pair(short),)).public_keys()
    assert (published["x"][0], len(published["x"])) == ("A", 43)


@key_pairs
def test_how_a_file_spells_its_key_makes_no_difference(
    key_files: KeyFiles, algorithm: KeyPairAlgorithm, tmp_path: Path
) -> None:
    path, key = key_files.two(algorithm)[0], key_files.keys(algorithm)[0]
    respelt = tmp_path / "key.pem"
    respelt.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    assert re.match("-----BEGIN (RSA|EC) PRIVATE KEY-----", respelt.read_text())
    kinds: tuple[TokenType, ...] = ("access", "refresh")
    for kind in kinds:
        assert is_good(tokens(algorithm, str(respelt)), issue(tokens(algorithm, path), kind), kind)


def test_a_key_file_that_goes_bad_after_the_check_is_named(key_files: KeyFiles, tmp_path: Path) -> None:
    path = key_files.write("moved", key_files.keys("ES256")[0])
    current = key_files.two("ES256")[0]
    for keys, name in [((path,), "JWT_SECRET_KEY"), ((current, path), "JWT_PREVIOUS_KEYS")]:
        settings = settings_with("ES256", *keys)
        moved = Path(path).rename(tmp_path / "elsewhere.pem")
        with pytest.raises(SettingsError, match=f"{name}: .* no such file"):
            Keyring.from_settings(settings)
        moved.rename(path)
