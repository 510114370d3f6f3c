"""Passwords, tokens, cursors and the generated secret."""

import asyncio
import base64
import hmac
import json
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import bcrypt
import pytest
import time_machine
from jose import jwt

from app.core.config.settings import Settings, SettingsError
from app.core.errors import InvalidTokenError, OverloadedError
from app.core.security.cursors import CursorSigner
from app.core.security.keys import Keyring, derive_key, signing_secrets
from app.core.security.passwords import PasswordHasher
from app.core.security.secret_file import generated_secret
from app.core.security.tokens import MAX_TOKEN_LENGTH, Tokens, TokenType
from tests.factories import PASSWORD, PASSWORD_HASH

SECRET = "a-secret-of-the-tests-with-more-than-32-bytes"
OTHER_SECRET = "another-secret-of-the-tests-with-enough-bytes"
KEY = "0123456789abcdef" * 2
NOW = datetime.now(UTC).replace(microsecond=0)
PARAMETERS = "$argon2id$v=19$m=19456,t=2,p=1$"


def keyring(secret: str) -> Keyring:
    return Keyring.of_secrets(secret.encode())


class Watched:
    """passlib's context, with a count of what is asked of it and of how many ask at once."""

    def __init__(self, hasher: PasswordHasher, pause: float = 0) -> None:
        self.context = hasher.context
        self.pause = pause
        self.hashes_checked: list[str] = []
        self.running = 0
        self.most_at_once = 0
        self.lock = threading.Lock()
        hasher.context = self

    def watch(self, work: Callable[[], Any]) -> Any:
        with self.lock:
            self.running += 1
            self.most_at_once = max(self.most_at_once, self.running)
        try:
            time.sleep(self.pause)
            return work()
        finally:
            with self.lock:
                self.running -= 1

    def hash(self, password: str) -> Any:
        return self.watch(lambda: self.context.hash(password))

    def identify(self, hashed: str) -> Any:
        return self.context.identify(hashed)

    def verify(self, password: str, hashed: str) -> Any:
        self.hashes_checked.append(hashed)
        return self.watch(lambda: self.context.verify(password, hashed))

    def verify_and_update(self, password: str, hashed: str) -> Any:
        self.hashes_checked.append(hashed)
        return self.watch(lambda: self.context.verify_and_update(password, hashed))


@pytest.fixture(scope="module")
def prepared() -> PasswordHasher:
    return PasswordHasher(threads=2)


@pytest.fixture
def hasher(prepared: PasswordHasher, monkeypatch: pytest.MonkeyPatch) -> PasswordHasher:
    """Making one costs a hash, so that all tests use the same; what they put in it is taken out again."""
    monkeypatch.setattr(prepared, "context", prepared.context)
    monkeypatch.setattr(prepared, "limiter", anyio.CapacityLimiter(3))
    return prepared


def bcrypt_of(password: bytes) -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(rounds=4)).decode()


async def test_a_password_is_hashed_with_argon2id_as_owasp_advises(hasher: PasswordHasher) -> None:
    first, second = await hasher.hash("correct horse"), await hasher.hash("correct horse")
    assert first.startswith(PARAMETERS)
    assert first != second, "each has its own salt"
    assert await hasher.verify("correct horse", first) == (True, None)
    assert await hasher.verify("Correct horse", first) == (False, None)


async def test_the_factories_hash_is_as_good_as_one_made_now(hasher: PasswordHasher) -> None:
    assert await hasher.verify(PASSWORD, PASSWORD_HASH) == (True, None)


@pytest.mark.parametrize("password", ["p" * 128, "nul\0inside", "пароль 密码 🔑", "", " "])
async def test_argon2_takes_any_text_whole(hasher: PasswordHasher, password: str) -> None:
    hashed = await hasher.hash(password)
    assert await hasher.verify(password, hashed) == (True, None)
    assert await hasher.verify(f"{password}x", hashed) == (False, None)


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
async def test_an_imported_bcrypt_hash_fits_and_is_replaced(hasher: PasswordHasher, prefix: str) -> None:
    hashed = prefix + bcrypt_of(b"correct horse")[4:]
    fits, new_hash = await hasher.verify("correct horse", hashed)
    assert fits
    assert new_hash is not None
    assert new_hash.startswith(PARAMETERS)
    assert await hasher.verify("correct horse", new_hash) == (True, None)
    assert await hasher.verify("wrong horse", hashed) == (False, None)


