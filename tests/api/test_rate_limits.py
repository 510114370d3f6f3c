"""How many requests a user, an address and a guesser of passwords may send, and what clients are told."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import time_machine
from asgi_lifespan import LifespanManager
from httpx import ASGITransport
from typer.testing import CliRunner

from app.api.deps import AppServices
from app.cli import cli
from app.cli.serve import uvicorn_config
from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.crud.one_time_token import one_time_tokens
from app.models.one_time_token import Purpose
from tests.conftest import SECRET, borrowed_app, connected, in_one_transaction, running
from tests.factories import PASSWORD, Factory
from tests.jobs import run_jobs
from tests.redis import free_port, need_redis
from tests.server import serve

LOGIN = "/api/v1/auth/login"
TOKEN = "/api/v1/auth/token"
FORGOT = "/api/v1/auth/forgot-password"
REGISTER = "/api/v1/auth/register"
VERIFY = "/api/v1/auth/verify-email"
ME = "/api/v1/users/me"
NOBODY = "203.0.113.1"


class Limited:
    """The application with limits on, reached from whatever address a test wants."""

    def __init__(self, manager: LifespanManager, services: AppServices) -> None:
        self.manager = manager
        self.services = services
        self.make = Factory(services)

    @asynccontextmanager
    async def at(self, address: str = NOBODY) -> AsyncIterator[httpx.AsyncClient]:
        transport = ASGITransport(self.manager.app, client=(address, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client

    async def get(self, path: str, address: str = NOBODY, headers: dict[str, str] | None = None) -> httpx.Response:
        async with self.at(address) as client:
            return await client.get(path, headers=headers)

    async def login(self, username: str, password: str = PASSWORD, address: str = NOBODY) -> httpx.Response:
        async with self.at(address) as client:
            return await client.post(LOGIN, data={"username": username, "password": password})


def with_limits(settings: Settings, **changes: object) -> Settings:
    return Settings.model_validate(settings.model_dump() | {"rate_limit_enabled": True} | changes)


type Limiting = Callable[..., AbstractAsyncContextManager[Limited]]


@pytest.fixture
def limiting(settings: Settings) -> Limiting:
    @asynccontextmanager
    async def limiting(**changes: object) -> AsyncIterator[Limited]:
        async with running(with_limits(settings, **changes)) as (_, manager, services), in_one_transaction(services):
            yield Limited(manager, services)

    return limiting


def limit_headers(answer: httpx.Response) -> tuple[int, int]:
    assert 1 <= int(answer.headers["ratelimit-reset"]) <= 86_400
    return int(answer.headers["ratelimit-limit"]), int(answer.headers["ratelimit-remaining"])


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_answers_count_down_and_then_refuse(limiting: Limiting) -> None:
    async with limiting(rate_limit_default="3/minute") as app:
        headers = await app.make.bearer(await app.make.user())
        answers = [await app.get(ME, headers=headers) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [limit_headers(answer) for answer in answers] == [(3, 2), (3, 1), (3, 0), (3, 0)]
        refused = answers[-1]
        assert refused.headers["content-type"] == "application/problem+json"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        body = refused.json()
        assert (body["status"], body["code"], body["title"]) == (429, "rate_limited", "Too Many Requests")
        assert body["request_id"] == refused.headers["x-request-id"]
        assert re.fullmatch(r"Too many requests; try again in \d+ seconds?\.", body["detail"])


async def test_who_comes_back_when_told_is_served(limiting: Limiting) -> None:
    async with limiting(rate_limit_default="2/minute") as app:
        with time_machine.travel(utc_now(), tick=False) as clock:
            await app.get("/api/v1/items")
            clock.shift(20)
            await app.get("/api/v1/items")
            refused = await app.get("/api/v1/items")
            assert refused.headers["retry-after"] == "40"
            clock.shift(39)
            assert (await app.get("/api/v1/items")).status_code == 429
            clock.shift(1.5)
            assert (await app.get("/api/v1/items")).status_code == 401


async def test_errors_carry_the_limit_too(limiting: Limiting) -> None:
    async with limiting() as app:
        headers = await app.make.bearer(await app.make.user())
        assert limit_headers(await app.get("/api/v1/items/999", headers=headers)) == (300, 299)
        assert limit_headers(await app.get("/api/v1/items?limit=0", headers=headers)) == (300, 298)
        assert limit_headers(await app.get("/api/v1/items")) == (300, 299)


async def test_a_signed_in_user_counts_wherever_they_are(limiting: Limiting) -> None:
    async with limiting(rate_limit_default="2/minute") as app:
        alice, bob = await app.make.user(), await app.make.user()
        phone, laptop = await app.make.bearer(alice), await app.make.bearer(alice)
        assert (await app.get(ME, "192.0.2.1", phone)).status_code == 200
        assert (await app.get(ME, "192.0.2.2", laptop)).status_code == 200
        assert (await app.get(ME, "192.0.2.3", phone)).status_code == 429
        assert (await app.get(ME, "192.0.2.1", await app.make.bearer(bob))).status_code == 200
        assert (await app.get(ME, "192.0.2.1")).status_code == 401, "the address has not been counted yet"


@pytest.mark.parametrize("kind", ["forged", "expired", "refresh", "not bearer"])
async def test_a_token_that_proves_nothing_counts_for_the_address(limiting: Limiting, kind: str) -> None:
    async with limiting(rate_limit_default="2/minute") as app:
        user = await app.make.user()
        pair = await app.make.tokens(user)
        then = utc_now() - timedelta(hours=2)
        expired = app.services.auth.tokens.issue(
            "access",
            user_id=user.id,
            session_id=1,
            session_key="0" * 32,
            jti="x",
            issued_at=then,
            expires_at=then + timedelta(hours=1),
        )
        headers = {
            "forged": f"Bearer {pair.access_token[:-4]}AAAA",
            "expired": f"Bearer {expired}",
            "refresh": f"Bearer {pair.refresh_token}",
            "not bearer": f"Basic {pair.access_token}",
        }[kind]
        answers = [await app.get(ME, headers={"Authorization": headers}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]
        assert (await app.get(ME, headers={"Authorization": f"Bearer {pair.access_token}"})).status_code == 200
        assert (await app.get(ME, "203.0.113.2")).status_code == 401


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("unix-peer", "192.0.2.1", False),
    ],
)
async def test_an_ipv6_subscriber_is_one_client(limiting: Limiting, one: str, other: str, are_one: bool) -> None:
    async with limiting(rate_limit_default="1/minute") as app:
        assert (await app.get(ME, one)).status_code == 401
        assert (await app.get(ME, other)).status_code == (429 if are_one else 401)


async def test_what_is_no_api_is_not_limited(limiting: Limiting) -> None:
    async with limiting(rate_limit_default="1/minute") as app:
        for path in ("/health", "/ready", "/info", "/docs", "/openapi.json"):
            for _ in range(3):
                answer = await app.get(path)
                assert answer.status_code == 200
                assert "ratelimit-limit" not in answer.headers


async def test_sign_ins_from_one_address_are_limited_whatever_their_outcome(limiting: Limiting) -> None:
    async with limiting(rate_limit_login="3/minute") as app:
        user = await app.make.user()
        answers = [
            await app.login(user.username),
            await app.login("somebody", "wrong password"),
            await app.login(user.username),
            await app.login(user.username),
        ]
        assert [answer.status_code for answer in answers] == [200, 401, 200, 429]
        assert [limit_headers(answer) for answer in answers] == [(3, 2), (3, 1), (3, 0), (3, 0)]
        assert (await app.login(user.username, address="203.0.113.2")).status_code == 200


async def test_registrations_from_one_address_are_limited(limiting: Limiting) -> None:
    async with limiting(rate_limit_register="1/hour") as app, app.at() as client, app.at("203.0.113.2") as elsewhere:

        async def register(client: httpx.AsyncClient, name: str) -> httpx.Response:
            body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
            return await client.post(REGISTER, json=body)

        assert (await register(client, "alice")).status_code == 201
        refused = await register(client, "bob")
        assert code(refused) == (429, "rate_limited")
        assert 3590 <= int(refused.headers["retry-after"]) <= 3600
        assert (await register(elsewhere, "bob")).status_code == 201
        forgotten = await client.post(FORGOT, json={"email": "alice@example.com"})
        assert forgotten.status_code == 200, "asking for mail counts apart"
        await run_jobs(app.services)  # all share one connection here
        assert code(await client.post(FORGOT, json={"email": "bob@example.com"})) == (429, "rate_limited")


async def test_the_token_endpoint_is_no_way_around_the_limits_of_login(limiting: Limiting) -> None:
    async with limiting(rate_limit_login="2/minute") as app, app.at() as client:
        user = await app.make.user()
        assert await guess(app, user.username, 0, 2) == [401, 401]
        form = {"grant_type": "password", "username": user.username, "password": PASSWORD}
        assert (await client.post(TOKEN, data=form)).status_code == 429, "the account's"
        other = {"grant_type": "password", "username": (await app.make.user()).username, "password": PASSWORD}
        assert (await client.post(TOKEN, data=other)).status_code == 200
        assert (await client.post(LOGIN, data=other)).status_code == 429, "the address's"


async def guess(app: Limited, username: str, start: int, times: int) -> list[int]:
    """Each from another address, so that only the account's limit counts."""
    answers = [await app.login(username, "wrong password", f"198.51.100.{start + number}") for number in range(times)]
    return [answer.status_code for answer in answers]


