"""Tokens as an attacker would make them: by hand, without the library that the application signs with."""

import hmac
import json
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.core.security.key_pairs import jwk
from app.core.security.keys import Key
from app.core.security.pem import KeyPairAlgorithm, PrivateKey, generate_key

type Sign = Callable[[bytes], bytes]


def compact(header: object, claims: dict[str, Any], sign: Sign) -> str:
    head, body = (encode(json.dumps(part).encode()) for part in (header, claims))
    return f"{head}.{body}.{encode(sign(f'{head}.{body}'.encode()))}"


def encode(octets: bytes) -> str:
    return urlsafe_b64encode(octets).decode().rstrip("=")


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


def with_secret(secret: bytes) -> Sign:
    return lambda text: hmac.digest(secret, text, "sha256")


def with_key(key: PrivateKey) -> Sign:
    if not isinstance(key, EllipticCurvePrivateKey):
        return lambda text: key.sign(text, PKCS1v15(), SHA256())

    def sign(text: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(text, ECDSA(SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    return sign


@dataclass(frozen=True)
class Forger:
    """Knows the public keys and the claims of a good token, and, for tokens odd but well signed, the private keys."""

    algorithm: KeyPairAlgorithm
    key: PrivateKey
    previous: PrivateKey
    claims: dict[str, Any]

    @property
    def header(self) -> dict[str, Any]:
        return {"alg": self.algorithm, "typ": "JWT", "kid": Key.of_pair(self.key).id}

    def good(self) -> str:
        return compact(self.header, self.claims, with_key(self.key))

    def all(self) -> dict[str, str]:
        return (
            self.without_signature() | self.with_public_key_as_secret() | self.with_wrong_key() | self.with_odd_header()
        )

    def without_signature(self) -> dict[str, str]:
        return {
            "alg none": compact(self.header | {"alg": "none"}, self.claims, lambda _: b""),
            "alg nOnE": compact(self.header | {"alg": "nOnE"}, self.claims, lambda _: b""),
            "alg none, some signature": compact(self.header | {"alg": "none"}, self.claims, lambda _: b"x" * 64),
            "no signature": compact(self.header, self.claims, lambda _: b""),
            "signature of zeros": compact(self.header, self.claims, lambda _: bytes(64)),  # CVE-2022-21449
            "good signature of other claims": self.with_claims_changed(),
        }

    def with_claims_changed(self) -> str:
        header, _, signature = self.good().split(".")
        return f"{header}.{encode(json.dumps(self.claims | {'scope': 'admin'}).encode())}.{signature}"

    def with_public_key_as_secret(self) -> dict[str, str]:
        public = self.key.public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        header = self.header | {"alg": "HS256"}
        known = {
            "PEM": pem,
            "stripped PEM": pem.strip(),
            "DER": der,
            "bare base64": b64encode(der),
            "the PEM's lines without their frame": b"\n".join(pem.splitlines()[1:-1]),
            "JWK": json.dumps(jwk(public)).encode(),
            "nothing": b"",
        }
        return {f"HMAC with {name}": compact(header, self.claims, with_secret(text)) for name, text in known.items()}

    def with_wrong_key(self) -> dict[str, str]:
        other: KeyPairAlgorithm = "RS256" if self.algorithm == "ES256" else "ES256"
        stranger, alien = generate_key(self.algorithm), generate_key(other)
        alien_header = {"alg": other, "typ": "JWT", "kid": Key.of_pair(alien).id}
        return {
            "a stranger's key under our id": compact(self.header, self.claims, with_key(stranger)),
            "a stranger's key under its own id": compact(
                self.header | {"kid": Key.of_pair(stranger).id}, self.claims, with_key(stranger)
            ),
            "the id of our previous key": compact(
                self.header | {"kid": Key.of_pair(self.previous).id}, self.claims, with_key(self.key)
            ),
            "our id, the previous key": compact(self.header, self.claims, with_key(self.previous)),
            f"{other} under our id": compact(self.header | {"alg": other}, self.claims, with_key(alien)),
            f"{other} under its own id": compact(alien_header, self.claims, with_key(alien)),
            "jwk brought along": compact(
                self.header | {"jwk": jwk(stranger.public_key())}, self.claims, with_key(stranger)
            ),
        }

    def with_odd_header(self) -> dict[str, str]:
        """All signed with the right key: what is odd must be refused for itself."""
        odd: dict[str, Any] = {
            "jku": {"jku": "https://attacker.example/jwks.json"},
            "x5u": {"x5u": "https://attacker.example/key.pem"},
            "jwk": {"jwk": jwk(self.key.public_key())},
            "crit": {"crit": ["exp"]},
            "unknown kid": {"kid": "unknown"},
            "path as kid": {"kid": "../../../dev/null"},
            "list as kid": {"kid": [self.header["kid"]]},
            "null as kid": {"kid": None},
            "other typ": {"typ": "at+jwt"},
        }
        headers = {name: self.header | change for name, change in odd.items()}
        headers["no kid"] = {"alg": self.algorithm, "typ": "JWT"}
        headers["list as header"] = [self.header]
        return {name: compact(header, self.claims, with_key(self.key)) for name, header in headers.items()}
