"""Load that comes at a rate, whether or not the server keeps up."""

import asyncio
import time
from collections import deque

from rig.closed import HEAD_END, Connection, Load
from rig.order import Order, Tally

TICK = 0.002


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
        self.tally.outcomes["no answer yet"] = len(self.waiting)
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
            self.count("not sent: all connections wait")

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
            self.tally.outcomes[outcome] = self.tally.outcomes.get(outcome, 0) + 1