@pytest.mark.parametrize("known", [True, False])
async def test_guessing_a_password_gets_slower_and_slower(limiting: Limiting, known: bool) -> None:
    """The same for accounts that do not exist: what is limited must not tell who is here."""
    async with limiting(rate_limit_login="10/minute") as app:
        username = (await app.make.user()).username if known else "nobody"
        with time_machine.travel(utc_now(), tick=False) as clock:
            assert await guess(app, username, 0, 12) == [401] * 10 + [429] * 2
            refused = await app.login(username, address="198.51.100.99")
            assert code(refused) == (429, "rate_limited")
            assert int(refused.headers["retry-after"]) == 60
            assert limit_headers(refused) == (10, 0)
            clock.shift(61)
            assert await guess(app, username, 20, 12) == [401] * 10 + [429] * 2
            refused = await app.login(username, address="198.51.100.99")
            assert int(refused.headers["retry-after"]) == 3600 - 61
            assert limit_headers(refused) == (20, 0)
            clock.shift(3600)
            assert await guess(app, username, 40, 10) == [401] * 10
            clock.shift(3601)
            assert await guess(app, username, 60, 10) == [401] * 10
            clock.shift(3601)
            assert await guess(app, username, 80, 10) == [401] * 10
            clock.shift(3601)
            refused = await app.login(username, address="198.51.100.99")
            assert limit_headers(refused) == (50, 0)
            assert int(refused.headers["retry-after"]) > 3600


