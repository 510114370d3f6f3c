"""Passwords and tokens: the only module that knows which libraries hash the one and sign the other."""

import hmac
import os
import re
import secrets
import time
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import anyio
from anyio.to_thread import run_sync
from itsdangerous import BadSignature, URLSafeSerializer
from jose import ExpiredSignatureError, jwt
from passlib.context import CryptContext

from app.core.config import MIN_SECRET_BYTES, Settings, SettingsError
from app.core.errors import InvalidTokenError

type TokenType = Literal["access", "refresh"]

ALGORITHM = "HS256"
MAX_TOKEN_LENGTH = 4096
# RFC 7515 section 7.1. The library skips what is not base64url, and so takes many spellings of one token.
COMPACT_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
CLOCK_SKEW_SECONDS = 5
# Of `iat` and `nbf` read_claims takes care: python-jose, told to require one, also checks it to the second.
REQUIRED_CLAIMS = ("iss", "aud", "sub", "jti", "exp")
ARGON2_MEMORY_KIB = 19 * 1024
ARGON2_PASSES = 2
BCRYPT_MAX_BYTES = 72
MAX_PASSWORD_LENGTH = 1024
HASHING_THREADS = max(1, (os.cpu_count() or 2) // 2)


class PasswordHasher:
    """argon2id with OWASP's parameters (19 MiB, 2 passes, 1 lane), in threads of its own.

    The limiter bounds memory and leaves a core to the event loop in a login storm.
    bcrypt hashes of an imported user base verify too and are replaced at the next login.
    Source: OWASP Password Storage Cheat Sheet; RFC 9106.
    """

    def __init__(self, threads: int = HASHING_THREADS) -> None:
        self.limiter = anyio.CapacityLimiter(threads)
        self.context = CryptContext(
            schemes=["argon2", "bcrypt"],
            deprecated=["bcrypt"],
            argon2__type="ID",
            argon2__memory_cost=ARGON2_MEMORY_KIB,
            argon2__time_cost=ARGON2_PASSES,
            argon2__parallelism=1,
        )
        # A hash that no password has: checking one against it costs what a real check costs.
        salt, digest = (b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32))
        self.nobody = f"$argon2id$v=19$m={ARGON2_MEMORY_KIB},t={ARGON2_PASSES},p=1${salt}${digest}"

    async def hash(self, password: str) -> str:
        return await run_sync(self.context.hash, password, limiter=self.limiter)

    async def verify(self, password: str, hashed: str | None) -> tuple[bool, str | None]:
        """Whether the password fits, and the hash to store instead if the old one is out of date.

        Pass None for an unknown user: the answer is no, after the same time.
        """
        return await run_sync(self.verify_now, password, hashed, limiter=self.limiter)

    def verify_now(self, password: str, hashed: str | None) -> tuple[bool, str | None]:
        # Imported accounts without a password have things like `!` in its place.
        if hashed is None or self.context.identify(hashed) is None or len(password) > MAX_PASSWORD_LENGTH:
            self.context.verify(password[:MAX_PASSWORD_LENGTH], self.nobody)
            return False, None
        if not hashed.startswith("$argon2"):
            # bcrypt reads 72 bytes at most and no NUL; the library raises where older ones cut.
            return self.verify_bcrypt(password, hashed)
        verdict: tuple[bool, str | None] = self.context.verify_and_update(password, hashed)
        return verdict

    def verify_bcrypt(self, password: str, hashed: str) -> tuple[bool, str | None]:
        cut = password.encode()[:BCRYPT_MAX_BYTES]
        if b"\0" in cut or not self.context.verify(cut, hashed):
            return False, None
        return True, self.context.hash(password)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says."""

    user_id: int
    session_id: int
    jti: str
    scopes: frozenset[str]
    issued_at: datetime
    expires_at: datetime


class Tokens:
    """Signs and verifies JWTs (RFC 7519) with the guards of RFC 8725 that python-jose leaves to us."""

    def __init__(self, secret: str, issuer: str, audience: str) -> None:
        self.secret = secret
        self.issuer = issuer
        self.audience = audience
        # Names the key in a token's header without telling anything of it.
        self.key_id = derive_key(secret, "jwt-key-id").hex()[:16]

    def issue(
        self,
        kind: TokenType,
        *,
        user_id: int,
        session_id: int,
        jti: str,
        issued_at: datetime,
        expires_at: datetime,
        scope: str = "",
    ) -> str:
        """Sign a token. The same arguments give the same token, to the byte."""
        issued = int(issued_at.timestamp())
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": str(user_id),
            "jti": jti,
            "iat": issued,
            "nbf": issued,
            "exp": int(expires_at.timestamp()),
            "type": kind,
            "sid": str(session_id),
            "scope": scope,
        }
        return jwt.encode(claims, self.secret, ALGORITHM, headers={"kid": self.key_id})

    def verify(self, token: str, kind: TokenType) -> Claims:
        """Check everything about a token that can be checked without the database.

        Raises:
            InvalidTokenError: `token_expired` once it is past its time, else `invalid_token`.
        """
        if len(token) > MAX_TOKEN_LENGTH or not COMPACT_JWS.fullmatch(token):
            raise InvalidTokenError
        try:
            self.check_header(jwt.get_unverified_header(token))
            return self.read_claims(self.decode(token), kind)
        except ExpiredSignatureError:
            raise InvalidTokenError("The token has expired.", code="token_expired") from None
        except Exception:  # noqa: BLE001 - python-jose lets RecursionError, JWKError and others through
            raise InvalidTokenError from None

    def check_header(self, header: dict[str, Any]) -> None:
        expected = {"alg": ALGORITHM, "typ": "JWT", "kid": self.key_id}
        # Equality of the whole header also refuses `crit`, `jku`, `x5u` and whatever comes next.
        if header != expected:
            raise InvalidTokenError

    def decode(self, token: str) -> dict[str, Any]:
        options = {
            "leeway": 0,
            "verify_nbf": False,  # read_claims does, with a little skew between machines
            "verify_iat": False,
            **{f"require_{claim}": True for claim in REQUIRED_CLAIMS},
        }
        return jwt.decode(
            token, self.secret, algorithms=[ALGORITHM], issuer=self.issuer, audience=self.audience, options=options
        )

    def read_claims(self, claims: dict[str, Any], kind: TokenType) -> Claims:
        """Types and values that the library does not check, each a hole seen in the wild."""
        times = [claims["iat"], claims["nbf"], claims["exp"]]
        if claims["type"] != kind or not all(type(instant) is int for instant in times):
            raise InvalidTokenError
        if max(claims["iat"], claims["nbf"]) > time.time() + CLOCK_SKEW_SECONDS:
            raise InvalidTokenError
        return Claims(
            user_id=int(claims["sub"]),
            session_id=int(claims["sid"]),
            jti=claims["jti"],
            scopes=frozenset(claims["scope"].split()),
            issued_at=datetime.fromtimestamp(claims["iat"], UTC),
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        )


class CursorSigner:
    """Makes list cursors opaque and tamper-proof, and ties each to the list it continues."""

    def __init__(self, secret: str) -> None:
        self.key = derive_key(secret, "cursor")

    def sign(self, values: list[Any], belongs_to: str) -> str:
        return self.serializer(belongs_to).dumps(values)

    def read(self, cursor: str, belongs_to: str) -> list[Any] | None:
        """The values signed for this very list, or None."""
        try:
            values: list[Any] = self.serializer(belongs_to).loads(cursor)
        except (BadSignature, UnicodeError):
            return None
        return values

    def serializer(self, belongs_to: str) -> URLSafeSerializer:
        return URLSafeSerializer(
            self.key,
            salt=belongs_to,
            serializer_kwargs={"default": str},  # instants and decimals, which JSON lacks
            signer_kwargs={"digest_method": sha256},
        )


def derive_key(secret: str, purpose: str) -> bytes:
    """A key for one purpose, so that no signature made for one can serve another."""
    return hmac.digest(secret.encode(), f"strata:{purpose}".encode(), "sha256")


def signing_secret(settings: Settings) -> str:
    """`JWT_SECRET_KEY`, or the one generated once in `DATA_DIR` for development.

    Raises:
        OSError: if DATA_DIR can't be read or written.
        SettingsError: if somebody else's or half a secret is there.
    """
    if settings.jwt_secret_key is not None:
        return settings.jwt_secret_key.get_secret_value()
    path = settings.data_dir / "secret"
    secret = generated_secret(path)
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise SettingsError([f"{path}: has less than {MIN_SECRET_BYTES} bytes; delete it and it will be made anew"])
    return secret


def generated_secret(path: Path) -> str:
    """Read the secret, made first if there is none; of several processes at once all get the same."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(48))
    try:
        # A link appears whole or not at all, and never replaces the one that came first.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()
