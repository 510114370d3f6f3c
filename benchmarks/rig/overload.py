"""What a server does with twice as many requests as it can answer."""

from dataclasses import replace
from typing import Any

from rig.order import Order
from rig.processes import mib, reset_peak
from rig.runs import load, measure, percentile
from rig.servers import Server

FACTOR = 2
PEAK_SECONDS = 3
SWELL_SECONDS = 2
# Both the client and the servers are usually allowed 1 024 open files.
CONNECTIONS = 800


async def overload(server: Server, order: Order) -> dict[str, Any]:
    """The peak is measured first, with the order's own connections; then the load comes at twice its rate."""
    peak = (await measure(server, "overload", replace(order, seconds=PEAK_SECONDS))).rate
    before = mib(server.pid)
    reset_peak(server.pid)
    storm = replace(order, connections=CONNECTIONS, warm_up=SWELL_SECONDS, rate=FACTOR * peak)
    tally = await load(server, storm)
    return {
        "server": server.name,
        "peak req/s": round(peak),
        "offered req/s": round(FACTOR * peak),
        "goodput / peak": round(len(tally.latencies) / tally.seconds / peak, 2),
        "p50 ms": round(percentile(tally.latencies, 50)),
        "p99 ms": round(percentile(tally.latencies, 99)),
        "memory +MiB": round(mib(server.pid, "VmHWM") - before, 1),
        "answers": ", ".join(f"{what}: {count:,}" for what, count in sorted(tally.outcomes.items())),
    }
