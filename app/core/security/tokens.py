"""Access and refresh tokens; the only module that imports python-jose."""

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal

from jose import ExpiredSignatureError, jwk, jwt
from jose.backends.base import Key as JoseKey
from jose.utils import base64url_decode, base64url_encode

from app.core.errors import InvalidTokenError
from app.core.security.keys import Keyring

type TokenType = Literal["access", "refresh"]

MAX_TOKEN_LENGTH = 4096
# RFC 7515 section 7.1. The library ignores characters outside base64url, and so accepts many spellings of a token.
MAX_KNOWN_TOKENS = 4096
COMPACT_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
CLOCK_SKEW_SECONDS = 5
# A session's id, which a restored database may reuse, and its random key, which is unique.
SESSION = re.compile(r"([1-9][0-9]{0,18})\.([0-9a-f]{32})")
# `iat` and `nbf` are checked by read_claims: python-jose would check them without leeway.
REQUIRED_CLAIMS = ("iss", "aud", "sub", "jti", "exp")


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a verified token."""

    user_id: int
    session_id: int
    session_key: str
    jti: str
    scopes: frozenset[str]
    issued_at: datetime
    expires_at: datetime


class Signer:
    """The keys of one type of token, and its one algorithm."""

    def __init__(self, keyring: Keyring) -> None:
        self.algorithm = keyring.algorithm
        self.key_id = keyring.current.id
        # Bound to the algorithm, against algorithm confusion.
        self.signing_key = jose_key(keyring.current.signer, self.algorithm)
        self.verifying_keys = {key.id: jose_key(key.verifier, self.algorithm) for key in keyring.keys}

    def sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self.signing_key, self.algorithm, headers={"kid": self.key_id})

    def find_key(self, header: dict[str, Any]) -> JoseKey:
        """The key that a token names, if its header equals the one we would write."""
        key = self.verifying_keys[header["kid"]]
        # Comparing the whole header also rejects `crit`, `jku`, `x5u`, `jwk` and any other member.
        if header != {"alg": self.algorithm, "typ": "JWT", "kid": header["kid"]}:
            raise InvalidTokenError
        return key


def is_canonical(token: str) -> bool:
    """Whether the signature is canonical base64url: the last character has unused bits."""
    signature = token.rpartition(".")[2].encode()
    try:
        return bool(base64url_encode(base64url_decode(signature)) == signature)
    except ValueError:  # an impossible length
        return False


def jose_key(key: object, algorithm: str) -> JoseKey:
    return jwk.construct(key, algorithm)  # type: ignore[arg-type] # also takes key objects, which its types do not know


class Tokens:
    """Signs and verifies JWTs (RFC 7519) with the guards of RFC 8725 that python-jose leaves to us.

    Access tokens use the configured algorithm, so that other services can verify them. Refresh tokens, which only
    Strata reads, always use HMAC: ES256 signatures differ each time, and a refresh token that is requested twice must
    be the same.
    """

    def __init__(self, keyring: Keyring, issuer: str, audience: str) -> None:
        self.signers: dict[TokenType, Signer] = {
            "access": Signer(keyring),
            "refresh": Signer(Keyring.of_secrets(*keyring.derive("refresh-token"))),
        }
        self.issuer = issuer
        self.audience = audience
        # Verified access tokens, the oldest first, by hash: a token may have several thousand characters. Whether the
        # session still exists is checked elsewhere.
        self.known: dict[bytes, Claims] = {}

    def issue(
        self,
        kind: TokenType,
        *,
        user_id: int,
        session_id: int,
        session_key: str,
        jti: str,
        issued_at: datetime,
        expires_at: datetime,
        scope: str = "",
    ) -> str:
        """Sign a token. The same arguments give the same refresh token, byte for byte."""
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
            "sid": f"{session_id}.{session_key}",
            "scope": scope,
        }
        return self.signers[kind].sign(claims)

    def verify(self, token: str, kind: TokenType) -> Claims:
        """Check everything about a token that can be checked without the database.

        The result for an access token is cached, since it comes with every request for half an hour.

        Raises:
            InvalidTokenError: `token_expired` once it is past its time, else `invalid_token`.
        """
        if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
            raise InvalidTokenError
        if kind != "access":
            return self.check(token, kind)
        name = sha256(token.encode()).digest()
        known = self.known.get(name)
        if known is not None and known.expires_at.timestamp() > time.time():
            return known
        claims = self.known[name] = self.check(token, kind)
        if len(self.known) > MAX_KNOWN_TOKENS:
            del self.known[next(iter(self.known))]
        return claims

    def check(self, token: str, kind: TokenType) -> Claims:
        if not COMPACT_JWS.fullmatch(token) or not is_canonical(token):
            raise InvalidTokenError
        try:
            return self.read_claims(self.decode(token, self.signers[kind]), kind)
        except ExpiredSignatureError:
            raise InvalidTokenError("The token has expired.", code="token_expired") from None
        except Exception:  # noqa: BLE001 - python-jose lets RecursionError, JWKError and others through
            raise InvalidTokenError from None

    def decode(self, token: str, signer: Signer) -> dict[str, Any]:
        key = signer.find_key(jwt.get_unverified_header(token))
        options = {
            "leeway": 0,
            "verify_nbf": False,  # read_claims does, with leeway for clock skew
            "verify_iat": False,
            **{f"require_{claim}": True for claim in REQUIRED_CLAIMS},
        }
        return jwt.decode(
            token, key, algorithms=[signer.algorithm], issuer=self.issuer, audience=self.audience, options=options
        )

    def read_claims(self, claims: dict[str, Any], kind: TokenType) -> Claims:
        """Checks of types and values that the library omits, each a known vulnerability elsewhere."""
        times = [claims["iat"], claims["nbf"], claims["exp"]]
        if claims["type"] != kind or not all(type(instant) is int for instant in times):
            raise InvalidTokenError
        if max(claims["iat"], claims["nbf"]) > time.time() + CLOCK_SKEW_SECONDS:
            raise InvalidTokenError
        session = SESSION.fullmatch(claims["sid"])
        if session is None:
            raise InvalidTokenError
        return Claims(
            user_id=int(claims["sub"]),
            session_id=int(session[1]),
            session_key=session[2],
            jti=claims["jti"],
            scopes=frozenset(claims["scope"].split()),
            issued_at=datetime.fromtimestamp(claims["iat"], UTC),
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        )
