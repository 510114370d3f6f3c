"""ETags as proxies that compress hand them on: they still name the version that they were made for."""

from typing import Any

import httpx
import pytest

from tests.api.calls import code
from tests.factories import PASSWORD, Factory
from tests.statements import MaxQueries

# nginx and CDNs; Apache's mod_deflate and mod_brotli; Jetty; others; and lists of them.
CHANGED = [
    'W/"{}"',
    '"{}-gzip"',
    'W/"{}-gzip"',
    '"{}-br"',
    '"{}-zstd"',
    '"{}--gzip"',
    '"{};gzip"',
    '  W/"{}"\t',
    'W/"99", W/"{}"',
    '"99-gzip" ,\t"{}-gzip"',
    ', "{}",',
]
# These are no tag of the version: another spelling is another tag.
OTHER = ["{}", 'w/"{}"', 'W/ "{}"', '"{}', "'{}'", '"{}-tar"', '"-gzip"', '"{}-gzip-gzip"', 'W/W/"{}"', '"{0}""{0}"']
BOOK: dict[str, Any] = {"title": "t", "author": "a", "release_year": 1999}

type Write = tuple[str, str, object, dict[str, str]]


async def writes(client: httpx.AsyncClient, make: Factory) -> list[Write]:
    """Every operation that takes If-Match, each on a resource of its own at version 1."""
    admin, alice = await make.bearer(await make.admin()), await make.user()
    mine = await make.bearer(alice)
    found: list[Write] = []
    for method, body in (("PUT", {"title": "x"}), ("PATCH", {"stock": 2}), ("DELETE", None)):
        found.append((method, f"/api/v1/items/{(await make.item(alice)).id}", body, mine))
    for method, changes in (("PUT", BOOK), ("PATCH", {"title": "u"}), ("DELETE", None)):
        book = await client.post("/api/v1/books", json=BOOK, headers=admin)
        found.append((method, book.headers["location"], changes, admin))
    for method, named in (("PATCH", {"full_name": "x"}), ("DELETE", None)):
        found.append((method, f"/api/v1/users/{(await make.user()).id}", named, admin))
    bob, carol = await make.bearer(await make.user()), await make.bearer(await make.user())
    found.append(("PATCH", "/api/v1/users/me", {"full_name": "x"}, bob))
    found.append(("DELETE", "/api/v1/users/me", {"password": PASSWORD}, carol))
    await client.put("/api/v1/items/by-sku/L-1", json={"title": "x"}, headers=mine)
    found.append(("PUT", "/api/v1/items/by-sku/L-1", {"title": "y"}, mine))
    return found


@pytest.mark.parametrize("form", CHANGED[:3])
async def test_every_write_takes_a_tag_that_a_proxy_has_changed(
    client: httpx.AsyncClient, make: Factory, form: str
) -> None:
    for method, url, body, headers in await writes(client, make):
        stale = await client.request(method, url, json=body, headers=headers | {"If-Match": form.format(2)})
        assert code(stale) == (412, "version_mismatch"), (method, url)
        fits = await client.request(method, url, json=body, headers=headers | {"If-Match": form.format(1)})
        assert fits.status_code in {200, 204}, (method, url, fits.text)


async def test_a_write_takes_a_tag_in_every_form(client: httpx.AsyncClient, make: Factory) -> None:
    alice = await make.user()
    url, headers = f"/api/v1/items/{(await make.item(alice)).id}", await make.bearer(alice)
    for version, form in enumerate(CHANGED, start=1):
        stale = await client.patch(url, json={"stock": 2}, headers=headers | {"If-Match": form.format(version + 1)})
        assert code(stale) == (412, "version_mismatch"), form
        fits = await client.patch(url, json={"stock": 2}, headers=headers | {"If-Match": form.format(version)})
        assert (fits.status_code, fits.headers["etag"]) == (200, f'"{version + 1}"'), form


async def test_what_is_no_tag_of_the_version_lets_no_write_pass(client: httpx.AsyncClient, make: Factory) -> None:
    for method, url, body, headers in await writes(client, make):
        for form in OTHER:
            answer = await client.request(method, url, json=body, headers=headers | {"If-Match": form.format(1)})
            assert code(answer) == (412, "version_mismatch"), (method, url, form)


async def test_every_read_takes_a_tag_that_a_proxy_has_changed(client: httpx.AsyncClient, make: Factory) -> None:
    alice = await make.user()
    mine, admin = await make.bearer(alice), await make.bearer(await make.admin())
    book = await client.post("/api/v1/books", json=BOOK, headers=admin)
    order = await make.order(alice, await make.item(await make.user(), stock=1))
    for url, headers in (
        (f"/api/v1/items/{(await make.item(alice)).id}", mine),
        (f"/api/v1/orders/{order.id}", mine),
        (f"/api/v1/users/{alice.id}", admin),
        ("/api/v1/users/me", mine),
        (book.headers["location"], {}),
        ("/api/v1/books", {}),
        ("/api/v2/books", {}),
    ):
        tag = (await client.get(url, headers=headers)).headers["etag"]
        for form in [*CHANGED, "*"]:
            sent = form.format(tag.strip('"'))
            answer = await client.get(url, headers=headers | {"If-None-Match": sent})
            assert (answer.status_code, answer.headers["etag"]) == (304, tag), (url, sent)
        for form in CHANGED:
            other = await client.get(url, headers=headers | {"If-None-Match": form.format("98")})
            assert other.status_code == 200, (url, form)


async def test_a_read_with_what_is_no_tag_is_answered_in_full(client: httpx.AsyncClient, make: Factory) -> None:
    alice = await make.user()
    url, headers = f"/api/v1/items/{(await make.item(alice)).id}", await make.bearer(alice)
    for form in OTHER:
        answer = await client.get(url, headers=headers | {"If-None-Match": form.format(1)})
        assert answer.status_code == 200, form


@pytest.mark.parametrize("tag", ['"1"', 'W/"1"', '"1-gzip"', '"1", W/"1"'])
async def test_one_version_in_any_form_is_checked_by_the_statement_that_writes(
    client: httpx.AsyncClient, make: Factory, max_queries: MaxQueries, tag: str
) -> None:
    alice = await make.user()
    item, headers = await make.item(alice), await make.bearer(alice)
    await client.get(f"/api/v1/items/{item.id}", headers=headers)
    with max_queries(2):  # one of them for the token
        answer = await client.patch(f"/api/v1/items/{item.id}", json={"stock": 2}, headers=headers | {"If-Match": tag})
    assert answer.status_code == 200
