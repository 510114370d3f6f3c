"""Which keys sign and which still verify, and where the settings say they are."""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from json import dumps
from typing import Literal, Self

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from app.core.config import Settings, SettingsError
from app.core.pem import KeyPairAlgorithm, PrivateKey, PublicKey, read_key, read_private_key
from app.core.secret_file import generated_secrets

type Algorithm = Literal["HS256"] | KeyPairAlgorithm

P256_BYTES = 32


@dataclass(frozen=True, slots=True)
class Key:
    """A secret, a key pair, or the public half of one."""

    id: str
    # What signs; None where only the public half is known.
    signer: bytes | PrivateKey | None = field(repr=False)
    verifier: bytes | PublicKey = field(repr=False)
    # What the keys for other purposes are derived from; None where nothing secret is known.
    seed: bytes | None = field(repr=False)

    @classmethod
    def of_secret(cls, secret: bytes) -> Self:
        # The id names the secret in a token's header without telling anything of it.
        return cls(derive_key(secret, "jwt-key-id").hex()[:16], secret, secret, secret)

    @classmethod
    def of_pair(cls, key: PrivateKey | PublicKey) -> Self:
        if isinstance(key, RSAPublicKey | EllipticCurvePublicKey):
            return cls(thumbprint(key), None, key, None)
        public = key.public_key()
        return cls(thumbprint(public), key, public, private_number(key))


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of one algorithm, the newest first: that one signs, and all of them verify."""

    algorithm: Algorithm
    keys: tuple[Key, ...]

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Read all keys; in development the secret is generated once, in `DATA_DIR`.

        Raises:
            OSError: if DATA_DIR can't be read or written.
            SettingsError: naming the key that is wrong.
        """
        if settings.jwt_algorithm == "HS256":
            return cls.of_secrets(*(secret.encode() for secret in signing_secrets(settings)))
        return cls(settings.jwt_algorithm, tuple(map(Key.of_pair, signing_pairs(settings, settings.jwt_algorithm))))

    @classmethod
    def of_secrets(cls, *secrets: bytes) -> Self:
        return cls("HS256", tuple(map(Key.of_secret, secrets)))

    @property
    def current(self) -> Key:
        return self.keys[0]

    def derive(self, purpose: str) -> list[bytes]:
        """A secret for one purpose from each key, the newest first; a key known by its public half has none."""
        return [derive_key(key.seed, purpose) for key in self.keys if key.seed is not None]

    def public_keys(self) -> list[dict[str, str]]:
        """What others verify with, as RFC 7517 writes it; none for secrets, which have no public half."""
        pairs = {key.id: key.verifier for key in self.keys if not isinstance(key.verifier, bytes)}
        return [jwk(key) | {"use": "sig", "alg": self.algorithm, "kid": id_} for id_, key in pairs.items()]


def derive_key(secret: bytes, purpose: str) -> bytes:
    """A key for one purpose, so that no signature made for one can serve another."""
    return hmac.digest(secret, f"strata:{purpose}".encode(), "sha256")


def private_number(key: PrivateKey) -> bytes:
    """The secret part alone: the same whichever way the file spells the key."""
    numbers = key.private_numbers()
    number = numbers.d if isinstance(key, RSAPrivateKey) else numbers.private_value  # type: ignore[union-attr] # told apart by the key
    return number.to_bytes((key.key_size + 7) // 8)


def jwk(key: PublicKey) -> dict[str, str]:
    """The members that RFC 7638 section 3.2 requires, of RFC 7518 section 6."""
    if isinstance(key, RSAPublicKey):
        rsa = key.public_numbers()
        return {"kty": "RSA", "n": base64url(rsa.n), "e": base64url(rsa.e)}
    point = key.public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": base64url(point.x, P256_BYTES), "y": base64url(point.y, P256_BYTES)}


def thumbprint(key: PublicKey) -> str:
    """RFC 7638: anybody who has the public key finds the same id."""
    canonical = dumps(jwk(key), sort_keys=True, separators=(",", ":"))
    return base64url(int.from_bytes(sha256(canonical.encode()).digest()), sha256().digest_size)


def base64url(number: int, length: int | None = None) -> str:
    """RFC 7518 section 2: big-endian, in no more bytes than it needs unless a length is given, unpadded."""
    octets = number.to_bytes(length or (number.bit_length() + 7) // 8)
    return urlsafe_b64encode(octets).decode().rstrip("=")


def signing_pairs(settings: Settings, algorithm: KeyPairAlgorithm) -> Iterator[PrivateKey | PublicKey]:
    name = "JWT_SECRET_KEY"
    assert settings.jwt_secret_key is not None  # the settings refuse to be without it
    try:
        yield read_private_key(settings.jwt_secret_key.get_secret_value(), algorithm)
        name = "JWT_PREVIOUS_KEYS"
        for previous in settings.jwt_previous_keys:
            yield read_key(previous.get_secret_value(), algorithm)
    except ValueError as error:  # the file has changed since the settings were checked
        raise SettingsError([f"{name}: {error}"]) from None


def signing_secrets(settings: Settings) -> list[str]:
    previous = [secret.get_secret_value() for secret in settings.jwt_previous_keys]
    if settings.jwt_secret_key is not None:
        return [settings.jwt_secret_key.get_secret_value(), *previous]
    return [*generated_secrets(settings.data_dir), *previous]
