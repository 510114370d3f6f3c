"""The measurements of a whole run, in turns."""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

from rig.answers import compare_answers
from rig.database import Scratch, tidy
from rig.order import Order
from rig.overload import overload
from rig.processes import mib
from rig.progress import Progress
from rig.report import Results
from rig.runs import load, measure
from rig.scenarios import SCENARIOS, Scenario
from rig.servers import NAMES, Server, serve_all
from rig.statements import count_statements

# So that servers that remember who has asked have seen every token, as they have after a minute of work.
WARM_UP = 1.0
# Before each measurement.
BREAK_IN = 0.3
MANY = 64


class Benchmark:
    def __init__(self, options: argparse.Namespace, scratch: Scratch, folder: Path, about: dict[str, Any]) -> None:
        self.options = options
        self.scratch = scratch
        self.folder = folder
        self.scenarios = [SCENARIOS[name] for name in options.scenario]
        self.results = Results(about)
        self.progress = Progress(len(NAMES) * options.rounds * sum(len(self.levels(s)) for s in self.scenarios))

    def levels(self, scenario: Scenario) -> list[int]:
        """How many connections: those asked for that suit the scenario, or the nearest that does."""
        most = max(scenario.connections)
        return sorted({min(level, most) for level in self.options.connections or scenario.connections})

    async def run(self) -> Results:
        scratch, results = self.scratch, self.results
        self.progress.say("counting statements")
        results.statements = await count_statements(scratch, self.scenarios, self.folder)
        async with serve_all(scratch.url, scratch.secret, self.folder) as servers:
            await compare_answers(scratch, servers)
            await asyncio.sleep(1)
            results.idle = {name: mib(server.pid) for name, server in servers.items()}
            await self.warm_up(servers)
            for scenario in self.scenarios:
                await self.measure(scenario, servers)
            results.peak = {name: mib(server.pid, "VmHWM") for name, server in servers.items()}
            if self.options.overload:
                await self.overload(servers)
        self.progress.clear()
        return results

    async def warm_up(self, servers: dict[str, Server]) -> None:
        path = self.write_requests(SCENARIOS["me"])
        for server in servers.values():
            self.progress.say(f"warming up {server.name}")
            await load(server, self.order(server, path, 16, WARM_UP))

    async def measure(self, scenario: Scenario, servers: dict[str, Server]) -> None:
        path = self.write_requests(scenario)
        for connections in self.levels(scenario):
            for number in range(self.options.rounds):
                for server in servers.values():
                    self.progress.step(f"{scenario.name}, {connections} connections, round {number + 1}, {server.name}")
                    patience = scenario.patience if connections == MANY else 0
                    order = self.order(
                        server,
                        path,
                        connections,
                        seconds=max(self.options.seconds, 2 * patience),
                        warm_up=max(BREAK_IN, patience),
                    )
                    self.results.runs.append(await measure(server, scenario.name, order))
            if scenario.writes:
                await tidy(self.scratch.url)

    async def overload(self, servers: dict[str, Server]) -> None:
        path = self.write_requests(SCENARIOS["list"])
        for server in servers.values():
            self.progress.say(f"overload, {server.name}")
            order = self.order(server, path, MANY, self.options.overload)
            self.results.overload.append(await overload(server, order))

    def write_requests(self, scenario: Scenario) -> Path:
        path = self.folder / f"{scenario.name}.json"
        path.write_text(json.dumps(scenario.requests(self.scratch.tokens, seed=1)))
        return path

    def order(
        self, server: Server, requests: Path, connections: int, seconds: float, warm_up: float = BREAK_IN
    ) -> Order:
        return Order(
            port=server.port,
            requests=str(requests),
            connections=connections,
            warm_up=warm_up,
            seconds=seconds,
            pid=server.pid,
            database=self.scratch.name,
        )
