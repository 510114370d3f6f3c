"""How many SQL statements and round trips a request takes, counted by a proxy in front of PostgreSQL.

A separate pass, on servers of its own: nobody would believe latencies measured through a proxy.
"""

from pathlib import Path
from urllib.parse import urlsplit

from rig.database import Scratch, tidy
from rig.scenarios import Scenario
from rig.servers import Server, serve_all
from rig.wire import Counts, ask_all, counting_proxy

PREPARING = 5
COUNTED = 20

type Statements = dict[str, dict[str, tuple[float, float]]]


async def count_statements(scratch: Scratch, scenarios: list[Scenario], folder: Path) -> Statements:
    """Of each scenario and server. Nothing where there is no port to stand before, or nothing to read on the way."""
    parts = urlsplit(scratch.url)
    if parts.hostname is None or "ssl" in parts.query:
        return {}
    async with counting_proxy(parts.hostname, parts.port or 5432) as (port, counts):
        user, at, _ = parts.netloc.rpartition("@")
        url = parts._replace(netloc=f"{user}{at}127.0.0.1:{port}").geturl()
        async with serve_all(url, scratch.secret, folder) as servers:
            found = {
                scenario.name: {
                    name: await count(server, scenario, scratch.tokens, counts) for name, server in servers.items()
                }
                for scenario in scenarios
            }
    await tidy(scratch.url)
    return found


async def count(server: Server, scenario: Scenario, tokens: list[str], counts: Counts) -> tuple[float, float]:
    """On one connection, after a few that connect and prepare."""
    requests = scenario.requests(tokens, seed=1)
    await succeed(server, scenario, requests[:PREPARING])
    before = counts.copy()
    await succeed(server, scenario, requests[PREPARING : PREPARING + COUNTED])
    statements, trips = counts.statements - before.statements, counts.round_trips - before.round_trips
    return round(statements / COUNTED, 1), round(trips / COUNTED, 1)


async def succeed(server: Server, scenario: Scenario, requests: list[str]) -> None:
    if fault := await ask_all(server.port, requests):
        raise SystemExit(f"{scenario.name} fails at {server.name}: {fault}\n{server.last_words()}")
