"""The load generator, a process of its own: raw sockets, prepared requests, and little else, so that it costs little.

It reads an `Order` as JSON from its standard input and prints a `Tally`. Run by `rig.load`.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any, cast

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from rig.processes import backend_seconds, cpu_seconds, mib, spent

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length: "
TICK = 0.002


@dataclass(frozen=True, slots=True)
class Order:
    """With a rate, requests leave on time whether or not earlier ones are answered, on as many connections as it takes
    but no more than `connections`; without one, each connection sends when its last request is answered."""

    port: int
    requests: str
    connections: int
    warm_up: float
    seconds: float
    pid: int
    database: str
    rate: float | None = None
    patience: float = 10


@dataclass(slots=True)
class Tally:
    """What was answered while it counted. CPU is in seconds, latencies in milliseconds."""

    seconds: float = 0
    statuses: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    server_cpu: float = 0
    postgres_cpu: float | None = None
    client_cpu: float = 0
    rss: float = 0
    fault: str | None = None


class Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, load: "Load") -> None:
        self.load = load
        self.received = b""
        self.expected = 0
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is of no such class
        self.load.opened(self)

    def send(self, due: float) -> None:
        self.due = due
        self.transport.write(next(self.load.requests))

    def data_received(self, data: bytes) -> None:
        if self.received:
            data = self.received + data
        if not self.expected:
            end = data.find(HEAD_END)
            if end < 0:
                self.received = data
                return
            head = data[:end].lower()
            at = head.find(LENGTH)
            if at < 0:
                self.load.fail(f"an answer without Content-Length: {head.decode()}")
                return
            line_end = head.find(b"\r", at)
            self.expected = end + 4 + int(head[at + len(LENGTH) : line_end if line_end > 0 else end])
        if len(data) < self.expected:
            self.received = data
            return
        self.received, self.expected = b"", 0
        self.load.answered(self, data)

    def connection_lost(self, _: Exception | None) -> None:
        self.load.closed(self)


class Load:
    """As many requests as so many connections get answered."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(self.stumble)
        prepared = [text.encode() for text in json.loads(Path(order.requests).read_text())]
        self.requests: Iterator[bytes] = islice(cycle(prepared), random.randrange(len(prepared)), None)
        self.tally = Tally()
        self.counts = self.ended = False

    async def run(self) -> Tally:
        connections = [self.connect() for _ in range(self.order.connections)]
        await asyncio.gather(*connections)
        await asyncio.sleep(self.order.warm_up)
        await self.measure()
        return self.tally

    async def measure(self) -> None:
        order, tally = self.order, self.tally
        backends = backend_seconds(order.database)
        server, client, began = cpu_seconds(order.pid), time.process_time(), time.perf_counter()
        self.counts = True
        await asyncio.sleep(order.seconds)
        self.counts = False
        tally.seconds = time.perf_counter() - began
        tally.client_cpu = time.process_time() - client
        tally.server_cpu = cpu_seconds(order.pid) - server
        tally.postgres_cpu = spent(backends, backend_seconds(order.database)) if backends else None
        tally.rss = mib(order.pid)
        self.ended = True

    async def connect(self) -> None:
        await self.loop.create_connection(lambda: Connection(self), "127.0.0.1", self.order.port)

    def opened(self, connection: Connection) -> None:
        connection.send(time.perf_counter())

    def answered(self, connection: Connection, data: bytes) -> None:
        now = time.perf_counter()
        status = data[9:12]
        if status[:1] != b"2":
            self.fail(data.decode(errors="replace"))
        if self.counts:
            self.tally.latencies.append(now - connection.due)
        if not self.ended:
            connection.send(now)

    def closed(self, _: Connection) -> None:
        if not self.ended:
            self.fail("the server closed a connection")

    def stumble(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What a callback raises would only be logged."""
        self.fail(repr(context.get("exception", context["message"])))

    def fail(self, why: str) -> None:
        """Only what succeeds is worth measuring."""
        self.tally.fault = self.tally.fault or why


class Storm(Load):
    """So many requests a second, however many are answered."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self.idle: list[Connection] = []
        self.waiting: dict[Connection, None] = {}  # the longest first
        self.due: deque[float] = deque()
        self.opening = 0
        self.tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> Tally:
        blowing = asyncio.create_task(self.blow())
        await asyncio.sleep(self.order.warm_up)
        await self.measure()
        await blowing
        return self.tally

    async def blow(self) -> None:
        assert self.order.rate is not None
        began, sent = time.perf_counter(), 0
        while not self.ended:
            await asyncio.sleep(TICK)
            now = time.perf_counter()
            for number in range(sent, int((now - began) * self.order.rate)):
                self.dispatch(began + number / self.order.rate)
            sent = max(sent, int((now - began) * self.order.rate))
            self.give_up(now)

    def dispatch(self, due: float) -> None:
        if self.idle:
            self.start(self.idle.pop(), due)
        elif len(self.waiting) + self.opening < self.order.connections:
            self.opening += 1
            self.due.append(due)
            task = self.loop.create_task(self.try_to_connect())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        else:
            self.count("no connection left")

    async def try_to_connect(self) -> None:
        try:
            await self.connect()
        except OSError:
            self.opening -= 1
            self.due.popleft()
            self.count("no connection")

    def opened(self, connection: Connection) -> None:
        self.opening -= 1
        self.start(connection, self.due.popleft())

    def start(self, connection: Connection, due: float) -> None:
        self.waiting[connection] = None
        connection.send(due)

    def answered(self, connection: Connection, data: bytes) -> None:
        self.waiting.pop(connection, None)
        self.idle.append(connection)
        status = data[9:12].decode()
        if self.counts and status[0] == "2":
            self.tally.latencies.append(time.perf_counter() - connection.due)
        has_advice = b"retry-after:" in data[: data.find(HEAD_END)].lower()
        self.count(f"{status} with Retry-After" if has_advice else status)

    def closed(self, connection: Connection) -> None:
        if connection in self.waiting:
            del self.waiting[connection]
            self.count("closed without an answer")
        elif connection in self.idle:
            self.idle.remove(connection)

    def give_up(self, now: float) -> None:
        while self.waiting and now - (connection := next(iter(self.waiting))).due > self.order.patience:
            del self.waiting[connection]
            connection.transport.abort()
            self.count("no answer in time")

    def count(self, outcome: str) -> None:
        if self.counts:
            self.tally.statuses[outcome] += 1


async def run(order: Order) -> Tally:
    return await (Load(order) if order.rate is None else Storm(order)).run()


if __name__ == "__main__":
    tally = uvloop.run(run(Order(**json.load(sys.stdin))))
    tally.latencies = [round(seconds * 1000, 3) for seconds in tally.latencies]
    json.dump(asdict(tally), sys.stdout)
