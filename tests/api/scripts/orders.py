"""What users buy."""

from typing import Any

from app.models.user import Role
from tests.api.both_ways import Both

ORDERS = "/api/v1/orders"


def basket(item_id: object, quantity: object = 1) -> dict[str, Any]:
    return {"lines": [{"item_id": item_id, "quantity": quantity}]}


async def script(both: Both) -> None:
    await both.user("seller")
    await both.user("buyer")
    await both.user("browser", scope="orders:read")
    await both.user("cashier", role=Role.ADMIN)
    offered = {"title": "A chair", "price": "12.34", "tax_rate": "0.07", "stock": 10}
    item = (await both.send("POST /api/v1/items", 201, by="seller", json=offered)).json()["id"]
    await place(both, item)
    await look(both)
    await pay_and_cancel(both, item)


async def place(both: Both, item: int) -> None:
    key = {"Idempotency-Key": "chair"}
    await both.send(f"POST {ORDERS}", 401, json=basket(item))
    await both.send(f"POST {ORDERS}", 403, by="browser", json=basket(item))
    await both.send(f"POST {ORDERS}", 201, by="buyer", json=basket(item, 2), headers=key)
    await both.send(f"POST {ORDERS}", 201, by="buyer", json=basket(item, 2), headers=key)
    await both.send(f"POST {ORDERS}", 422, by="buyer", json=basket(item, 3), headers=key)
    await both.send(f"POST {ORDERS}", 201, by="buyer", json=basket(float(item)))
    await both.send(f"POST {ORDERS}", 409, by="buyer", json=basket(item, 1000))
    await both.send(f"POST {ORDERS}", 409, by="seller", json=basket(item))
    await both.send(f"POST {ORDERS}", 404, by="buyer", json=basket(999999))
    twice: dict[str, Any] = {"lines": basket(item)["lines"] * 2}
    wrong: dict[str, Any]
    for wrong in (basket("1"), basket(item, 0), {"lines": []}, twice, {}):
        await both.send(f"POST {ORDERS}", 422, by="buyer", json=wrong)


async def look(both: Both) -> None:
    for url in (ORDERS, "/api/v2/orders"):
        await both.send(f"GET {url}", 401)
        first = (await both.send(f"GET {url}?limit=1", 200, by="buyer")).json()
        cursor = first.get("meta", first)["next_cursor"]
        await both.send(f"GET {url}?limit=1&cursor={cursor}", 200, by="buyer")
        await both.send(f"GET {url}?limit=1&cursor={cursor}", 422, by="seller")
        await both.send(f"GET {url}?status=paid", 200, by="buyer")
        await both.send(f"GET {url}?status=lost", 422, by="buyer")


async def pay_and_cancel(both: Both, item: int) -> None:
    made = await both.send(f"POST {ORDERS}", 201, by="buyer", json=basket(item))
    url, tag = made.headers["location"], made.headers["etag"]
    await both.send(f"GET {url}", 200, by="buyer")
    await both.send(f"GET {url}", 304, by="buyer", headers={"If-None-Match": tag})
    await both.send(f"GET {url}", 200, by="cashier")
    await both.send(f"GET {url}", 404, by="seller")
    await both.send(f"POST {url}/pay", 401)
    await both.send(f"POST {url}/pay", 403, by="buyer")
    await both.send(f"POST {url}/pay", 200, by="cashier")
    await both.send(f"POST {url}/pay", 409, by="cashier")
    await both.send(f"POST {ORDERS}/999999/pay", 404, by="cashier")
    await both.send(f"GET {url}", 200, by="buyer", headers={"If-None-Match": tag})
    await both.send(f"POST {url}/cancel", 409, by="buyer")
    other = (await both.send(f"POST {ORDERS}", 201, by="buyer", json=basket(item))).headers["location"]
    await both.send(f"POST {other}/cancel", 404, by="seller")
    await both.send(f"POST {other}/cancel", 403, by="browser")
    await both.send(f"POST {other}/cancel", 200, by="buyer")
    await both.send(f"POST {other}/cancel", 409, by="buyer")
    await both.send(f"POST {ORDERS}/x/cancel", 422, by="buyer")
