"""One measurement: the load generator against one server, and what that tells."""

import asyncio
import json
import statistics
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from rig.client import Order, Tally
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
    process = await asyncio.create_subprocess_exec(
        sys.executable, CLIENT, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
    )
    try:
        output, errors = await process.communicate(json.dumps(asdict(order)).encode())
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise SystemExit(f"the load generator failed at {server.name}:\n{errors.decode()}\n{server.last_words()}")
    found = json.loads(output)
    return Tally(**{**found, "statuses": Counter(found["statuses"])})


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
        rate=count / tally.seconds,
        p50=percentile(tally.latencies, 50),
        p99=percentile(tally.latencies, 99),
        server_cpu=tally.server_cpu * 1000 / count,
        postgres_cpu=None if tally.postgres_cpu is None else tally.postgres_cpu * 1000 / count,
        client_share=tally.client_cpu / tally.seconds,
        rss=tally.rss,
    )


def percentile(values: list[float], percent: int) -> float:
    if len(values) < 2:
        return values[0] if values else 0.0
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
