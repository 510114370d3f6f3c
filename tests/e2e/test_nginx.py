"""Behind a real nginx, with the configuration that docs/operate.md gives: at the root, and below a prefix."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from app.core.config.settings import Settings
from tests.api.calls import code
from tests.api.test_conventions import assert_problem
from tests.conftest import borrowed_app
from tests.factories import PASSWORD, Factory
from tests.nginx import documented, nginx
from tests.server import serve

pytestmark = pytest.mark.real_database

PREFIX = "/shop"
# The documented ones: at the root, with the prefix passed on, with the prefix taken off.
LOCATIONS = [0, 1, 2]
MEGABYTE = 1024 * 1024
BOOK = {"title": "t", "author": "a", "release_year": 1999}

type Headers = dict[str, str]


@dataclass(frozen=True, slots=True)
class Site:
    """`prefix` is what paths begin with at the proxy, whose client is `client`; `direct` asks the server itself."""

    app: FastAPI
    client: httpx.AsyncClient
    direct: httpx.AsyncClient
    make: Factory
    prefix: str

    @property
    def api(self) -> str:
        return f"{self.prefix}/api/v1"

    @property
    def origin(self) -> str:
        return str(self.client.base_url).rstrip("/")

    async def users(self) -> tuple[Headers, Headers]:
        """What a user and an administrator send."""
        return await self.make.bearer(await self.make.user()), await self.make.bearer(await self.make.admin())

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=headers)


@asynccontextmanager
async def site(
    settings: Settings, folder: Path, location: int = 0, replacements: dict[str, str] | None = None
) -> AsyncIterator[Site]:
    prefix = PREFIX if location else ""
    with borrowed_app(settings.model_copy(update={"root_path": prefix})) as app:
        async with serve(app, proxy_headers=True, forwarded_allow_ips=["127.0.0.1"]) as server:
            block = documented()[location] if location else None
            # As another machine would come, so that a client can be told from the proxy.
            far = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
            with nginx(server.port, folder, block, replacements) as base:
                async with (
                    httpx.AsyncClient(base_url=base, transport=far, timeout=30) as client,
                    httpx.AsyncClient(base_url=server.url) as direct,
                ):
                    yield Site(app, client, direct, Factory(server.services), prefix)


@pytest.mark.parametrize("location", LOCATIONS)
async def test_what_is_read_through_nginx_can_be_changed_and_deleted(
    real_settings: Settings, tmp_path: Path, location: int
) -> None:
    async with site(real_settings, tmp_path, location) as proxied:
        client, (mine, admin) = proxied.client, await proxied.users()
        item = await client.post(f"{proxied.api}/items", json={"title": "x"}, headers=mine)
        book = await client.post(f"{proxied.api}/books", json=BOOK, headers=admin)
        bob = await proxied.make.user()
        for url, change, headers in (
            (item.headers["location"], {"stock": 2}, mine),
            (book.headers["location"], {"title": "u"}, admin),
            (f"{proxied.api}/users/{bob.id}", {"full_name": "x"}, admin),
        ):
            read = await client.get(url, headers=headers)
            old = read.headers["etag"]
            assert (read.headers["content-encoding"], old) == ("gzip", 'W/"1"'), "nginx has compressed it"
            again = await client.get(url, headers=headers | {"If-None-Match": old})
            assert (again.status_code, again.content) == (304, b"")
            head = await client.head(url, headers=headers)
            assert (head.status_code, head.content) == (200, b"")
            changed = await client.patch(url, json=change, headers=headers | {"If-Match": old})
            assert (changed.status_code, changed.headers["etag"]) == (200, 'W/"2"')
            for method, body in (("PATCH", change), ("DELETE", None)):
                stale = await client.request(method, url, json=body, headers=headers | {"If-Match": old})
                assert code(stale) == (412, "version_mismatch")
            fits = headers | {"If-Match": changed.headers["etag"]}
            assert (await client.delete(url, headers=fits)).status_code == 204


@pytest.mark.parametrize("location", LOCATIONS)
async def test_all_that_leads_on_leads_to_where_the_client_is(
    real_settings: Settings, tmp_path: Path, location: int
) -> None:
    async with site(real_settings, tmp_path, location) as proxied:
        for page in ("/docs", "/redoc"):
            text = (await proxied.get(proxied.prefix + page)).text
            addresses = re.findall(r"""(?:src|href|url|spec-url)(?:=|: )["']([^"']+)""", text)
            assert len(addresses) >= 3
            for address in addresses:
                assert (await proxied.get(address)).status_code == 200, address
        document = (await proxied.get(f"{proxied.prefix}/openapi.json")).json()
        server = document.get("servers", [{"url": ""}])[0]["url"]
        assert (await proxied.get(f"{server}/health")).json() == {"status": "ok"}
        mine, _ = await proxied.users()
        made = await proxied.client.post(f"{proxied.api}/items/", json={"title": "x"}, headers=mine)
        assert (await proxied.client.get(made.headers["location"], headers=mine)).json() == made.json()
        cursors = await proxied.client.get(f"{proxied.api}/items?limit=1", headers=mine)
        assert cursors.json()["items"] == [made.json()]
        for path in ("/health", "/ready", f"{proxied.prefix}/health", f"{proxied.prefix}/ready"):
            assert (await proxied.direct.get(path)).status_code == 200, "for probes inside"
        assert_problem(await proxied.get(f"{proxied.prefix}/nothing"), 404, "not_found")


@pytest.mark.parametrize("location", LOCATIONS)
async def test_the_cookie_is_sent_back_to_where_it_works(
    real_settings: Settings, tmp_path: Path, location: int
) -> None:
    async with site(real_settings, tmp_path, location) as proxied:
        alice = await proxied.make.user()
        form, own = {"username": alice.username, "password": PASSWORD}, {"Origin": proxied.origin}
        answer = await proxied.client.post(f"{proxied.api}/auth/login?cookie=true", data=form, headers=own)
        cookie = answer.headers["set-cookie"]
        assert f"Path={proxied.api}/auth;" in cookie
        sent = own | {"Cookie": cookie.partition(";")[0]}  # httpx sends a `Secure` cookie over TLS alone
        refreshed = await proxied.client.post(f"{proxied.api}/auth/refresh", headers=sent)
        assert refreshed.status_code == 200
        evil = sent | {"Origin": "http://evil.example"}
        assert code(await proxied.client.post(f"{proxied.api}/auth/logout", headers=evil)) == (403, "csrf")


async def test_the_scheme_is_the_one_that_nginx_was_asked_with(real_settings: Settings, tmp_path: Path) -> None:
    """`https` in place of `$scheme`: the tests have no certificate."""
    async with site(real_settings, tmp_path, replacements={"$scheme": "https"}) as proxied:
        alice = await proxied.make.user()
        form = {"username": alice.username, "password": PASSWORD}
        for origin, status in ((proxied.origin.replace("http:", "https:"), 200), (proxied.origin, 403)):
            headers = {"Origin": origin, "X-Forwarded-Proto": "http"}
            answer = await proxied.client.post("/api/v1/auth/login?cookie=true", data=form, headers=headers)
            assert answer.status_code == status


async def test_nobody_chooses_their_own_address_or_prefix(real_settings: Settings, tmp_path: Path) -> None:
    forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Prefix": "/evil", "Forwarded": "for=6.6.6.6"}
    async with site(real_settings, tmp_path, 1) as proxied:
        alice = await proxied.make.user()
        form = {"username": alice.username, "password": PASSWORD}
        answer = await proxied.client.post(f"{proxied.api}/auth/login", data=form, headers=forged)
        mine = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        (session,) = (await proxied.client.get(f"{proxied.api}/auth/sessions", headers=mine)).json()
        assert session["ip"] == "127.0.0.2"
        assert "/evil" not in (await proxied.get("/shop/docs", **forged)).text


async def test_what_is_too_large_is_told_as_a_problem(real_settings: Settings, tmp_path: Path) -> None:
    async with site(real_settings, tmp_path) as proxied:
        mine, _ = await proxied.users()
        mine["Content-Type"] = "application/json"

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(5):
                yield b" " * MEGABYTE

        for content in (b" " * (MEGABYTE + 1), b" " * (20 * MEGABYTE), pieces()):
            answer = await proxied.client.post("/api/v1/items", content=content, headers=mine)
            assert_problem(answer, 413, "body_too_large")
        assert (await proxied.get("/health", **{"X-Long": "x" * 15_000})).status_code == 200
        many = await proxied.client.get("/health", headers=[("X-Many", "1")] * 110)
        assert_problem(many, 431, "headers_too_large")


async def test_a_download_arrives_whole_and_one_that_is_cut_off_has_no_end(
    real_settings: Settings, tmp_path: Path
) -> None:
    async with site(real_settings, tmp_path) as proxied:
        alice = await proxied.make.user()
        for _ in range(3):
            await proxied.make.item(alice, description="x" * 2000)
        headers = await proxied.make.bearer(alice)
        whole = await proxied.client.get("/api/v1/items/export?format=ndjson", headers=headers)
        assert (whole.status_code, len(whole.text.splitlines())) == (200, 3)

        async def broken() -> AsyncIterator[bytes]:
            yield b"x" * 100_000
            raise RuntimeError

        @proxied.app.get("/broken")
        async def cut_off() -> StreamingResponse:
            return StreamingResponse(broken(), media_type="text/csv")

        with pytest.raises(httpx.RemoteProtocolError):
            await proxied.get("/broken")
