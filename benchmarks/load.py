"""Requests a second, latency, CPU, statements and memory of Strata under load, beside two yardsticks. Linux only.

Run: uv run python benchmarks/load.py [--quick] [--scenario list,read] [--connections 16,64] [--rounds 3] [--seconds 2]
DATABASE_URL names a PostgreSQL server and a role that may create databases; a scratch database is made and dropped.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from rig.client import Order
from rig.database import DEFAULT_URL, ITEMS, USERS, Scratch, scratch_database, tidy
from rig.processes import machine, mib
from rig.progress import Progress
from rig.report import Results, report
from rig.runs import load, measure, percentile
from rig.scenarios import SCENARIOS, Scenario
from rig.servers import NAMES, Server, serve_all
from rig.wire import Counts, ask_all, counting_proxy, exchange

RESULTS = Path(__file__).with_name("results")
WARM_UP = 0.3
WARMING = 5
COUNTED = 20
STORM_CONNECTIONS = 800


class Benchmark:
    def __init__(self, options: argparse.Namespace, scratch: Scratch, folder: Path) -> None:
        self.options = options
        self.scratch = scratch
        self.folder = folder
        self.scenarios = [SCENARIOS[name] for name in options.scenario]
        self.results = Results(describe(options, scratch))
        self.progress = Progress(len(NAMES) * options.rounds * sum(len(self.levels(s)) for s in self.scenarios))

    def levels(self, scenario: Scenario) -> list[int]:
        """How many connections: those asked for that suit the scenario, or the nearest that does."""
        most = max(scenario.connections)
        return sorted({min(level, most) for level in self.options.connections or scenario.connections})

    def requests(self, scenario: Scenario) -> list[str]:
        return scenario.requests(self.scratch.tokens, seed=1)

    async def run(self) -> Results:
        await self.count_statements()
        urls = dict.fromkeys(NAMES, self.scratch.url)
        async with serve_all(urls, self.scratch.secret, self.folder) as servers:
            await self.compare_answers(servers)
            await asyncio.sleep(1)
            self.results.idle = {name: mib(server.pid) for name, server in servers.items()}
            for scenario in self.scenarios:
                await self.measure(scenario, servers)
            if self.options.overload:
                for server in servers.values():
                    await self.overload(server)
            self.results.peak = {name: mib(server.pid, "VmHWM") for name, server in servers.items()}
        return self.results

    async def count_statements(self) -> None:
        """On one connection, after others have had the statements prepared."""
        self.progress.say("counting statements")
        parts = urlsplit(self.scratch.url)
        if parts.hostname is None or "ssl" in parts.query:
            return  # a socket or an encrypted connection: nothing can be counted on the way
        async with counting_proxy(parts.hostname, parts.port or 5432) as (port, counts):
            user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
            url = parts._replace(netloc=f"{user}127.0.0.1:{port}").geturl()
            async with serve_all(dict.fromkeys(NAMES, url), self.scratch.secret, self.folder) as servers:
                for scenario in self.scenarios:
                    self.results.statements[scenario.name] = {
                        server.name: await self.count(server, scenario, counts) for server in servers.values()
                    }
        await tidy(self.scratch.url)

    async def count(self, server: Server, scenario: Scenario, counts: Counts) -> tuple[float, float]:
        requests = self.requests(scenario)
        await succeed(server, scenario, requests[:WARMING])
        before = counts.copy()
        await succeed(server, scenario, requests[WARMING : WARMING + COUNTED])
        return (
            round((counts.statements - before.statements) / COUNTED, 1),
            round((counts.round_trips - before.round_trips) / COUNTED, 1),
        )

    async def compare_answers(self, servers: dict[str, Server]) -> None:
        """What does less work must not do it by answering less."""
        for name in ("me", "list", "read"):
            request = self.requests(SCENARIOS[name])[0]
            answers = {}
            for server in servers.values():
                _, body = await exchange(server.port, request)
                answers[server.name] = comparable(json.loads(body))
            for other in NAMES[1:]:
                if answers[other] != answers["strata"]:
                    raise SystemExit(f"{name}: other answers\nstrata: {answers['strata']}\n{other}: {answers[other]}")

    async def measure(self, scenario: Scenario, servers: dict[str, Server]) -> None:
        path = self.write_requests(scenario)
        for connections in self.levels(scenario):
            for number in range(self.options.rounds):
                for server in servers.values():
                    self.progress.step(f"{scenario.name}, {connections} connections, round {number + 1}, {server.name}")
                    order = self.order(server, path, connections)
                    self.results.runs.append(await measure(server, scenario.name, order))
            if scenario.writes:
                await tidy(self.scratch.url)

    def write_requests(self, scenario: Scenario) -> Path:
        path = self.folder / f"{scenario.name}.json"
        path.write_text(json.dumps(self.requests(scenario)))
        return path

    def order(self, server: Server, requests: Path, connections: int) -> Order:
        return Order(
            port=server.port,
            requests=str(requests),
            connections=connections,
            warm_up=WARM_UP,
            seconds=self.options.seconds,
            pid=server.pid,
            database=self.scratch.name,
        )

    async def overload(self, server: Server) -> None:
        """Twice as many requests as the server has just shown that it can answer, whether or not it does."""
        path = self.write_requests(SCENARIOS["list"])
        self.progress.say(f"overload, {server.name}")
        calm = await measure(server, "list", self.order(server, path, 64))
        storm = Order(
            port=server.port,
            requests=str(path),
            connections=STORM_CONNECTIONS,
            warm_up=2,
            seconds=self.options.overload,
            pid=server.pid,
            database=self.scratch.name,
            rate=2 * calm.rate,
        )
        before = mib(server.pid)
        tally = await load(server, storm)
        goodput = len(tally.latencies) / tally.seconds
        self.results.overload.append(
            {
                "server": server.name,
                "peak req/s": round(calm.rate),
                "offered req/s": round(2 * calm.rate),
                "goodput / peak": round(goodput / calm.rate, 2),
                "p50 ms": round(percentile(tally.latencies, 50)),
                "p99 ms": round(percentile(tally.latencies, 99)),
                "memory +MiB": round(mib(server.pid, "VmHWM") - before, 1),
                "answers": ", ".join(f"{what}: {count:,}" for what, count in tally.statuses.most_common()),
            }
        )


async def succeed(server: Server, scenario: Scenario, requests: list[str]) -> None:
    if fault := await ask_all(server.port, requests):
        raise SystemExit(f"{scenario.name} fails at {server.name}: {fault}\n{server.last_words()}")


def comparable(value: object) -> object:
    """Without what may differ: how a decimal is spelled, and what a cursor looks like."""
    if isinstance(value, dict):
        return {key: bool(part) if key == "next_cursor" else comparable(part) for key, part in value.items()}
    if isinstance(value, list):
        return [comparable(part) for part in value]
    return float(value) if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value) else value


def describe(options: argparse.Namespace, scratch: Scratch) -> dict[str, object]:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False, cwd=RESULTS.parent
    )
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "python": platform.python_version(),
        "postgresql": scratch.version.split()[0],
        "commit": commit.stdout.strip() or "?",
        "rounds": options.rounds,
        "seconds": options.seconds,
        "users": USERS,
        "items": ITEMS,
    }


def write(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(asdict(results), indent=1) + "\n")
    path.with_suffix(".md").write_text(report(results))
    print(f"written to {path.with_suffix('.md')} and {path.with_suffix('.json').name}")


def default_path(results: Results) -> Path:
    slug = re.sub(r"[^a-z0-9]+", "-", str(results.about["machine"]).lower()).strip("-")
    return RESULTS / f"{results.about['date']}-{slug}.md"


def names_of(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - SCENARIOS.keys():
        raise argparse.ArgumentTypeError(f"no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    return names


def numbers_of(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round at 16 connections; writes no files")
    parser.add_argument("--scenario", type=names_of, default=list(SCENARIOS), help="some of %(default)s, with commas")
    parser.add_argument("--connections", type=numbers_of, help="at once, as in 1,16,64 (logins: 8 at most)")
    parser.add_argument("--rounds", type=int, help="of which the median counts; 3, or 1 with --quick")
    parser.add_argument("--seconds", type=float, help="that each measurement takes; 2, or 0.7 with --quick")
    parser.add_argument("--overload", type=float, nargs="?", const=10, metavar="SECONDS", help="also at twice the peak")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write FILE with .md and .json there")
    options = parser.parse_args()
    options.connections = options.connections or ([16] if options.quick else None)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (0.7 if options.quick else 2)
    return options


async def main(options: argparse.Namespace) -> None:
    task = asyncio.current_task()
    assert task is not None
    # Whoever ends us leaves no server and no database behind; Ctrl+C does the same by itself.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    began = time.monotonic()
    url = os.environ.get("DATABASE_URL", DEFAULT_URL)
    with tempfile.TemporaryDirectory() as folder:
        print(f"making a database of {USERS:,} users and {ITEMS:,} items …", file=sys.stderr)
        async with scratch_database(url, Path(folder)) as scratch:
            benchmark = Benchmark(options, scratch, Path(folder))
            results = await benchmark.run()
            benchmark.progress.clear()
    print(report(results))
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    if options.output or not options.quick:
        write(results, options.output or default_path(results))


if __name__ == "__main__":
    with suppress(asyncio.CancelledError):
        try:
            asyncio.run(main(parse()))
        except KeyboardInterrupt:
            sys.exit(130)
