"""Whether a change costs speed: Strata of two checkouts under the same load, in turns. Linux only.

Run: uv run python benchmarks/compare.py ../before [--rounds 20] [--scenario list,read] [--connections 16]
Each checkout needs its environment (`uv sync`), and makes a database and tokens of its own. DATABASE_URL is as for
load.py.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from rig.database import DEFAULT_URL
from rig.order import Order
from rig.processes import child
from rig.runs import Run, measure
from rig.servers import Server

HERE = Path(__file__).parents[1]
WARM_UP = 0.3
# Run by the Python of each checkout, among its own benchmarks: serves until its input ends.
SERVE = """
import asyncio, json, sys
from pathlib import Path
from rig.database import scratch_database
from rig.scenarios import SCENARIOS
from rig.servers import serve

async def main(url, folder):
    async with scratch_database(url, folder) as scratch, serve("strata", scratch.url, scratch.secret, folder) as server:
        for name, scenario in SCENARIOS.items():
            (folder / f"{name}.json").write_text(json.dumps(scenario.requests(scratch.tokens, seed=1)))
        print(json.dumps({"port": server.port, "pid": server.pid, "database": scratch.name}), flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
"""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared; `folder` has the requests of each scenario."""

    name: str
    folder: Path
    process: Process
    port: int
    pid: int
    database: str

    async def measure(self, scenario: str, options: argparse.Namespace) -> Run:
        order = Order(
            port=self.port,
            requests=str(self.folder / f"{scenario}.json"),
            connections=options.connections,
            warm_up=WARM_UP,
            seconds=options.seconds,
            pid=self.pid,
            database=self.database,
        )
        server = Server(self.name, self.port, self.process, self.folder / "strata.log")
        return await measure(server, scenario, order)


async def start(stack: AsyncExitStack, name: str, checkout: Path, folder: Path) -> Side:
    await asyncio.to_thread(folder.mkdir)
    command: list[str | Path] = [
        checkout / ".venv/bin/python",
        "-c",
        SERVE,
        os.environ.get("DATABASE_URL", DEFAULT_URL),
        folder,
    ]
    process = await stack.enter_async_context(child(*command, stdin=PIPE, stdout=PIPE, cwd=checkout / "benchmarks"))
    assert process.stdout is not None
    told = await process.stdout.readline()
    if not told:
        raise SystemExit(f"{checkout} does not start")
    return Side(name, folder, process, **json.loads(told))


async def main(options: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        checkouts = {"before": options.before.resolve(), "after": HERE}
        sides = [await start(stack, name, path, folder / name) for name, path in checkouts.items()]
        print("| scenario | requests a second: before, after | ratio | CPU, ms a request: before, after | ratio |")
        print("| --- | --- | ---: | --- | ---: |")
        for scenario in options.scenario.split(","):
            runs: dict[str, list[Run]] = {side.name: [] for side in sides}
            for number in range(options.rounds):
                print(f"\r{scenario}: round {number + 1} of {options.rounds}  ", end="", file=sys.stderr)
                for side in sides if number % 2 else reversed(sides):
                    runs[side.name].append(await side.measure(scenario, options))
            print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
            print(row(scenario, runs), flush=True)
        for side in sides:
            assert side.process.stdin is not None
            side.process.stdin.close()
            await side.process.wait()


def row(scenario: str, runs: dict[str, list[Run]]) -> str:
    """Of the rates the medians, and the median of the rounds' ratios; of CPU the lower quartile: others add to it."""
    rates, cpu = (
        {name: [getattr(run, what) for run in runs[name]] for name in runs} for what in ("rate", "server_cpu")
    )
    ratio = statistics.median(new / old for old, new in zip(rates["before"], rates["after"], strict=True))
    old, new = (statistics.quantiles(cpu[name], n=4)[0] for name in ("before", "after"))
    medians = f"{statistics.median(rates['before']):,.0f}, {statistics.median(rates['after']):,.0f}"
    return f"| {scenario} | {medians} | {ratio:.3f} | {old:.3f}, {new:.3f} | {new / old:.3f} |"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="another checkout of the repository")
    parser.add_argument("--rounds", type=int, default=20, help="of each of the two")
    parser.add_argument("--scenario", default="health,me,list,read,patch,create", help="as for load.py")
    parser.add_argument("--connections", type=int, default=16, help="at once")
    parser.add_argument("--seconds", type=float, default=0.5, help="that each measurement takes")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main(parse()))
