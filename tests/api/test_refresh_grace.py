"""A used refresh token within the grace time: two tabs and lost answers are let pass, a thief not for long."""

from typing import Any

import httpx
import pytest
from httpx import ASGITransport
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.limits.networks import network_of
from app.models.audit import AuditEvent
from app.models.device_session import DeviceSession
from app.services.auth.auth import TokenPair
from tests.api.calls import URL, code, me
from tests.factories import Factory

OWNER = ("192.0.2.1", "a browser")


class Caller:
    """Refreshes from wherever a test wants."""

    def __init__(self, asgi: Any) -> None:
        self.asgi = asgi

    async def refresh(self, token: str, place: tuple[str, str] = OWNER) -> httpx.Response:
        transport = ASGITransport(self.asgi, client=(place[0], 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            body = {"refresh_token": token}
            return await client.post(f"{URL}/refresh", json=body, headers={"User-Agent": place[1]})

    async def newest(self, token: str, place: tuple[str, str] = OWNER) -> str:
        answer = await self.refresh(token, place)
        assert answer.status_code == 200, answer.text
        found: str = answer.json()["refresh_token"]
        return found


@pytest.fixture
def caller(running_app: tuple[Any, Any, Any]) -> Caller:
    return Caller(running_app[0].app)


@pytest.fixture
async def tokens(make: Factory) -> TokenPair:
    return await make.tokens(await make.user())


async def actions(session: AsyncSession) -> list[str]:
    return [event.action.value for event in await session.scalars(select(AuditEvent).order_by(AuditEvent.id))]


@pytest.mark.parametrize(
    "thief",
    [("198.51.100.7", "a browser"), ("192.0.2.1", "a script"), ("2001:db8:1:2::1", "a browser"), ("", "a browser")],
)
async def test_a_thief_who_is_in_time_each_time_is_found_out(
    caller: Caller, tokens: TokenPair, session: AsyncSession, client: httpx.AsyncClient, thief: tuple[str, str]
) -> None:
    token = tokens.refresh_token
    for _ in range(2):
        successor = await caller.newest(token)
        assert await caller.newest(token, thief) == successor, "not yet told from an answer that was lost"
        token = successor
    successor = await caller.newest(token)
    assert code(await caller.refresh(token, thief)) == (401, "token_reused")
    assert code(await caller.refresh(successor)) == (401, "token_revoked")
    assert code(await me(client, tokens.access_token)) == (401, "token_revoked")
    assert await session.scalar(select(DeviceSession)) is None
    assert await actions(session) == ["refresh_repeated", "refresh_repeated", "refresh_reused"]


async def test_a_thief_who_comes_first_is_found_out_by_the_owner_who_comes_second(
    caller: Caller, tokens: TokenPair
) -> None:
    token, thief = tokens.refresh_token, ("198.51.100.7", "a script")
    for _ in range(2):
        successor = await caller.newest(token, thief)
        assert await caller.newest(token) == successor
        token = successor
    await caller.newest(token, thief)
    assert code(await caller.refresh(token)) == (401, "token_reused")


async def test_two_tabs_of_one_browser_are_never_taken_for_a_thief(
    caller: Caller, tokens: TokenPair, session: AsyncSession
) -> None:
    token = tokens.refresh_token
    for _ in range(10):
        token, *others = [await caller.newest(token) for _ in range(3)]
        assert others == [token] * 2
    assert set(await actions(session)) == {"refresh_repeated"}


async def test_a_browser_that_moves_is_none_either(caller: Caller, tokens: TokenPair) -> None:
    """Each newest token may come from anywhere, and the tabs of a subscriber from any address of theirs."""
    token = tokens.refresh_token
    for number in range(10):
        successor = await caller.newest(token, (f"2001:db8:1:{number}::1", f"browser {number}"))
        assert await caller.newest(token, (f"2001:db8:1:{number}:ffff::2", f"browser {number}")) == successor
        token = successor


async def test_each_use_of_the_grace_time_is_written_down_with_its_place(
    caller: Caller, tokens: TokenPair, session: AsyncSession
) -> None:
    await caller.newest(tokens.refresh_token)
    assert await actions(session) == [], "the first use of a token is none"
    await caller.newest(tokens.refresh_token)
    await caller.newest(tokens.refresh_token, ("198.51.100.7", "a script"))
    own, foreign = list(await session.scalars(select(AuditEvent).order_by(AuditEvent.id)))
    row = (await session.scalars(select(DeviceSession))).one()
    assert (own.ip, own.user_agent, own.subject_id, own.actor_id) == (*OWNER, row.user_id, None)
    assert own.details == {"session_id": row.id, "is_foreign": False}
    assert (foreign.ip, foreign.user_agent) == ("198.51.100.7", "a script")
    assert foreign.details == {"session_id": row.id, "is_foreign": True}


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "20010db800010002/64"),
        ("unix", "unix"),
        ("", ""),
    ],
)
def test_an_ipv6_subscriber_is_one_network(host: str, network: str) -> None:
    assert network_of(host) == network
