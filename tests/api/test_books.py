"""`/books`: success, no token, not allowed, invalid and conflicting, for each call."""

from typing import Any

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.book import Book
from tests.factories import Factory
from tests.statements import MaxQueries

URL = "/api/v1/books"
V2 = "/api/v2/books"
PUBLIC = {"books_list", "books_list_v2", "books_read"}
REQUIRED = ["title", "author", "release_year"]


def new_body(number: int = 1) -> dict[str, Any]:
    """All of a book as clients send it; another number makes another one."""
    return {
        "title": f"Title {number}",
        "author": f"Author {number}",
        "release_year": 1970 + number,
        "isbn": f"Isbn {number}",
    }


async def store_book(make: Factory, number: int = 1) -> Book:
    return await make.store(
        Book(
            title=f"Title {number}",
            author=f"Author {number}",
            release_year=1970 + number,
            isbn=f"Isbn {number}",
        )
    )


async def test_a_created_book_is_answered_located_tagged_and_stored(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    sent = new_body()
    answer = await client.post(URL, json=sent, headers=await make.bearer(await make.admin()))
    assert answer.status_code == 201
    book = answer.json()
    assert (answer.headers["location"], answer.headers["etag"]) == (f"{URL}/{book['id']}", '"1"')
    assert book.pop("created_at") == book.pop("updated_at")
    assert book == sent | {"id": book["id"]}
    stored = await session.get_one(Book, book["id"])
    assert stored.title == "Title 1"
    assert stored.author == "Author 1"
    assert stored.release_year == 1971
    assert stored.isbn == "Isbn 1"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", None),
        ("title", ""),
        ("title", "   "),
        ("title", "x" * 256),
        ("title", "nul \0"),
        ("title", 7),
        ("author", None),
        ("author", ""),
        ("author", "   "),
        ("author", "x" * 256),
        ("author", "nul \0"),
        ("author", 7),
        ("release_year", None),
        ("release_year", -3001),
        ("release_year", 9999),
        ("release_year", "1970"),
        ("release_year", 1.5),
        ("isbn", ""),
        ("isbn", "   "),
        ("isbn", "x" * 256),
        ("isbn", "nul \0"),
        ("isbn", 7),
        ("id", 1),
        ("no_such_field", 1),
    ],
)
async def test_an_invalid_book_is_refused_with_the_field_that_is_wrong(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, field: str, value: object
) -> None:
    headers = await make.bearer(await make.admin())
    answer = await client.post(URL, json=new_body() | {field: value}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert {tuple(error["loc"][:2]) for error in answer.json()["errors"]} == {("body", field)}
    assert await session.scalar(select(func.count()).select_from(Book)) == 0


@pytest.mark.parametrize("field", REQUIRED)
async def test_a_book_without_a_field_it_needs_is_refused(client: httpx.AsyncClient, make: Factory, field: str) -> None:
    sent = new_body()
    del sent[field]
    answer = await client.post(URL, json=sent, headers=await make.bearer(await make.admin()))
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", field])


async def test_a_post_that_comes_twice_makes_one_book(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    headers = await make.bearer(await make.admin()) | {"Idempotency-Key": "once"}
    sent = new_body()
    first = await client.post(URL, json=sent, headers=headers)
    second = await client.post(URL, json=sent, headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert await session.scalar(select(func.count()).select_from(Book)) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", ""), ("PUT", "/1"), ("PATCH", "/1"), ("DELETE", "/1")],
)
async def test_anonymous_writes_are_challenged(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, URL + path)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_token_without_the_scope_is_told_which_one(client: httpx.AsyncClient, make: Factory) -> None:
    user = await make.admin()
    headers = await make.bearer(user, scope="books:read")
    answer = await client.post(URL, json=new_body(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="books:write"'


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_only_administrators_change_a_book(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, method: str
) -> None:
    book = await store_book(make)
    headers = await make.bearer(await make.user())
    answer = await client.request(method, f"{URL}/{book.id}", json={}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert (await session.get_one(Book, book.id)).version == 1


async def test_everyone_reads_a_book_and_gets_304_for_what_they_have(client: httpx.AsyncClient, make: Factory) -> None:
    book = await store_book(make)
    for url in (URL, f"{URL}/{book.id}", V2):
        answer = await client.get(url)
        assert answer.status_code == 200
        assert answer.headers["cache-control"].startswith("public, max-age=")
        again = await client.get(url, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", answer.headers["etag"])


async def test_a_write_is_seen_at_once(client: httpx.AsyncClient, make: Factory) -> None:
    headers = await make.bearer(await make.admin())
    assert (await client.get(URL)).json()["total"] == 0
    location = (await client.post(URL, json=new_body(), headers=headers)).headers["location"]
    assert (await client.get(URL)).json()["total"] == 1
    assert (await client.get(location)).headers["etag"] == '"1"'
    changed = await client.put(location, json=new_body(2), headers=headers)
    assert (await client.get(location)).json() == changed.json()
    assert (await client.get(V2)).json()["data"] == [changed.json()]
    await client.delete(location, headers=headers)
    assert (await client.get(location)).status_code == 404
    assert (await client.get(URL)).json()["items"] == []


async def test_an_unknown_book_is_not_found(client: httpx.AsyncClient, make: Factory) -> None:
    answer = await client.get(f"{URL}/1", headers=await make.bearer(await make.admin()))
    assert (answer.status_code, answer.json()["code"]) == (404, "book_not_found")


@pytest.mark.parametrize("sort", ["created_at", "author", "release_year"])
async def test_each_order_goes_on_by_cursor(client: httpx.AsyncClient, make: Factory, sort: str) -> None:
    ids = [(await store_book(make, number)).id for number in (1, 2, 3)]
    for order, expected in ((sort, ids), (f"-{sort}", ids[::-1])):
        params = {"sort": order, "limit": "2"}
        page = (await client.get(URL, params=params)).json()
        assert ([book["id"] for book in page["items"]], page["total"]) == (expected[:2], 3)
        rest = (await client.get(URL, params=params | {"cursor": page["next_cursor"]})).json()
        assert ([book["id"] for book in rest["items"]], rest["next_cursor"]) == (expected[2:], None)


async def test_the_list_of_v2_goes_on_by_cursor_alone(client: httpx.AsyncClient, make: Factory) -> None:
    ids = [(await store_book(make, number)).id for number in (1, 2, 3)]
    page = (await client.get(V2, params={"limit": 2})).json()
    assert [book["id"] for book in page["data"]] == [ids[2], ids[1]]
    cursor = page["meta"]["next_cursor"]
    assert page["meta"] == {"next_cursor": cursor, "limit": 2}
    rest = (await client.get(V2, params={"cursor": cursor})).json()
    assert ([book["id"] for book in rest["data"]], rest["meta"]["next_cursor"]) == ([ids[0]], None)


@pytest.mark.measures("books_list", "books_list_v2", "books_read")
async def test_reading_costs_a_few_statements_however_many_there_are(
    client: httpx.AsyncClient, make: Factory, max_queries: MaxQueries
) -> None:
    ids = [(await store_book(make, number)).id for number in range(1, 6)]
    with max_queries(3):
        page = await client.get(URL)
    assert [book["id"] for book in page.json()["items"]] == ids[::-1]
    with max_queries(2):
        page = await client.get(V2)
    assert [book["id"] for book in page.json()["data"]] == ids[::-1]
    with max_queries(2):
        answer = await client.get(f"{URL}/{ids[0]}")
    assert answer.json()["id"] == ids[0]
    with max_queries(1):
        assert (await client.get(f"{URL}/{ids[0]}")).json() == answer.json()


async def test_a_made_up_cursor_is_refused(client: httpx.AsyncClient) -> None:
    for url in (URL, V2):
        answer = await client.get(url, params={"cursor": "made-up"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


@pytest.mark.parametrize("field", ["author", "release_year"])
async def test_a_filter_finds_what_is_equal(client: httpx.AsyncClient, make: Factory, field: str) -> None:
    wanted, _ = await store_book(make, 1), await store_book(make, 2)
    value = (await client.get(f"{URL}/{wanted.id}")).json()[field]
    found = (await client.get(URL, params={field: value})).json()
    assert ([book["id"] for book in found["items"]], found["total"]) == ([wanted.id], 1)
    found = (await client.get(V2, params={field: value})).json()
    assert [book["id"] for book in found["data"]] == [wanted.id]


@pytest.mark.parametrize("field", ["title", "author", "isbn"])
async def test_a_search_finds_text_in_any_letter_case(client: httpx.AsyncClient, make: Factory, field: str) -> None:
    wanted, _ = await store_book(make, 1), await store_book(make, 2)
    text = (await client.get(f"{URL}/{wanted.id}")).json()[field]
    found = (await client.get(URL, params={"q": text.upper()})).json()["items"]
    assert [book["id"] for book in found] == [wanted.id]
    assert (await client.get(URL, params={"q": "%"})).json()["total"] == 0


async def test_put_replaces_all_of_a_book(client: httpx.AsyncClient, make: Factory, session: AsyncSession) -> None:
    headers = await make.bearer(await make.admin())
    location = (await client.post(URL, json=new_body(), headers=headers)).headers["location"]
    sent = new_body(2)
    for field in ("isbn",):
        del sent[field]
    answer = await client.put(location, json=sent, headers=headers)
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    book = answer.json()
    assert {field: book[field] for field in REQUIRED} == sent
    assert book["isbn"] is None
    assert (await session.get_one(Book, book["id"])).version == 2


async def test_patch_changes_what_it_names_of_the_version_one_has_seen(
    client: httpx.AsyncClient, make: Factory
) -> None:
    headers = await make.bearer(await make.admin())
    before = await client.post(URL, json=new_body(), headers=headers)
    location, seen = before.headers["location"], headers | {"If-Match": before.headers["etag"]}
    change = {"title": (new_body(2))["title"]}
    answer = await client.patch(location, json=change, headers=seen)
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    assert answer.json() == before.json() | change | {"updated_at": answer.json()["updated_at"]}
    for method in ("PATCH", "DELETE"):
        stale = await client.request(method, location, json=change if method == "PATCH" else None, headers=seen)
        assert (stale.status_code, stale.json()["code"]) == (412, "version_mismatch")


async def test_a_deleted_book_is_gone(client: httpx.AsyncClient, make: Factory, session: AsyncSession) -> None:
    headers = await make.bearer(await make.admin())
    location = (await client.post(URL, json=new_body(), headers=headers)).headers["location"]
    assert (await client.delete(location, headers=headers)).status_code == 204
    assert (await client.delete(location, headers=headers)).status_code == 404
    assert await session.scalar(select(func.count()).select_from(Book)) == 0