async def test_guesses_sent_at_once_do_not_outrun_the_limit(real_settings: Settings) -> None:
    limited = with_limits(real_settings, rate_limit_login="5/minute")
    async with running(limited) as (_, manager, services):
        app = Limited(manager, services)
        results = await asyncio.gather(
            *(app.login("nobody", "wrong password", f"198.51.100.{number}") for number in range(20))
        )
        assert sorted(answer.status_code for answer in results) == [401] * 5 + [429] * 15


async def test_every_spelling_of_a_name_counts_as_one(limiting: Limiting) -> None:
    async with limiting(rate_limit_login="3/minute") as app:
        await app.make.user(username="alice")
        for number, name in enumerate(("alice", "ALICE", "\uff41lice")):
            assert (await app.login(name, "wrong password", f"198.51.100.{number}")).status_code == 401
        assert (await app.login("Alice", address="198.51.100.9")).status_code == 429


async def test_a_success_clears_what_was_counted_against_the_account(limiting: Limiting) -> None:
    async with limiting(rate_limit_login="5/minute") as app:
        user = await app.make.user()
        for start in range(0, 30, 10):
            assert await guess(app, user.username, start, 4) == [401] * 4
            assert (await app.login(user.username, address=f"198.51.100.{start + 5}")).status_code == 200
        for number in range(8):
            assert (await app.login(user.username, address=f"192.0.2.{number}")).status_code == 200


