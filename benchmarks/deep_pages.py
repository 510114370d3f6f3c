"""What a page costs at the beginning of a long list and a million rows on, by cursor and by offset. PostgreSQL.

Run: DATABASE_URL=postgresql://user:password@host:5432/scratch uv run python benchmarks/deep_pages.py [--rounds 200]
The database must be empty, or one that this script has filled before; the rows stay there.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

import asyncpg
import httpx
from server import PASSWORD, register, serve

DEPTH = 1_000_000
LIMIT = 20
OWNERS = [f"deep-{number}" for number in range(10)]
SEED = """
    INSERT INTO items (owner_id, title, description, price, tax_rate, stock, is_done, version, created_at, updated_at)
    SELECT ($1::bigint[])[1 + n % cardinality($1)], 'item ' || n, NULL, (n % 10000) / 100.0, 0, 1, false, 1,
           now() - n / 3 * interval '1 second', now()
    FROM generate_series(1, $2) n
"""
# What the application sends for `sort=-created_at` (app/crud/base.py).
PAGE = """
    SELECT items.*, users.username FROM items JOIN users ON users.id = items.owner_id
    WHERE items.is_done IS false {place} ORDER BY items.created_at DESC, items.id DESC LIMIT 21
"""


async def fill(connection: asyncpg.Connection) -> None:
    """Three rows share each instant, so that there are ties."""
    missing = DEPTH + 1000 - await connection.fetchval("SELECT count(*) FROM items")
    if missing > 0:
        print(f"adding {missing:,} items …")
        owners = await connection.fetchval("SELECT array_agg(id) FROM users WHERE username LIKE 'deep-%'")
        await connection.execute(SEED, owners, missing, timeout=600)
        await connection.execute("VACUUM ANALYZE items", timeout=600)


async def show_plans(connection: asyncpg.Connection) -> None:
    last = await connection.fetchrow(
        "SELECT created_at, id FROM items ORDER BY created_at DESC, id DESC OFFSET $1 LIMIT 1", DEPTH
    )
    place = f"AND (items.created_at, items.id) < ('{last['created_at'].isoformat()}', {last['id']})"
    for name, condition in (("the first page", ""), (f"after {DEPTH:,} rows", place)):
        print(f"\n{name}:")
        for (line,) in await connection.fetch(
            f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF) {PAGE.format(place=condition)}"
        ):
            print(f"  {line}")


async def measure(url: str, rounds: int) -> None:
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=60) as client:
        form = {"username": OWNERS[0], "password": PASSWORD}
        token = (await client.post("/auth/login", data=form)).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"

        async def page(**query: str | int) -> tuple[float, str]:
            started = time.perf_counter()
            answer = await client.get("/items", params={"limit": LIMIT, "include_total": "false", **query})
            seconds = time.perf_counter() - started
            answer.raise_for_status()
            assert len(answer.json()["items"]) == LIMIT
            return seconds, answer.json()["next_cursor"]

        _, deep = await page(skip=DEPTH - LIMIT)
        kinds: dict[str, dict[str, str | int]] = {
            "the first page": {},
            f"cursor, {DEPTH:,} rows on": {"cursor": deep},
        }
        seconds: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(rounds):
            for name, query in kinds.items():
                seconds[name].append((await page(**query))[0])
        first = statistics.median(seconds["the first page"])
        for name, values in seconds.items():
            median = statistics.median(values)
            print(f"{name:<28} median {median * 1000:6.2f} ms   {median / first:5.2f}x")
        offset = statistics.median([(await page(skip=DEPTH))[0] for _ in range(3)])
        print(f"{f'offset, skip={DEPTH:,}':<28} median {offset * 1000:6.2f} ms   {offset / first:5.2f}x")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        async with serve(Path(folder)) as (url, _):
            connection = await asyncpg.connect(os.environ["DATABASE_URL"].replace("+asyncpg", ""))
            if await connection.fetchval("SELECT count(*) FROM users WHERE username LIKE 'deep-%'") == 0:
                await register(url, OWNERS)
            await fill(connection)
            await measure(url, rounds)
            await show_plans(connection)
            await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
