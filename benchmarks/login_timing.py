"""Whether the time of a login tells which accounts exist: wrong passwords for a known and for an unknown name.

Run: uv run python benchmarks/login_timing.py [--rounds 200]
SQLite in a folder of its own, or PostgreSQL where DATABASE_URL names a database that may be littered with accounts.
Both kinds take turns, so that whatever else the machine does hits them alike. The goal: medians within 10 %.
"""

import argparse
import asyncio
import secrets
import statistics
import tempfile
import time
from pathlib import Path

import httpx
from server import register, serve

WARM_UP = 10
GOAL = 0.10


async def fail_to_log_in(client: httpx.AsyncClient, name: str) -> float:
    """Milliseconds until the refusal."""
    started = time.perf_counter()
    answer = await client.post("/auth/login", data={"username": name, "password": "wrong password"})
    assert answer.status_code == 401, answer.text
    return (time.perf_counter() - started) * 1000


async def measure(url: str, rounds: int) -> tuple[list[float], list[float]]:
    known, unknown = f"known-{secrets.token_hex(4)}", f"unknown-{secrets.token_hex(4)}"
    await register(url, [known])
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=60) as client:
        for _ in range(WARM_UP):
            await fail_to_log_in(client, known)
            await fail_to_log_in(client, unknown)
        times: dict[str, list[float]] = {known: [], unknown: []}
        for number in range(rounds):
            for name in (known, unknown) if number % 2 else (unknown, known):
                times[name].append(await fail_to_log_in(client, name))
    return times[known], times[unknown]


async def run(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with serve(Path(folder)) as (url, _):
            known, unknown = await measure(url, rounds)
    for name, values in (("known user", known), ("unknown user", unknown)):
        print(f"{name:<14} median {statistics.median(values):7.2f} ms   quartiles ", end="")
        print(" ".join(f"{quartile:.2f}" for quartile in statistics.quantiles(values)))
    ratio = statistics.median(unknown) / statistics.median(known)
    print(f"unknown/known  {ratio:.3f}   goal 1 ± {GOAL:.2f}: {'met' if abs(ratio - 1) <= GOAL else 'MISSED'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    asyncio.run(run(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