async def test_the_limit_of_one_account_is_none_of_anothers(limiting: Limiting) -> None:
    async with limiting(rate_limit_login="2/minute") as app:
        alice, bob = await app.make.user(), await app.make.user()
        assert await guess(app, alice.username, 0, 3) == [401, 401, 429]
        assert (await app.login(bob.username)).status_code == 200


async def test_nobody_can_flood_a_strangers_mailbox_by_changing_their_own_address(limiting: Limiting) -> None:
    async with limiting(rate_limit_mail="2/hour") as app:
        headers = await app.make.bearer(await app.make.user())
        body = {"email": "stranger@example.com", "password": PASSWORD}
        async with app.at() as client:
            answers = [await client.post(f"{ME}/email", json=body, headers=headers) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [202, 202, 429]
            elsewhere = await client.post(f"{ME}/email", json=body | {"email": "b@example.com"}, headers=headers)
            assert elsewhere.status_code == 202
        await run_jobs(app.services)
        assert len(list((app.services.settings.data_dir / "mail").glob("*.eml"))) == 3


async def test_a_password_set_by_mail_lets_a_locked_out_owner_in(limiting: Limiting) -> None:
    async with limiting(rate_limit_login="2/minute") as app:
        user = await app.make.user()
        assert await guess(app, user.username, 0, 3) == [401, 401, 429]
        async with app.services.database.transaction() as session:
            token = await one_time_tokens.issue(
                session, user, Purpose.RESET_PASSWORD, expires_at=utc_now() + timedelta(minutes=1)
            )
        body = {"token": token, "new_password": "another horse entirely"}
        async with app.at() as client:
            assert (await client.post("/api/v1/auth/reset-password", json=body)).status_code == 204
        assert (await app.login(user.username, "another horse entirely")).status_code == 200


async def test_one_client_tries_few_codes_and_voids_few_links(limiting: Limiting) -> None:
    """Whosever they are: wrong ones count, and no other client pays for it."""
    wrong = {"code": "BBBB-BBBB"}
    async with limiting(rate_limit_register="1000/minute") as app:
        user = await app.make.user()
        async with app.at() as client:
            for number in range(30):
                answer = await client.post(VERIFY, json=wrong | {"email": f"{number}@example.com"})
                assert code(answer) == (400, "invalid_token")
            refused = await client.post(VERIFY, json=wrong | {"email": user.email})
            assert code(refused) == (429, "rate_limited")
            assert 0 < int(refused.headers["retry-after"]) <= 3600
            by_link = await client.post(VERIFY, json={"token": "nonsense"})
            assert code(by_link) == (400, "invalid_token"), "links cannot be guessed"
        async with app.at("203.0.113.2") as client:
            assert code(await client.post(VERIFY, json=wrong | {"email": user.email})) == (400, "invalid_token")


async def test_switched_off_nothing_is_limited(limiting: Limiting) -> None:
    rates = {"rate_limit_default": "1/minute", "rate_limit_login": "1/minute"}
    async with limiting(rate_limit_enabled=False, **rates) as app:
        for _ in range(3):
            answer = await app.login("nobody", "wrong password")
            assert answer.status_code == 401
            assert "ratelimit-limit" not in answer.headers
        assert app.services.limiter is None


async def test_two_instances_share_their_limits_on_redis(real_settings: Settings) -> None:
    limited = with_limits(real_settings, rate_limit_default="5/minute", redis_url=need_redis())
    async with running(limited) as (_, first, services), running(limited) as (_, second, _):
        app = Limited(first, services)
        user = await app.make.user()
        headers = await app.make.bearer(user)
        # Ids come again in other tests, and Redis remembers.
        assert app.services.limiter is not None
        await app.services.limiter.clear("5/minute", "request", "user", str(user.id))
        async with connected(second.app) as other:
            assert limit_headers(await app.get(ME, headers=headers)) == (5, 4)
            assert limit_headers(await other.get(ME, headers=headers)) == (5, 3)
            assert limit_headers(await app.get(ME, headers=headers)) == (5, 2)


async def test_a_server_whose_redis_is_gone_serves_on(limiting: Limiting) -> None:
    async with limiting(rate_limit_default="2/minute", redis_url=f"redis://127.0.0.1:{free_port()}") as app:
        headers = await app.make.bearer(await app.make.user())
        answers = [await app.get(ME, headers=headers) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]


async def test_browsers_may_read_the_limits(limiting: Limiting) -> None:
    async with limiting(cors_origins=("https://app.example.com",)) as app:
        answer = await app.get(ME, headers={"Origin": "https://app.example.com"})
        exposed = answer.headers["access-control-expose-headers"]
        assert all(name in exposed for name in ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"))


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {"ENVIRONMENT": "test", "DATA_DIR": str(folder), "JWT_SECRET_KEY": SECRET} | more


@asynccontextmanager
async def served(settings: Settings, **changes: object) -> AsyncIterator[httpx.AsyncClient]:
    """By uvicorn, which is told of proxies what `strata serve` tells it."""
    limited = with_limits(settings, rate_limit_default="100/minute", **changes)
    config = uvicorn_config(limited, reload=False)
    proxies = {"proxy_headers": config.proxy_headers, "forwarded_allow_ips": config.forwarded_allow_ips}
    with borrowed_app(limited) as app:
        async with serve(app, **proxies) as server, httpx.AsyncClient(base_url=server.url) as client:
            yield client


async def remaining(client: httpx.AsyncClient, *forwarded: str) -> int:
    headers = [("X-Forwarded-For", value) for value in forwarded]
    return limit_headers(await client.get(ME, headers=headers))[1]


async def test_nobody_forges_their_address_where_no_proxy_is_trusted(settings: Settings) -> None:
    async with served(settings) as client:
        left = [await remaining(client), await remaining(client, "192.0.2.1"), await remaining(client, "192.0.2.2")]
        assert left == [99, 98, 97]


async def test_behind_a_trusted_proxy_the_hop_it_saw_counts(settings: Settings) -> None:
    async with served(settings, forwarded_allow_ips="127.0.0.1, 10.0.0.0/8") as client:
        assert await remaining(client, "192.0.2.1") == 99
        assert await remaining(client, "6.6.6.6, 192.0.2.1") == 98, "what the client wrote itself is to the left"
        assert await remaining(client, "6.6.6.7, 192.0.2.1, 10.1.2.3") == 97, "a second proxy of ours"
        assert await remaining(client, "6.6.6.8", "192.0.2.1") == 96, "a header line of its own"
        assert await remaining(client, "192.0.2.1:54321") == 95, "some proxies name the port"
        assert await remaining(client, "192.0.2.1, 192.0.2.2") == 99, "another client"


@pytest.mark.parametrize(("is_there", "mark"), [(True, "✓"), (False, "!")])
def test_the_doctor_looks_for_redis(tmp_path: Path, is_there: bool, mark: str) -> None:
    url = need_redis() if is_there else f"redis://:hidden@127.0.0.1:{free_port()}"
    result = CliRunner().invoke(cli, ["doctor"], env=environment(tmp_path, REDIS_URL=url))
    line = next(line for line in result.output.splitlines() if "redis" in line)
    assert line.startswith(mark)
    assert ("runs without it" in line) is not is_there
    assert "hidden" not in result.output
