"""uvicorn's server and supervisor with a graceful shutdown that serves every accepted or queued connection."""

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

# In uvicorn's ticks of a tenth of a second: how often slow clients are looked for.
LOOK_TICKS = 10
# Seconds for what is in flight when the port closes: handshakes, and next requests on open connections.
HANDSHAKE_SECONDS = 0.3
# Seconds to drain the accept queue while others may still join it.
QUEUE_SECONDS = 3
# Seconds to wait for a starting worker if no other can serve the queue.
START_SECONDS = 10


class Server(uvicorn.Server):
    """Aborts slow clients, and drains the accept queue at shutdown.

    Where the kernel supports it, nobody joins the queue meanwhile: a SYN is dropped until the port is closed, and
    refused then.
    """

    def __init__(
        self, config: uvicorn.Config, *, owns_port: bool, handshake_seconds: float = HANDSHAKE_SECONDS
    ) -> None:
        """`owns_port`: no other process serves on the port."""
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
        """Send `Connection: close` on every response from now on, so that clients go elsewhere."""
        headers = [*self.server_state.default_headers, (b"connection", b"close")]
        self.server_state.default_headers = headers
        for connection in self.server_state.connections:
            assert isinstance(connection, BoundedProtocol)
            if (cycle := connection.newest()) is not None:
                cycle.default_headers = headers

    async def accept_the_rest(self, sockets: "Sequence[socket.socket]") -> None:
        # Ctrl+C reaches all processes of a terminal, so no worker stays.
        if self.owns_port or signal.SIGINT in self._captured_signals:
            refuse_new_connections(sockets)
        with suppress(TimeoutError):
            async with asyncio.timeout(QUEUE_SECONDS):
                await asyncio.sleep(self.handshake_seconds)
                while waits_for_accept(sockets):  # noqa: ASYNC110 - the event loop accepts meanwhile, without an event to wait for
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.01)  # let the event loop create the protocol of the last connection


class Worker(multiprocess.Process):
    def start(self) -> None:
        super().start()
        # Close the supervisor's copy of the worker's pipe end: then a worker that dies during a health check ends the
        # check at once, and is replaced.
        self.child_conn.close()

    @property
    def server(self) -> Server:
        if self._server is None:
            self._server = Server(self.config, owns_port=False)
        assert isinstance(self._server, Server)
        return self._server


class Supervisor(Multiprocess):
    """Closes the port for all workers before it stops them."""

    def terminate_all(self) -> None:
        self.wait_for_one()
        refuse_new_connections(self.sockets)
        for listener in self.sockets:
            listener.close()
        super().terminate_all()

    def wait_for_one(self) -> None:
        """A running worker must drain the queue; a starting one would exit without serving."""
        for _ in range(START_SECONDS * 10):
            alive = [process for process in self.processes if process.process.is_alive()]
            if not alive or any(process.is_ready(0.1) for process in alive):
                return


def ready_to_run(config: uvicorn.Config, sockets: "list[socket.socket]") -> Callable[[], bool]:
    """A function that serves until a signal and returns whether the start succeeded; handles signals from here on.

    Connections queued by then are served after the start. The function raises KeyboardInterrupt after Ctrl+C.
    """
    if config.should_reload:
        return always(ChangeReload(config, target=Server(config, owns_port=False).run, sockets=sockets).run)
    if config.workers > 1:
        multiprocess.Process = Worker  # type: ignore[misc] # the class that Multiprocess instantiates, in three places
        return always(Supervisor(config, sockets).run)
    server = Server(config, owns_port=True)
    signal.signal(signal.SIGTERM, server.handle_exit)

    def run() -> bool:
        server.run(sockets)
        return server.started

    return run


def always(run: Callable[[], None]) -> Callable[[], bool]:
    """Returns True at the end: the supervisor reports on its workers itself."""

    def run_and_report() -> bool:
        run()
        return True

    return run_and_report