async def test_a_weaker_argon2_hash_is_replaced(hasher: PasswordHasher) -> None:
    weak = hasher.context.using(argon2__time_cost=1, argon2__memory_cost=1024).hash("correct horse")
    fits, new_hash = await hasher.verify("correct horse", weak)
    assert fits
    assert new_hash is not None
    assert new_hash.startswith(PARAMETERS)


async def test_a_password_longer_than_bcrypt_reads_fits_as_it_did_where_it_comes_from(hasher: PasswordHasher) -> None:
    long = "é" * 50  # 100 bytes
    hashed = bcrypt_of(long.encode()[:72])
    fits, new_hash = await hasher.verify(long, hashed)
    assert fits
    assert new_hash is not None
    assert await hasher.verify(long, new_hash) == (True, None)
    assert await hasher.verify(long[:36], new_hash) == (False, None), "from now on all of it counts"


@pytest.mark.parametrize("password", ["nul\0inside", "\0", "x" * 72 + "\0", "x" * 100_000, ""])
async def test_no_password_crashes_on_a_bcrypt_hash(hasher: PasswordHasher, password: str) -> None:
    assert await hasher.verify(password, bcrypt_of(b"nul")) == (False, None)


async def test_an_unknown_user_costs_what_a_known_one_does(hasher: PasswordHasher) -> None:
    context = Watched(hasher)
    assert await hasher.verify("guess", None) == (False, None)
    assert await hasher.verify("guess", PASSWORD_HASH) == (False, None)
    assert len(context.hashes_checked) == 2
    assert all(hashed.startswith(PARAMETERS) for hashed in context.hashes_checked)


@pytest.mark.parametrize("hashed", ["", "!", "*", "!$2b$04$locked", "plain text", "$1$md5$crypt"])
async def test_an_account_without_a_usable_password_is_like_an_unknown_one(hasher: PasswordHasher, hashed: str) -> None:
    context = Watched(hasher)
    assert await hasher.verify(hashed, hashed) == (False, None)
    assert len(context.hashes_checked) == 1
    assert context.hashes_checked[0].startswith(PARAMETERS)


async def test_an_endless_password_fits_nothing_and_costs_one_check(hasher: PasswordHasher) -> None:
    context = Watched(hasher)
    endless = "x" * 1025
    assert await hasher.verify(endless, hasher.context.hash(endless)) == (False, None)
    assert len(context.hashes_checked) == 1


async def test_no_password_opens_the_account_that_does_not_exist(hasher: PasswordHasher) -> None:
    for guess in ("", hasher.nobody, "None"):
        assert await hasher.verify(guess, None) == (False, None)


async def test_only_so_many_passwords_are_hashed_at_once(hasher: PasswordHasher) -> None:
    context = Watched(hasher, pause=0.005)
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(hasher.hash, "correct horse")
            tasks.start_soon(hasher.verify, "correct horse", PASSWORD_HASH)
            tasks.start_soon(hasher.verify, "correct horse", None)
    assert context.most_at_once == 2


async def test_who_comes_to_a_full_queue_is_turned_away_at_once(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hasher, "most_waiting", 2)
    context = Watched(hasher, pause=0.05)
    checks = [asyncio.create_task(hasher.verify("correct horse", None)) for _ in range(5)]
    await asyncio.sleep(0)  # two are hashed, one is beside the threads, two wait
    for refused in (hasher.verify("correct horse", PASSWORD_HASH), hasher.verify("x", None), hasher.hash("x")):
        with pytest.raises(OverloadedError) as caught:
            await refused
        assert (caught.value.status, caught.value.code) == (503, "overloaded")
    assert await asyncio.gather(*checks) == [(False, None)] * 5
    assert len(context.hashes_checked) == 5
    assert await hasher.verify("correct horse", None) == (False, None), "there is room again"


