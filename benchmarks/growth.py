"""What requests cost among ten thousand items and among a million, on PostgreSQL: the ratio tells what grows.

Run: uv run python benchmarks/growth.py [--items 1000000] [--rounds 30]
DATABASE_URL names a PostgreSQL server and a role that may create databases; two scratch databases are made and dropped.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

from rig.database import DEFAULT_URL, USERS, Scratch, scratch_database
from rig.scenarios import request
from rig.servers import serve
from rig.wire import ask

FEW = 10_000
LIMIT = 20
MANY_AT_ONCE = 100
# Who asks: all items of the first one are done.
USER = 2
ITEMS = "/api/v1/items"


@dataclass(slots=True)
class Shop:
    """A server, and how many items its database began with."""

    items: int
    scratch: Scratch
    port: int
    connection: tuple[StreamReader, StreamWriter] | None = None
    far_on: str = ""

    @property
    def own(self) -> list[int]:
        """The seed gives item n to user 1 + n % USERS."""
        return [*range(USER - 1, self.items, USERS)]

    def make(self, method: str, path: str, body: object = None, **query: str | int) -> str:
        address = f"{path}?{urlencode(query)}" if query else path
        return request(method, address, self.scratch.tokens[USER - 1], "" if body is None else json.dumps(body))

    async def ask(self, text: str) -> bytes:
        self.connection = self.connection or await asyncio.open_connection("127.0.0.1", self.port, limit=2**24)
        status, body = await ask(*self.connection, text)
        if not HTTPStatus(status).is_success:
            raise SystemExit(f"{text.splitlines()[0]} gets {status}: {body.decode()}")
        return body


number = count(1)


def item() -> dict[str, object]:
    return {"title": f"A blue bicycle, number {next(number)}", "price": "19.90", "stock": 1}


def page(**query: str | int) -> Callable[[Shop], str]:
    defaults: dict[str, str | int] = {"limit": LIMIT, "include_total": "false"}
    return lambda shop: shop.make("GET", ITEMS, **(defaults | query))


OPERATIONS: dict[str, Callable[[Shop], str]] = {
    "first page": page(),
    "page by cursor, at the end": lambda shop: page(cursor=shop.far_on)(shop),
    "first page, with total": page(include_total="true"),
    "own items, with total": page(owner="me", include_total="true"),
    "search: one item has it": page(q="number 7777"),
    "search: none has it": page(q="no such thing"),
    "search: all have it": page(q="bicycle"),
    "search: all have it, with total": page(q="bicycle", include_total="true"),
    "read": lambda shop: shop.make("GET", f"{ITEMS}/{shop.own[0]}"),
    "create": lambda shop: shop.make("POST", ITEMS, item()),
    "change": lambda shop: shop.make("PATCH", f"{ITEMS}/{shop.own[0]}", {"stock": next(number)}),
    "put by SKU": lambda shop: shop.make("PUT", f"{ITEMS}/by-sku/NEW-{next(number)}", item()),
    f"create {MANY_AT_ONCE}": lambda shop: shop.make(
        "POST", f"{ITEMS}/bulk", {"items": [item() for _ in range(MANY_AT_ONCE)]}
    ),
    f"reopen up to {MANY_AT_ONCE}": lambda shop: shop.make(
        "PATCH", f"{ITEMS}/bulk", {"ids": shop.own[:MANY_AT_ONCE], "is_done": False}
    ),
    "page by offset, at the end": lambda shop: page(skip=shop.items * 8 // 10)(shop),
}


async def measure(shops: list[Shop], rounds: int) -> None:
    for shop in shops:
        # One item in ten is done, and not in the list.
        before_the_end = page(skip=shop.items * 9 // 10 - 3 * LIMIT)(shop)
        shop.far_on = json.loads(await shop.ask(before_the_end))["next_cursor"]
    print(f"\n{'median ms':<34}{''.join(f'{shop.items:>12,}' for shop in shops)}{'ratio':>9}")
    for name, make in OPERATIONS.items():
        seconds: list[list[float]] = [[] for _ in shops]
        for _ in range(rounds + 1):
            for place, shop in enumerate(shops):
                text = make(shop)
                started = time.perf_counter()
                await shop.ask(text)
                seconds[place].append(time.perf_counter() - started)
        # The first one finds no statement prepared.
        few, many = (statistics.median(times[1:]) * 1000 for times in seconds)
        print(f"{name:<34}{few:>12.2f}{many:>12.2f}{many / few:>9.2f}", flush=True)


async def open_shop(stack: AsyncExitStack, server_url: str, folder: Path, items: int) -> Shop:
    print(f"making a database of {items:,} items", file=sys.stderr, flush=True)
    scratch = await stack.enter_async_context(scratch_database(server_url, folder, items))
    server = await stack.enter_async_context(serve("strata", scratch.url, scratch.secret, folder))
    return Shop(items, scratch, server.port)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000, help="of the larger database")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    if options.items < 10 * FEW or options.rounds < 1:
        parser.error(f"it takes at least {10 * FEW} items and one round")
    server_url = os.environ.get("DATABASE_URL", DEFAULT_URL)
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as many:
        async with AsyncExitStack() as stack:
            await measure(
                [
                    await open_shop(stack, server_url, Path(few), FEW),
                    await open_shop(stack, server_url, Path(many), options.items),
                ],
                options.rounds,
            )


if __name__ == "__main__":
    asyncio.run(main())
