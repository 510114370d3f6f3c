"""Books: for everyone to read, and for administrators to change."""

from app.models.user import Role
from tests.api.both_ways import Both

BOOKS = "/api/v1/books"
NOVEL = {"title": "The Dispossessed", "author": "Ursula K. Le Guin", "release_year": 1974}


async def script(both: Both) -> None:
    await both.user("reader")
    await both.user("librarian", role=Role.ADMIN)
    url = await create(both)
    await read(both, url)
    await change(both, url)


async def create(both: Both) -> str:
    key = {"Idempotency-Key": "novel"}
    await both.send(f"GET {BOOKS}", 200)
    await both.send(f"POST {BOOKS}", 401, json=NOVEL)
    await both.send(f"POST {BOOKS}", 403, by="reader", json=NOVEL)
    made = await both.send(f"POST {BOOKS}", 201, by="librarian", json=NOVEL, headers=key)
    await both.send(f"POST {BOOKS}", 201, by="librarian", json=NOVEL, headers=key)
    await both.send(f"POST {BOOKS}", 422, by="librarian", json=NOVEL | {"isbn": "x"}, headers=key)
    await both.send(f"POST {BOOKS}", 201, by="librarian", json=NOVEL | {"title": "The Telling", "release_year": 2000})
    for wrong in ({"release_year": "old"}, {"author": None}, {"pages": 3}):
        await both.send(f"POST {BOOKS}", 422, by="librarian", json=NOVEL | wrong)
    return made.headers["location"]


async def read(both: Both, url: str) -> None:
    for page in (BOOKS, "/api/v2/books"):
        first = await both.send(f"GET {page}?limit=1&sort=release_year", 200)
        cursor = first.json().get("meta", first.json())["next_cursor"]
        await both.send(f"GET {page}?limit=1&sort=release_year&cursor={cursor}", 200)
        await both.send(f"GET {page}?limit=1&sort=author&cursor={cursor}", 422)
        tag = first.headers["etag"]
        await both.send(f"GET {page}?limit=1&sort=release_year", 304, headers={"If-None-Match": tag})
        await both.send(f"HEAD {page}?limit=1&sort=release_year", 200)
        await both.send(f"GET {page}?q=guin&release_year=1974", 200, by="reader")
        await both.send(f"GET {page}?release_year=old", 422)
    tag = (await both.send(f"GET {url}", 200)).headers["etag"]
    await both.send(f"GET {url}", 200)
    await both.send(f"GET {url}", 304, headers={"If-None-Match": tag})
    await both.send(f"GET {url}", 200, by="nobody")
    await both.send(f"GET {BOOKS}/999999", 404)
    await both.send(f"GET {BOOKS}/x", 422)


async def change(both: Both, url: str) -> None:
    tag = (await both.send(f"GET {url}", 200)).headers["etag"]
    await both.send(f"PATCH {url}", 401, json={"isbn": "1"})
    await both.send(f"PATCH {url}", 403, by="reader", json={"isbn": "1"})
    await both.send(f"PATCH {url}", 200, by="librarian", json={"isbn": "1"}, headers={"If-Match": '"1"'})
    await both.send(f"GET {url}", 200, headers={"If-None-Match": tag})
    await both.send(f"PATCH {url}", 412, by="librarian", json={"isbn": "2"}, headers={"If-Match": '"1"'})
    await both.send(f"PATCH {url}", 422, by="librarian", json={"isbn": 5})
    await both.send(f"PATCH {BOOKS}/999999", 404, by="librarian", json={"isbn": "1"})
    await both.send(f"PUT {url}", 200, by="librarian", json=NOVEL)
    await both.send(f"PUT {url}", 412, by="librarian", json=NOVEL, headers={"If-Match": '"1"'})
    await both.send(f"PUT {url}", 422, by="librarian", json={"title": "Nothing else"})
    await both.send(f"PUT {BOOKS}/999999", 404, by="librarian", json=NOVEL)
    await both.send(f"DELETE {url}", 401)
    await both.send(f"DELETE {url}", 403, by="reader")
    await both.send(f"DELETE {url}", 412, by="librarian", headers={"If-Match": '"1"'})
    await both.send(f"DELETE {url}", 204, by="librarian", headers={"If-Match": '"3"'})
    await both.send(f"DELETE {url}", 404, by="librarian")
    await both.send(f"GET {url}", 404)