async def test_who_no_longer_waits_is_not_hashed(hasher: PasswordHasher) -> None:
    context = Watched(hasher, pause=0.05)
    checks = [asyncio.create_task(hasher.verify("correct horse", None)) for _ in range(8)]
    await asyncio.sleep(0)
    for check in checks[2:-1]:
        check.cancel()
    assert await checks[-1] == (False, None)
    assert len(context.hashes_checked) == 3, "the two under way and the last"
    assert hasher.limiter.borrowed_tokens == 0


async def test_the_loop_goes_on_while_passwords_are_hashed(hasher: PasswordHasher) -> None:
    hashing = asyncio.create_task(hasher.hash("correct horse"))
    turns = 0
    while not hashing.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 20


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(keyring(SECRET), "strata", "strata-clients")


def issue(tokens: Tokens, kind: TokenType = "access", **changes: Any) -> str:
    values: dict[str, Any] = {
        "user_id": 7,
        "session_id": 9,
        "session_key": KEY,
        "jti": "j-1",
        "issued_at": NOW,
        "expires_at": NOW + timedelta(minutes=30),
        "scope": "items:read chat",
    }
    return tokens.issue(kind, **values | changes)


def encoded(part: object) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def header_of(tokens: Tokens, **changes: object) -> dict[str, object]:
    return {"alg": "HS256", "typ": "JWT", "kid": tokens.signers["access"].key_id, **changes}


def claims_of(**changes: object) -> dict[str, object]:
    """What `issue` says; a change to None leaves the claim out."""
    now = int(NOW.timestamp())
    claims: dict[str, object] = {
        "iss": "strata",
        "aud": "strata-clients",
        "sub": "7",
        "jti": "j-1",
        "iat": now,
        "nbf": now,
        "exp": now + 1800,
        "type": "access",
        "sid": f"9.{KEY}",
        "scope": "items:read chat",
    }
    return {name: value for name, value in (claims | changes).items() if value is not None}


def signed(header: object, claims: object, secret: str = SECRET, digest: str = "sha256") -> str:
    """A token as somebody would make it who has the secret and no scruples."""
    text = f"{encoded(header)}.{encoded(claims)}"
    return f"{text}.{encoded(hmac.digest(secret.encode(), text.encode(), digest))}"


def refusal(tokens: Tokens, token: str, kind: TokenType = "access") -> str:
    """The code that the refused token is answered with."""
    with pytest.raises(InvalidTokenError) as caught:
        tokens.verify(token, kind)
    assert caught.value.status == 401
    assert caught.value.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    return caught.value.code


def test_a_token_says_what_was_signed(tokens: Tokens) -> None:
    claims = tokens.verify(issue(tokens), "access")
    assert (claims.user_id, claims.session_id, claims.session_key, claims.jti) == (7, 9, KEY, "j-1")
    assert claims.scopes == {"items:read", "chat"}
    assert (claims.issued_at, claims.expires_at) == (NOW, NOW + timedelta(minutes=30))


def test_a_token_that_is_known_to_be_good_still_expires_and_vouches_for_no_other(tokens: Tokens) -> None:
    token = issue(tokens)
    claims = tokens.verify(token, "access")
    assert tokens.verify(token, "access") is claims, "the signature was checked once"
    with time_machine.travel(claims.expires_at + timedelta(seconds=2), tick=False):
        assert refusal(tokens, token) == "token_expired"
    head, _, signature = token.rpartition(".")
    assert refusal(tokens, f"{head}.{signature[::-1]}") == "invalid_token"
    assert refusal(tokens, token, "refresh") == "invalid_token"


