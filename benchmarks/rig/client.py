"""The load generator, a process of its own: raw sockets, prepared requests, and little else, so that it costs little.

It reads an `Order` as JSON from its standard input and prints a `Tally`. `rig/runs.py` starts it.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from rig.closed import Load
from rig.order import Order, Tally
from rig.storm import Storm


async def run(order: Order) -> Tally:
    return await (Load(order) if order.rate is None else Storm(order)).run()


if __name__ == "__main__":
    tally = uvloop.run(run(Order(**json.load(sys.stdin))))
    tally.latencies = [round(seconds * 1000, 3) for seconds in tally.latencies]
    json.dump(asdict(tally), sys.stdout)
