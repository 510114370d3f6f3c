"""What users offer: single items, lists, and whole shops."""

from tests.api.both_ways import Both

ITEMS = "/api/v1/items"
LAMP = {"title": "A lamp", "price": "19.99", "tax_rate": "0.19", "stock": 3, "sku": "LAMP"}
JSON = {"Content-Type": "application/json"}
WRONG = (
    {"title": ""},
    {"price": 1.234},
    {"price": "1e3"},
    {"stock": -1},
    {"stock": True},
    {"title": "x" * 101},
    {"colour": "red"},
    {str(number): 1 for number in range(30)},
)


async def script(both: Both) -> None:
    await both.user("kate")
    await both.user("leo")
    await both.user("onlooker", scope="items:read")
    await both.user("stranger", scope="account")
    await create(both)
    await read_and_list(both)
    await change(both)
    await synchronise(both)
    await download(both)


async def create(both: Both) -> None:
    key = {"Idempotency-Key": "lamp-1"}
    await both.send(f"POST {ITEMS}", 401, json=LAMP)
    await both.send(f"POST {ITEMS}", 403, by="onlooker", json=LAMP)
    await both.send(f"POST {ITEMS}", 201, by="kate", json=LAMP, headers=key)
    await both.send(f"POST {ITEMS}", 201, by="kate", json=LAMP, headers=key)
    await both.send(f"POST {ITEMS}", 422, by="kate", json=LAMP | {"stock": 4}, headers=key)
    await both.send(f"POST {ITEMS}", 409, by="kate", json=LAMP)
    await both.send(f"POST {ITEMS}", 409, by="kate", json=LAMP, headers={"Idempotency-Key": "lamp-2"})
    await both.send(f"POST {ITEMS}", 409, by="kate", json=LAMP, headers={"Idempotency-Key": "lamp-2"})
    await both.send(f"POST {ITEMS}", 201, by="kate", json={"title": "Grün", "description": "Two\nlines", "price": 5})
    for wrong in WRONG:
        await both.send(f"POST {ITEMS}", 422, by="kate", json=LAMP | wrong)
    for content in (b"", b"null", b"[]", b"{", b'{"title": NaN}', rb'{"title": "\ud800"}'):
        await both.send(f"POST {ITEMS}", 422, by="kate", content=content, headers=JSON)
    for content in (b"\xff", b"[" * 100_000):
        await both.send(f"POST {ITEMS}", 400, by="kate", content=content, headers=JSON)
    await both.send(f"POST {ITEMS}", 413, by="kate", content=b" " * 2_000_000, headers=JSON)
    await both.send(f"POST {ITEMS}", 422, by="kate", content=b"{}", headers={"Content-Type": "text/plain"})


async def read_and_list(both: Both) -> None:
    newest = (await both.send(f"GET {ITEMS}?limit=1", 200, by="onlooker")).json()["items"][0]
    url = f"{ITEMS}/{newest['id']}"
    tag = (await both.send(f"GET {url}", 200, by="onlooker")).headers["etag"]
    await both.send(f"HEAD {url}", 200, by="onlooker")
    await both.send(f"OPTIONS {url}", 405)
    await both.send(f"POST {url}", 405, by="kate", json=LAMP)
    await both.send(f"GET {url}", 304, by="leo", headers={"If-None-Match": tag})
    await both.send(f"GET {url}", 304, by="leo", headers={"If-None-Match": "*"})
    await both.send(f"GET {url}", 401)
    await both.send(f"GET {url}", 403, by="stranger")
    await both.send(f"GET {ITEMS}/999999", 404, by="leo")
    await both.send(f"GET {ITEMS}/99999999999999999999", 422, by="leo")
    await both.send(f"GET {url}/stock", 200, by="leo")
    await both.send(f"GET {url}/stock", 403, by="stranger")
    await both.send(f"GET {ITEMS}/999999/stock", 404, by="leo")
    for page in (ITEMS, "/api/v2/items"):
        await list_items(both, page)
    await both.send(f"GET {ITEMS}?skip=1&include_total=false", 200, by="leo")


async def list_items(both: Both, url: str) -> None:
    await both.send(f"GET {url}", 401)
    await both.send(f"GET {url}", 403, by="stranger")
    first = (await both.send(f"GET {url}?limit=1&sort=price", 200, by="leo")).json()
    cursor = first.get("meta", first)["next_cursor"]
    await both.send(f"GET {url}?limit=1&sort=price&cursor={cursor}", 200, by="leo")
    await both.send(f"GET {url}?limit=1&sort=price&cursor={cursor[:-1]}", 422, by="leo")
    await both.send(f"GET {url}?limit=1&sort=title&cursor={cursor}", 422, by="leo")
    await both.send(f"HEAD {url}", 200, by="leo")
    for query in ("owner=me", "q=lamp", "is_done=any&min_price=5&max_price=19.99", "owner=1", "q=", "limit=1&limit=2"):
        await both.send(f"GET {url}?{query}", 200, by="kate")
    for query in ("limit=x", "limit=1000", "sort=colour", "min_price=-1", "is_done=1", "owner=you"):
        await both.send(f"GET {url}?{query}", 422, by="kate")