def test_tokens_are_remembered_up_to_a_bound_and_refresh_tokens_never(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.security.tokens.MAX_KNOWN_TOKENS", 2)
    made = [issue(tokens, jti=str(number)) for number in range(3)]
    for token in made:
        tokens.verify(token, "access")
    tokens.verify(issue(tokens, "refresh"), "refresh")
    assert [claims.jti for claims in tokens.known.values()] == ["1", "2"]
    assert max(map(len, tokens.known)) == 32, "a token may have thousands of characters"


def test_a_token_is_a_plain_jwt_that_tells_nothing_of_the_key(tokens: Tokens) -> None:
    token = issue(tokens)
    assert jwt.get_unverified_header(token) == header_of(tokens)
    assert jwt.get_unverified_claims(token) == claims_of()
    assert tokens.signers["access"].key_id.encode() not in SECRET.encode()
    assert (
        Tokens(keyring(OTHER_SECRET), "strata", "strata-clients").signers["access"].key_id
        != tokens.signers["access"].key_id
    )


def test_the_same_arguments_give_the_same_token_and_others_another(tokens: Tokens) -> None:
    token = issue(tokens)
    assert issue(Tokens(keyring(SECRET), "strata", "strata-clients")) == token
    changes: list[dict[str, Any]] = [
        {"user_id": 8},
        {"session_id": 10},
        {"session_key": "1" * 32},
        {"jti": "j-2"},
        {"issued_at": NOW - timedelta(seconds=1)},
        {"expires_at": NOW + timedelta(minutes=31)},
        {"scope": ""},
        {"kind": "refresh"},
    ]
    assert len({token, *(issue(tokens, **change) for change in changes)}) == len(changes) + 1


def test_the_forgers_own_tools_make_a_good_token_when_nothing_is_forged(tokens: Tokens) -> None:
    token = signed(header_of(tokens), claims_of())
    assert tokens.verify(token, "access") == tokens.verify(issue(tokens), "access")


@pytest.mark.parametrize("alg", ["none", "NONE", "HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256", "", None, 1])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_no_other_algorithm_is_accepted_however_it_is_signed(tokens: Tokens, alg: object, digest: str) -> None:
    token = signed(header_of(tokens, alg=alg), claims_of(), digest=digest)
    assert refusal(tokens, token) == "invalid_token"
    unsigned = token.rpartition(".")[0] + "."
    assert refusal(tokens, unsigned) == "invalid_token"


@pytest.mark.parametrize("digest", ["sha384", "sha512", "sha1", "md5"])
def test_the_signature_must_be_of_the_algorithm_the_header_names(tokens: Tokens, digest: str) -> None:
    assert refusal(tokens, signed(header_of(tokens), claims_of(), digest=digest)) == "invalid_token"


@pytest.mark.parametrize(
    "change",
    [
        {"kid": "0" * 16},
        {"kid": None},
        {"kid": "../../dev/null"},
        {"typ": "at+jwt"},
        {"typ": "jwt"},
        {"typ": None},
        {"crit": ["b64"], "b64": False},
        {"crit": []},
        {"jku": "https://evil.example/keys"},
        {"jwk": {"kty": "oct", "k": encoded(b"key of the forger, 32 bytes long")}},
        {"x5u": "https://evil.example/chain"},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"x": 1},
    ],
)
def test_a_header_with_anything_else_is_refused(tokens: Tokens, change: dict[str, object]) -> None:
    assert refusal(tokens, signed(header_of(tokens, **change), claims_of())) == "invalid_token"


@pytest.mark.parametrize("name", ["alg", "typ", "kid"])
def test_a_header_that_lacks_something_is_refused(tokens: Tokens, name: str) -> None:
    header = {key: value for key, value in header_of(tokens).items() if key != name}
    assert refusal(tokens, signed(header, claims_of())) == "invalid_token"


@pytest.mark.parametrize("header", [[], "x", 1, None, {}, [["alg", "HS256"]], b"\xff\xfe", b"{", b""])
def test_a_header_that_is_no_header_is_refused(tokens: Tokens, header: object) -> None:
    assert refusal(tokens, signed(header, claims_of())) == "invalid_token"


