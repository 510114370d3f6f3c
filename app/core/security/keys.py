"""The keys that sign and verify, loaded from the settings."""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

from app.core.config.settings import Settings, SettingsError
from app.core.security.secret_file import generated_secrets

if TYPE_CHECKING:
    from app.core.security.pem import KeyPairAlgorithm, PrivateKey, PublicKey

# `key_pairs` and `pem` are imported only for key pairs: their library takes 9 MB.
# ruff: noqa: PLC0415

type Algorithm = Literal["HS256"] | KeyPairAlgorithm


@dataclass(frozen=True, slots=True)
class Key:
    """A secret, a key pair, or the public half of one."""

    id: str
    # The signing key; None if only the public half is known.
    signer: "bytes | PrivateKey | None" = field(repr=False)
    verifier: "bytes | PublicKey" = field(repr=False)
    # The material from which other keys are derived; None if only the public half is known.
    seed: bytes | None = field(repr=False)

    @classmethod
    def of_secret(cls, secret: bytes) -> Self:
        # The id identifies the secret in a token's header without revealing it.
        return cls(derive_key(secret, "jwt-key-id").hex()[:16], secret, secret, secret)

    @classmethod
    def of_pair(cls, key: "PrivateKey | PublicKey") -> Self:
        from app.core.security.key_pairs import halves, private_number, thumbprint

        private, public = halves(key)
        return cls(thumbprint(public), private, public, private_number(private) if private is not None else None)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of one algorithm, the newest first: that one signs, all verify."""

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
        """The public keys as JWKs (RFC 7517); none for secrets, which have no public half."""
        pairs = {key.id: key.verifier for key in self.keys if not isinstance(key.verifier, bytes)}
        if not pairs:
            return []
        from app.core.security.key_pairs import jwk

        return [jwk(key) | {"use": "sig", "alg": self.algorithm, "kid": id_} for id_, key in pairs.items()]


def derive_key(secret: bytes, purpose: str) -> bytes:
    """Derive a key for one purpose, so that its signatures are not valid for another."""
    return hmac.digest(secret, f"strata:{purpose}".encode(), "sha256")


def signing_pairs(settings: Settings, algorithm: "KeyPairAlgorithm") -> "Iterator[PrivateKey | PublicKey]":
    from app.core.security.pem import read_key, read_private_key

    name = "JWT_SECRET_KEY"
    assert settings.jwt_secret_key is not None  # the settings require it
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
