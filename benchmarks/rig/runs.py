"""One measurement: the load generator against one server, and what that tells."""

import json
import statistics
import sys
from asyncio.subprocess import PIPE
from dataclasses import asdict, dataclass
from pathlib import Path

from rig.order import Order, Tally
from rig.processes import child
from rig.servers import Server

CLIENT = Path(__file__).with_name("client.py")


@dataclass(frozen=True, slots=True)
class Run:
    """CPU and latencies in milliseconds, CPU for each request; memory in MiB."""

    scenario: str
    connections: int
    server: str
    rate: float
    p50: float
    p99: float
    server_cpu: float
    postgres_cpu: float | None
    client_share: float
    rss: float


async def load(server: Server, order: Order) -> Tally:
    async with child(sys.executable, CLIENT, stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        output, errors = await process.communicate(json.dumps(asdict(order)).encode())
    if process.returncode != 0:
        raise SystemExit(f"the load generator failed at {server.name}:\n{errors.decode()}\n{server.last_words()}")
    return Tally(**json.loads(output))


async def measure(server: Server, scenario: str, order: Order) -> Run:
    """Raises SystemExit if anything but success came back: errors are quick, and would look like speed."""
    tally = await load(server, order)
    if tally.fault is not None or len(tally.latencies) < 2:
        reason = tally.fault or "hardly anything was answered"
        raise SystemExit(f"{scenario} fails at {server.name}: {reason}\n{server.last_words()}")
    count = len(tally.latencies)
    return Run(
        scenario=scenario,
        connections=order.connections,
        server=server.name,
        rate=round(count / tally.seconds, 3),
        p50=round(percentile(tally.latencies, 50), 3),
        p99=round(percentile(tally.latencies, 99), 3),
        server_cpu=round(tally.server_cpu * 1000 / count, 3),
        postgres_cpu=None if tally.postgres_cpu is None else round(tally.postgres_cpu * 1000 / count, 3),
        client_share=round(tally.client_cpu / tally.seconds, 3),
        rss=round(tally.rss, 3),
    )


def percentile(values: list[float], percent: int) -> float:
    if len(values) < 2:
        return values[0] if values else 0.0
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
