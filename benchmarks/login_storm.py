"""What a storm of logins does to everybody else: latency of GET /health without one and with one. Linux only.

Run: uv run python benchmarks/login_storm.py [--rounds 3] [--seconds 10]
SQLite in a folder of its own, or PostgreSQL where DATABASE_URL names a database that may be littered with accounts.
"""

import argparse
import asyncio
import re
import secrets
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from pathlib import Path

import httpx
from server import PASSWORD, register, serve

from app.core.security.passwords import ARGON2_MEMORY_KIB, HASHING_THREADS

LOGINS_AT_ONCE = 64
PROBES_PER_SECOND = 50
GOAL_MS = 50


async def storm(url: str, names: list[str], seconds: float) -> int:
    """Log everybody in again and again; return how often it has succeeded."""
    end = time.monotonic() + seconds

    async def log_in(name: str) -> int:
        count = 0
        while time.monotonic() < end:
            answer = await client.post("/auth/login", data={"username": name, "password": PASSWORD})
            answer.raise_for_status()
            count += 1
        return count

    limits = httpx.Limits(max_connections=LOGINS_AT_ONCE)
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=60, limits=limits) as client:
        return sum(await asyncio.gather(*map(log_in, names)))


async def probe(url: str, seconds: float) -> list[float]:
    """Milliseconds of each GET /health, asked on time whether or not the one before is back."""

    async def ask(at: float) -> float:
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        began = time.perf_counter()
        (await client.get("/health")).raise_for_status()
        return (time.perf_counter() - began) * 1000

    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        await client.get("/health")  # the connection is there before it counts
        began = time.perf_counter()
        times = [began + number / PROBES_PER_SECOND for number in range(int(seconds * PROBES_PER_SECOND))]
        return list(await asyncio.gather(*map(ask, times)))


async def probe_in_storm(url: str, names: list[str], seconds: float) -> tuple[list[float], float]:
    """As `probe`, and logins per second. The storm is a process of its own, so as not to slow the probe down itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--storm", url, ",".join(names), "--seconds", str(seconds + 3), stdout=PIPE
    )
    await asyncio.sleep(2)  # until it blows
    latencies = await probe(url, seconds)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return latencies, int(output) / (seconds + 3)


def mib(pid: int, field: str) -> float:
    """VmRSS is the memory resident now, VmHWM the most there has been."""
    match = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return int(match[1]) / 1024


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def tell(name: str, latencies: list[float]) -> None:
    print(f"{name:<16} p50 {percentile(latencies, 50):7.1f} ms   p99 {percentile(latencies, 99):7.1f} ms", flush=True)


async def measure(folder: Path, rounds: int, seconds: float) -> None:
    names = [f"storm-{secrets.token_hex(6)}" for _ in range(LOGINS_AT_ONCE)]
    async with serve(folder) as (url, _):
        await register(url, names)
    calm: list[float] = []
    stormy: list[float] = []
    rates: list[float] = []
    moves: list[str] = []
    async with serve(folder) as (url, pid):  # another process: this one has hashed nothing yet
        await probe(url, 1)
        before = mib(pid, "VmRSS")
        for number in range(1, rounds + 1):
            calm += (quiet := await probe(url, seconds))
            tell(f"round {number} calm", quiet)
            latencies, rate = await probe_in_storm(url, names, seconds)
            tell(f"round {number} storm", latencies)
            stormy += latencies
            moves.append(f"{percentile(latencies, 99) - percentile(quiet, 99):.1f}")
            rates.append(rate)
        growth = mib(pid, "VmHWM") - before
    tell("all calm", calm)
    tell("all storm", stormy)
    moved = percentile(stormy, 99) - percentile(calm, 99)
    print(f"p99 moves by {moved:.1f} ms (the goal is less than {GOAL_MS} ms), by round: {', '.join(moves)} ms")
    print(f"{statistics.mean(rates):.1f} logins/s, {LOGINS_AT_ONCE} at once, {HASHING_THREADS} hashing thread(s)")
    bound = HASHING_THREADS * ARGON2_MEMORY_KIB / 1024
    print(f"memory grew by {growth:.1f} MiB from {before:.1f} MiB; {bound:.0f} MiB of it may be argon2's")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--storm", nargs=2, metavar=("URL", "NAMES"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.storm is not None:
        url, names = arguments.storm
        print(asyncio.run(storm(url, names.split(","), arguments.seconds)))
        return
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), arguments.rounds, arguments.seconds))


if __name__ == "__main__":
    main()
