"""Signing keys for the tests, as an operator would have them: secrets, and PEM files."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from app.core.security.keys import Algorithm
from app.core.security.pem import KeyPairAlgorithm, PrivateKey

SECRETS = ("the-older-key-of-48-bytes-0123456789-abcdefghijk", "the-newer-key-of-48-bytes-9876543210-ABCDEFGHIJK")


class KeyFiles:
    """A folder of PEM files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("old", "new"):
            self.write(f"ES256-{name}", ec.generate_private_key(ec.SECP256R1()))
            self.write(f"RS256-{name}", rsa.generate_private_key(65537, 2048))

    def write(self, name: str, key: PrivateKey | ed25519.Ed25519PrivateKey, passphrase: bytes | None = None) -> str:
        """Write both halves; the path of the private one."""
        encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        path = self.folder / f"{name}.pem"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        path.chmod(0o600)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (self.folder / f"{name}.public.pem").write_bytes(public)
        return str(path)

    def two(self, algorithm: Algorithm) -> tuple[str, str]:
        """What JWT_SECRET_KEY is before and after a rotation."""
        if algorithm == "HS256":
            return SECRETS
        return str(self.folder / f"{algorithm}-old.pem"), str(self.folder / f"{algorithm}-new.pem")

    def keys(self, algorithm: KeyPairAlgorithm) -> tuple[PrivateKey, PrivateKey]:
        old, new = (load_pem_private_key(Path(path).read_bytes(), None) for path in self.two(algorithm))
        assert isinstance(old, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
        assert isinstance(new, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
        return old, new


def public_half(path: str) -> str:
    return path.replace(".pem", ".public.pem")