@pytest.mark.parametrize("secret", [OTHER_SECRET, SECRET.upper(), SECRET[:-1], ""])
def test_a_token_signed_with_another_secret_is_refused(tokens: Tokens, secret: str) -> None:
    assert refusal(tokens, signed(header_of(tokens), claims_of(), secret)) == "invalid_token"


def test_a_key_made_for_another_purpose_signs_no_token(tokens: Tokens) -> None:
    text = f"{encoded(header_of(tokens))}.{encoded(claims_of())}"
    for purpose in ("cursor", "jwt-key-id"):
        signature = hmac.digest(derive_key(SECRET.encode(), purpose), text.encode(), "sha256")
        assert refusal(tokens, f"{text}.{encoded(signature)}") == "invalid_token"


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "jti", "iat", "nbf", "exp", "type", "sid", "scope"])
def test_a_token_that_lacks_a_claim_is_refused(tokens: Tokens, name: str) -> None:
    assert refusal(tokens, signed(header_of(tokens), claims_of(**{name: None}))) == "invalid_token"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "somebody"},
        {"iss": ["somebody"]},
        {"iss": ""},
        {"aud": "somebody"},
        {"aud": []},
        {"aud": ["somebody"]},
        {"aud": {"strata-clients": 1}},
        {"aud": 1},
        {"type": "refresh"},
        {"type": ["access"]},
        {"type": ""},
        {"sub": "admin"},
        {"sub": ""},
        {"sub": 7},
        {"sub": "7.5"},
        {"sub": ["7"]},
        {"sid": "x"},
        {"sid": ""},
        {"sid": "9"},
        {"sid": "9."},
        {"sid": f".{KEY}"},
        {"sid": f"9.{KEY[1:]}"},
        {"sid": f"9.{KEY}0"},
        {"sid": f"9.{KEY.upper()}"},
        {"sid": f"9.{KEY}\n"},
        {"sid": f"\u0669.{KEY}"},
        {"sid": 9},
        {"sid": [9]},
        {"sid": {}},
        {"jti": 1},
        {"jti": ["j-1"]},
        {"scope": ["items:read"]},
        {"scope": 1},
    ],
)
def test_a_claim_with_a_wrong_value_is_refused(tokens: Tokens, change: dict[str, object]) -> None:
    assert refusal(tokens, signed(header_of(tokens), claims_of(**change))) == "invalid_token"


@pytest.mark.parametrize("name", ["iat", "nbf", "exp"])
@pytest.mark.parametrize(
    "value",
    [float("inf"), float("-inf"), float("nan"), 1e308, 10**30, "soon", "", "9" * 30, [], {}, [2**40]],
)
def test_a_senseless_time_is_refused(tokens: Tokens, name: str, value: object) -> None:
    assert refusal(tokens, signed(header_of(tokens), claims_of(**{name: value}))) in {"invalid_token", "token_expired"}


@pytest.mark.parametrize("name", ["iat", "nbf", "exp"])
@pytest.mark.parametrize("kind", [str, float, bool, lambda instant: instant + 0.5])
def test_a_time_of_another_type_is_refused(tokens: Tokens, name: str, kind: Callable[[int], object]) -> None:
    instant = int(NOW.timestamp()) + (1800 if name == "exp" else 0)
    token = signed(header_of(tokens), claims_of(**{name: kind(instant)}))
    assert refusal(tokens, token) in {"invalid_token", "token_expired"}


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_a_token_from_the_future_is_refused_but_for_a_little_skew(tokens: Tokens, name: str) -> None:
    now = int(time.time())
    tokens.verify(signed(header_of(tokens), claims_of(**{name: now + 2})), "access")
    assert refusal(tokens, signed(header_of(tokens), claims_of(**{name: now + 60}))) == "invalid_token"


