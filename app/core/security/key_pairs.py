"""What identifies a key pair, and what others are told of it."""

from base64 import urlsafe_b64encode
from hashlib import sha256
from json import dumps

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from app.core.security.pem import PrivateKey, PublicKey

P256_BYTES = 32


def halves(key: PrivateKey | PublicKey) -> tuple[PrivateKey | None, PublicKey]:
    """The private one is None where only the other is known."""
    if isinstance(key, RSAPublicKey | EllipticCurvePublicKey):
        return None, key
    return key, key.public_key()


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
