"""Key pairs: JWK representation and thumbprint."""

from base64 import urlsafe_b64encode
from hashlib import sha256
from json import dumps

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from app.core.security.pem import PrivateKey, PublicKey

P256_BYTES = 32


def halves(key: PrivateKey | PublicKey) -> tuple[PrivateKey | None, PublicKey]:
    """The private and the public half; the private one is None for a public key."""
    if isinstance(key, RSAPublicKey | EllipticCurvePublicKey):
        return None, key
    return key, key.public_key()


def private_number(key: PrivateKey) -> bytes:
    """The secret number alone, independent of how the file encodes the key."""
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
    """RFC 7638: an id that can be computed from the public key."""
    canonical = dumps(jwk(key), sort_keys=True, separators=(",", ":"))
    return base64url(int.from_bytes(sha256(canonical.encode()).digest()), sha256().digest_size)


def base64url(number: int, length: int | None = None) -> str:
    """RFC 7518 section 2: big-endian, minimal unless `length` is set, unpadded base64url."""
    octets = number.to_bytes(length or (number.bit_length() + 7) // 8)
    return urlsafe_b64encode(octets).decode().rstrip("=")