@pytest.mark.parametrize("seconds", [1, 60, 10**9])
def test_an_expired_token_says_so(tokens: Tokens, seconds: int) -> None:
    expired = issue(tokens, issued_at=NOW - timedelta(days=1), expires_at=NOW - timedelta(seconds=seconds))
    assert refusal(tokens, expired) == "token_expired"


def test_an_expired_forgery_is_not_told_that_it_expired(tokens: Tokens) -> None:
    past = int(NOW.timestamp()) - 60
    assert refusal(tokens, signed(header_of(tokens), claims_of(exp=past), OTHER_SECRET)) == "invalid_token"


def test_each_kind_of_token_is_good_for_its_own_use_only(tokens: Tokens) -> None:
    assert refusal(tokens, issue(tokens, "refresh"), "access") == "invalid_token"
    assert refusal(tokens, issue(tokens, "access"), "refresh") == "invalid_token"
    assert tokens.verify(issue(tokens, "refresh"), "refresh").user_id == 7


def test_a_token_of_another_installation_is_refused(tokens: Tokens) -> None:
    assert refusal(tokens, issue(Tokens(keyring(SECRET), "elsewhere", "strata-clients"))) == "invalid_token"
    assert refusal(tokens, issue(Tokens(keyring(SECRET), "strata", "elsewhere"))) == "invalid_token"


def test_every_single_changed_character_breaks_a_token(tokens: Tokens) -> None:
    token = issue(tokens)
    last = len(token) - 1  # its lowest bits are padding: another letter may spell the same bytes
    for place in range(last):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert refusal(tokens, changed) == "invalid_token", place


@pytest.mark.parametrize(
    "token",
    [
        "",
        " ",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "é.ü.ß",
        "\0.\0.\0",
        "\ud800.\ud800.\ud800",
        "🔑" * 10,
        "null",
        "A" * 2**20,
        ".".join(["A" * 2**18] * 3),
        "." * MAX_TOKEN_LENGTH,
    ],
)
def test_what_is_no_token_is_refused(tokens: Tokens, token: str) -> None:
    assert refusal(tokens, token) == "invalid_token"


def test_a_good_token_with_anything_around_or_in_it_is_refused(tokens: Tokens) -> None:
    token = issue(tokens)
    around = [f" {token}", f"{token}\n", f"{token}.", f".{token}", f"{token}.{token}", f"{token}é", f"{token}="]
    within = [token[:place] + junk + token[place:] for junk in ("!", "é", "\n", "=", "+") for place in (3, 60, -3)]
    for dressed in around + within:
        assert refusal(tokens, dressed) == "invalid_token", dressed


