"""Reads and writes the PEM files of RS256 and ES256 keys."""

import os
from pathlib import Path
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from app.core.config.home_folder import expand_home

type KeyPairAlgorithm = Literal["RS256", "ES256"]
type PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey
type PublicKey = RSAPublicKey | EllipticCurvePublicKey

MIN_RSA_BITS = 2048
NEW_RSA_BITS = 3072
KINDS = {"RS256": f"an RSA key of at least {MIN_RSA_BITS} bits", "ES256": "an EC key on the curve P-256"}


def read_private_key(path: str, algorithm: KeyPairAlgorithm) -> PrivateKey:
    """The private key of a file.

    Raises:
        ValueError: says what is wrong with the file, without the path, which may be a misplaced secret.
    """
    key = read_key(path, algorithm)
    if isinstance(key, RSAPublicKey | EllipticCurvePublicKey):
        raise ValueError("is a public key; signing needs the private one")  # noqa: TRY004 - a settings error, as the others
    return key


def read_key(path: str, algorithm: KeyPairAlgorithm) -> PrivateKey | PublicKey:
    """A private or a public key, by the content of the file. Raises ValueError, as above."""
    key = parse_key(read_file(path))
    match algorithm, key:
        case "RS256", RSAPrivateKey() | RSAPublicKey() if key.key_size >= MIN_RSA_BITS:
            return key
        case "ES256", EllipticCurvePrivateKey() | EllipticCurvePublicKey() if isinstance(key.curve, SECP256R1):
            return key
    raise ValueError(f"must be {KINDS[algorithm]} for {algorithm}")


def read_file(path: str) -> bytes:
    if "-----BEGIN" in path:
        raise ValueError("must be the path of the PEM file, not what is in it")
    try:
        return expand_home(Path(path)).read_bytes()
    except FileNotFoundError:
        raise ValueError("must be the path of a PEM file; there is no such file") from None
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from None


def parse_key(text: bytes) -> object:
    try:
        if b"-----BEGIN PUBLIC KEY-----" in text or b"-----BEGIN RSA PUBLIC KEY-----" in text:
            return load_pem_public_key(text)
        return load_pem_private_key(text, password=None)
    except TypeError:
        raise ValueError("the key is encrypted; give it without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("the file must hold a private or a public key in PEM") from None


def is_private_key(path: Path) -> bool:
    return b"PRIVATE KEY-----" in path.read_bytes()


def generate_key(algorithm: KeyPairAlgorithm) -> PrivateKey:
    if algorithm == "ES256":
        return generate_private_key(SECP256R1())
    return generate_rsa_key(public_exponent=65537, key_size=NEW_RSA_BITS)


def write_private_key(path: Path, key: PrivateKey) -> None:
    """Write a new file that only its owner can read.

    Raises:
        FileExistsError: an existing key is never overwritten.
        OSError: if it can't be written.
    """
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)
