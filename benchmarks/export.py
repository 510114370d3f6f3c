"""What a download of 200 000 items costs: time to the first byte, memory of the server, rows a second. Linux only.

Run: uv run python benchmarks/export.py [--items 200000] [--rounds 3]
Database: SQLite, or what DATABASE_URL names; the items stay there.
"""

import argparse
import asyncio
import re
import statistics
import tempfile
import time
from pathlib import Path

import httpx
from server import PASSWORD, register, serve

BATCH = 1000


def resident_mib(pid: int) -> float:
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return int(match[1]) / 1024


async def fill(client: httpx.AsyncClient, count: int) -> None:
    there = (await client.get("/items?limit=1")).json()["total"]
    for start in range(there, count, BATCH):
        rows = [{"title": f"item {number}", "price": "19.99", "stock": 1} for number in range(start, start + BATCH)]
        (await client.post("/items/bulk", json={"items": rows})).raise_for_status()
        print(f"\radding items: {start + BATCH:,}", end="", flush=True)
    print()


async def download(client: httpx.AsyncClient, pid: int, format_: str) -> tuple[float, float, float, int]:
    """Seconds to the first byte and to the last, MiB that the server grew by at most, and lines."""
    before = peak = resident_mib(pid)
    lines, first, started = 0, 0.0, time.perf_counter()
    headers = {"Accept-Encoding": "identity"}
    async with client.stream("GET", "/items/export", params={"format": format_}, headers=headers) as answer:
        answer.raise_for_status()
        async for chunk in answer.aiter_raw():
            first = first or time.perf_counter() - started
            lines += chunk.count(b"\n")
            peak = max(peak, resident_mib(pid))
    return first, time.perf_counter() - started, peak - before, lines


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        async with serve(Path(folder)) as (url, pid):
            name = f"export-{time.time_ns()}"
            await register(url, [name])
            async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=120) as client:
                form = {"username": name, "password": PASSWORD}
                token = (await client.post("/auth/login", data=form)).json()["access_token"]
                client.headers["Authorization"] = f"Bearer {token}"
                await fill(client, options.items)
                for format_ in ("csv", "ndjson"):
                    runs = [await download(client, pid, format_) for _ in range(options.rounds)]
                    first, last, growth, lines = zip(*runs, strict=True)
                    rate = min(lines) / statistics.median(last)
                    print(
                        f"{format_:<7} {min(lines):,} lines   first byte {max(first) * 1000:.0f} ms at most   "
                        f"{rate:,.0f} lines/s   memory +{max(growth):.1f} MiB at most"
                    )


if __name__ == "__main__":
    asyncio.run(main())