def test_a_token_over_the_limit_is_not_even_parsed(tokens: Tokens) -> None:
    good = signed(header_of(tokens), claims_of(padding="x" * (MAX_TOKEN_LENGTH // 2)))
    assert len(good) < MAX_TOKEN_LENGTH
    assert tokens.verify(good, "access").user_id == 7
    assert refusal(tokens, signed(header_of(tokens), claims_of(padding="x" * MAX_TOKEN_LENGTH))) == "invalid_token"
    assert refusal(tokens, signed(header_of(tokens), claims_of(padding="x" * 2**20))) == "invalid_token"


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deeply_nested_json_is_refused(tokens: Tokens, opening: bytes) -> None:
    nested = opening * 1400
    short = f"{encoded(opening * 200)}.{encoded(opening * 200)}.AA"
    for token in (
        f"{encoded(nested)}.{encoded(b'{}')}.AA",
        signed(header_of(tokens), nested),
        short,
        signed(header_of(tokens), nested.replace(b"[", b"[[[[[")),
    ):
        assert refusal(tokens, token) == "invalid_token"


def test_claims_that_are_no_object_are_refused(tokens: Tokens) -> None:
    senseless: list[object] = [[], "x", 1, None, True, b"", b"{", b"\xff"]
    for claims in senseless:
        assert refusal(tokens, signed(header_of(tokens), claims)) == "invalid_token"


def test_a_cursor_gives_back_what_was_signed_to_its_own_list_only() -> None:
    cursors = CursorSigner(keyring(SECRET))
    cursor = cursors.sign(["2026-11-22", 7], "/items -created_at")
    assert cursors.read(cursor, "/items -created_at") == ["2026-11-22", 7]
    assert cursors.read(cursor, "/items created_at") is None
    assert cursors.read(cursor, "") is None
    assert CursorSigner(keyring(OTHER_SECRET)).read(cursor, "/items -created_at") is None
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."), "needs no quoting"


def test_a_cursor_holds_instants_decimals_and_nothing() -> None:
    cursors = CursorSigner(keyring(SECRET))
    cursor = cursors.sign([NOW, Decimal("19.99"), None], "list")
    assert cursors.read(cursor, "list") == [NOW.isoformat().replace("+00:00", "Z"), "19.99", None]


def test_a_tampered_cursor_is_none() -> None:
    cursors = CursorSigner(keyring(SECRET))
    cursor = cursors.sign([7], "list")
    payload, _, signature = cursor.partition(".")
    forged = base64.urlsafe_b64encode(b"[8]").rstrip(b"=").decode()
    for bad in (
        "",
        ".",
        "..",
        payload,
        f"{payload}.",
        f".{signature}",
        f"{forged}.{signature}",
        f"{cursor}x",
        f"x{cursor}",
        "é.ü",
        "\0",
        "\ud800",
        ".A" * 500,
        "A" * 100_000,
    ):
        assert cursors.read(bad, "list") is None, bad


def test_neither_a_cursor_is_a_token_nor_a_token_a_cursor(tokens: Tokens) -> None:
    cursors = CursorSigner(keyring(SECRET))
    assert cursors.read(issue(tokens), "list") is None
    assert refusal(tokens, cursors.sign([7], "list")) == "invalid_token"


def test_each_purpose_has_a_key_of_its_own() -> None:
    purposes = ["cursor", "jwt-key-id", "", "cursor ", "Cursor"]
    keys = {derive_key(secret.encode(), purpose) for secret in (SECRET, OTHER_SECRET) for purpose in purposes}
    assert len(keys) == 2 * len(purposes)
    assert derive_key(SECRET.encode(), "cursor") == derive_key(SECRET.encode(), "cursor")
    assert all(len(key) == 32 and key not in SECRET.encode() for key in keys)


def test_a_secret_is_generated_once_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "secret"
    secret = generated_secret(path)
    assert len(secret) == 64
    assert path.stat().st_mode & 0o777 == 0o600
    assert generated_secret(path) == secret
    assert generated_secret(tmp_path / "other") != secret
    assert [file.name for file in path.parent.iterdir()] == ["secret"]


def test_a_secret_that_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    assert generated_secret(path) == SECRET
    assert path.read_text() == f"{SECRET}\n"


@pytest.mark.parametrize("text", ["", "\n", "x" * 31])
def test_half_a_secret_is_refused_with_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret").write_text(text)
    with pytest.raises(SettingsError, match="less than 32 bytes; delete it"):
        signing_secrets(Settings(data_dir=tmp_path))


def test_a_secret_of_the_settings_leaves_the_disk_alone(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path, "jwt_secret_key": SECRET})
    assert signing_secrets(settings) == [SECRET]
    assert not list(tmp_path.iterdir())


def test_threads_that_start_at_once_get_the_same_secret(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / str(number) / "secret"
        barrier = threading.Barrier(8)

        def start(_: int, path: Path = path, barrier: threading.Barrier = barrier) -> str:
            barrier.wait()
            return generated_secret(path)

        with ThreadPoolExecutor(8) as pool:
            found = Counter(pool.map(start, range(8)))
        assert found == {path.read_text(): 8}
        assert [file.name for file in path.parent.iterdir()] == ["secret"]


def test_processes_that_start_at_once_get_the_same_secret(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) / "secret" for number in range(25) for _ in range(4)]
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(generated_secret, paths, chunksize=1))
    assert found == [path.read_text() for path in paths]
    assert len(set(found)) == 25
