"""uvicorn's server and its supervisor, which answer everybody who could connect before they end."""

import asyncio
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.supervisors import ChangeReload, Multiprocess, multiprocess

from app.cli.http_protocol import BoundedProtocol
from app.cli.syn_filter import refuse_new_connections, waits_for_accept

if TYPE_CHECKING:
    from collections.abc import Sequence

# In ticks of uvicorn's, a tenth of a second each: how often it is looked for clients that are too slow.
LOOK_TICKS = 10
# What is on its way when the port closes: the end of a handshake, and the next request of who has just been answered.
HANDSHAKE_SECONDS = 0.3
# For the queue of those who wait to be accepted, where others may still join it.
QUEUE_SECONDS = 3
# How long a worker that is starting is waited for, where none is there to answer those who wait.
START_SECONDS = 10


class Server(uvicorn.Server):
    """Cuts slow clients, and takes the queue of its port along when it ends.

    Where the kernel can, nobody new gets into that queue meanwhile: their SYN is not answered until the port is
    closed, and then refused.
    """

    def __init__(
        self, config: uvicorn.Config, *, owns_port: bool, handshake_seconds: float = HANDSHAKE_SECONDS
    ) -> None:
        """`owns_port`: nobody else is going to serve on it."""
        super().__init__(config)
        self.owns_port = owns_port
        self.handshake_seconds = handshake_seconds

    async def on_tick(self, counter: int) -> bool:
        if counter % LOOK_TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                assert isinstance(connection, BoundedProtocol)
                connection.cut_if_slow(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: "list[socket.socket] | None" = None) -> None:
        self.announce_end()
        await self.accept_the_rest(sockets or [])
        await super().shutdown(sockets)

    def announce_end(self) -> None:
        """`Connection: close` on every answer from now on: who reads it asks somewhere else next."""
        headers = [*self.server_state.default_headers, (b"connection", b"close")]
        self.server_state.default_headers = headers
        for connection in self.server_state.connections:
            assert isinstance(connection, BoundedProtocol)
            if (cycle := connection.newest()) is not None:
                cycle.default_headers = headers

    async def accept_the_rest(self, sockets: "Sequence[socket.socket]") -> None:
        # Ctrl+C goes to all processes of a terminal, so that no worker stays.
        if self.owns_port or signal.SIGINT in self._captured_signals:
            refuse_new_connections(sockets)
        with suppress(TimeoutError):
            async with asyncio.timeout(QUEUE_SECONDS):
                await asyncio.sleep(self.handshake_seconds)
                while waits_for_accept(sockets):  # noqa: ASYNC110 - the event loop accepts meanwhile, and tells nobody
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.01)  # the event loop tells the protocol of who came last


class Worker(multiprocess.Process):
    def start(self) -> None:
        super().start()
        # The supervisor's copy of the worker's end: without it a worker that dies while it is asked whether it lives
        # ends the asking at once, and is replaced then.
        self.child_conn.close()

    @property
    def server(self) -> Server:
        if self._server is None:
            self._server = Server(self.config, owns_port=False)
        assert isinstance(self._server, Server)
        return self._server


class Supervisor(Multiprocess):
    """Closes the port for all of its workers before it ends them."""

    def terminate_all(self) -> None:
        self.wait_for_one()
        refuse_new_connections(self.sockets)
        for listener in self.sockets:
            listener.close()
        super().terminate_all()

    def wait_for_one(self) -> None:
        """Somebody must be there for those who wait in the queue; one that is still starting would just be gone."""
        for _ in range(START_SECONDS * 10):
            alive = [process for process in self.processes if process.process.is_alive()]
            if not alive or any(process.is_ready(0.1) for process in alive):
                return


def ready_to_run(config: uvicorn.Config, sockets: "list[socket.socket]") -> Callable[[], bool]:
    """What serves until a signal ends it, and says whether it could start; signals are heeded from here on.

    Those who wait in the queue by then are answered, though the start has first to come to its end. The function
    raises KeyboardInterrupt where Ctrl+C has ended it.
    """
    if config.should_reload:
        return always(ChangeReload(config, target=Server(config, owns_port=False).run, sockets=sockets).run)
    if config.workers > 1:
        multiprocess.Process = Worker  # type: ignore[misc] # what Multiprocess makes them of, in three places
        return always(Supervisor(config, sockets).run)
    server = Server(config, owns_port=True)
    signal.signal(signal.SIGTERM, server.handle_exit)

    def run() -> bool:
        server.run(sockets)
        return server.started

    return run


def always(run: Callable[[], None]) -> Callable[[], bool]:
    """True at its end: how its workers fare it tells itself."""

    def run_and_report() -> bool:
        run()
        return True

    return run_and_report
