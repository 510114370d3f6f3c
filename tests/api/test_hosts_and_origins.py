"""Hosts and origins as people write them in settings, and as requests have them."""

from typing import Any

import httpx
import pytest
from starlette.responses import Response
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.core.config.settings import Settings
from tests.conftest import connected, running

WRITTEN = "https://API.example.com:8443/ *.Internal.example. ::1 192.0.2.1"
SENT = [
    "api.example.com",
    "API.Example.COM:8000",
    "a.internal.example",
    "[::1]",
    "[::1]:8000",
    "192.0.2.1:80",
]
# Clients send the short form of an address, and no trailing full stop.
FOREIGN = [
    "[0:0:0:0:0:0:0:1]",
    "api.example.com.",
    "example.com",
    "evil.example",
    "internal.example",
    "[::2]",
    "api.example.com.evil.example",
    "a:b:c",
    "",
]


def changed(settings: Settings, **changes: object) -> Settings:
    return Settings.model_validate(settings.model_dump() | changes)


async def test_a_trusted_host_is_served_in_whatever_spelling(settings: Settings) -> None:
    async with (
        running(changed(settings, trusted_hosts=WRITTEN)) as (_, manager, _),
        connected(manager.app) as client,
    ):
        answers = {host: (await client.get("/info", headers={"Host": host})).status_code for host in SENT + FOREIGN}
    assert answers == dict.fromkeys(SENT, 200) | dict.fromkeys(FOREIGN, 400)


@pytest.mark.parametrize("written", ["HTTPS://App.Example.com:443/", '["https://app.example.com"]'])
async def test_an_origin_is_let_in_in_whatever_spelling(settings: Settings, written: str) -> None:
    async with (
        running(changed(settings, cors_origins=written)) as (_, manager, _),
        connected(manager.app) as client,
    ):
        answer = await client.get("/info", headers={"Origin": "https://app.example.com"})
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"


@pytest.mark.parametrize("written", ["10.0.0.5/8", "['10.0.0.5']", "*, 10.0.0.9"])
async def test_a_proxy_is_believed_in_whatever_spelling(settings: Settings, written: str) -> None:
    proxies = list(changed(settings, forwarded_allow_ips=written.replace("'", '"')).forwarded_allow_ips)
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])
        await Response()(scope, receive, send)

    transport = httpx.ASGITransport(ProxyHeadersMiddleware(app, proxies), client=("10.0.0.5", 1))  # type: ignore[arg-type] # uvicorn's types are its own
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        await client.get("/", headers={"X-Forwarded-For": "203.0.113.7"})
    assert seen == ["203.0.113.7"]