async def change(both: Both) -> None:
    made = await both.send(f"POST {ITEMS}", 201, by="kate", json={"title": "A bicycle"})
    url, tag = made.headers["location"], made.headers["etag"]
    await both.send(f"PATCH {url}", 401, json={"stock": 1})
    await both.send(f"PATCH {url}", 403, by="onlooker", json={"stock": 1})
    await both.send(f"PATCH {url}", 403, by="leo", json={"stock": 1})
    await both.send(f"PATCH {url}", 200, by="kate", json={"stock": 1}, headers={"If-Match": tag})
    await both.send(f"PATCH {url}", 412, by="kate", json={"stock": 2}, headers={"If-Match": tag})
    await both.send(f"PATCH {url}", 409, by="kate", json={"stock": 2, "version": 1})
    await both.send(f"PATCH {url}", 409, by="kate", json={"sku": "LAMP"})
    await both.send(f"PATCH {url}", 200, by="kate", json={})
    await both.send(f"PATCH {ITEMS}/999999", 404, by="kate", json={"stock": 1})
    await both.send(f"PATCH {ITEMS}/x", 422, by="kate", json={"stock": -1})
    await both.send(f"PUT {url}", 200, by="kate", json=LAMP | {"sku": None}, headers={"If-Match": "*"})
    await both.send(f"PUT {url}", 409, by="kate", json=LAMP)
    await both.send(f"PUT {url}", 412, by="kate", json=LAMP, headers={"If-Match": tag})
    await both.send(f"PUT {url}", 422, by="kate", json={"price": "free"})
    await both.send(f"PUT {url}", 403, by="leo", json=LAMP)
    await both.send(f"PUT {ITEMS}/999999", 404, by="kate", json=LAMP)
    await both.send(f"DELETE {url}", 401)
    await both.send(f"DELETE {url}", 403, by="leo")
    await both.send(f"DELETE {url}", 412, by="kate", headers={"If-Match": tag})
    await both.send(f"DELETE {url}", 204, by="kate")
    await both.send(f"DELETE {url}", 404, by="kate")


async def synchronise(both: Both) -> None:
    many = {"items": [{"title": f"Number {number}", "sku": f"N-{number}"} for number in range(30)]}
    key = {"Idempotency-Key": "many"}
    await both.send(f"POST {ITEMS}/bulk", 401, json=many)
    await both.send(f"POST {ITEMS}/bulk", 403, by="onlooker", json=many)
    ids = (await both.send(f"POST {ITEMS}/bulk", 201, by="leo", json=many, headers=key)).json()["ids"]
    await both.send(f"POST {ITEMS}/bulk", 201, by="leo", json=many, headers=key)
    await both.send(f"POST {ITEMS}/bulk", 409, by="leo", json=many)
    await both.send(f"POST {ITEMS}/bulk", 422, by="leo", json={"items": [{"title": ""}] * 100})
    await both.send(f"PATCH {ITEMS}/bulk", 200, by="leo", json={"ids": [*ids[:3], 1, 999999], "is_done": True})
    await both.send(f"PATCH {ITEMS}/bulk", 422, by="leo", json={"ids": [], "is_done": "yes"})
    await both.send(f"PATCH {ITEMS}/bulk", 403, by="onlooker", json={"ids": ids, "is_done": True})
    url, lamp = f"{ITEMS}/by-sku/LAMP", {name: value for name, value in LAMP.items() if name != "sku"}
    await both.send(f"PUT {url}", 401, json=lamp)
    await both.send(f"PUT {url}", 412, by="leo", json=lamp, headers={"If-Match": "*"})
    tag = (await both.send(f"PUT {url}", 201, by="leo", json=lamp)).headers["etag"]
    await both.send(f"PUT {url}", 200, by="leo", json=lamp | {"stock": 9}, headers={"If-Match": tag})
    await both.send(f"PUT {url}", 412, by="leo", json=lamp, headers={"If-Match": tag})
    await both.send(f"PUT {ITEMS}/by-sku/%20", 422, by="leo", json=LAMP)


async def download(both: Both) -> None:
    url = f"{ITEMS}/export"
    await both.send(f"GET {url}?format=csv", 401)
    await both.send(f"GET {url}?format=csv", 403, by="stranger")
    await both.send(f"GET {url}", 422, by="leo")
    await both.send(f"GET {url}?format=pdf&owner=you", 422, by="leo")
    for query in ("format=csv", "format=ndjson&is_done=any", "format=csv&owner=me&max_price=1"):
        await both.send(f"GET {url}?{query}", 200, by="leo")
        await both.send(f"GET {url}?{query}", 200, by="leo", headers={"Accept-Encoding": "gzip"})
        await both.send(f"HEAD {url}?{query}", 200, by="leo")
