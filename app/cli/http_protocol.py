"""uvicorn's protocol for HTTP/1.1, with a bound on what its parser gathers before it can tell what it has got."""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.api.head_limit import MALFORMED, MAX_BYTES, TOO_LARGE
from app.api.server_scope import ABORT, BOUNDED, REFUSED

# The application runs one of a connection's requests at a time; so many more wait for it.
MAX_PIPELINED = 100
# A connection that is closed while its client sends is reset, and the client may never see the answer.
LINGER_SECONDS = 2


class BoundedProtocol(HttpToolsProtocol):
    """Counts what is neither a finished head nor body before the parser gets it: heads, trailers, chunk extensions.

    The parser puts each piece of a header at the end of what it has, which takes longer and longer; nothing of this
    reaches the application, whose own limit (`HeadLimit`) looks at heads that are finished. That one also answers here.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.unfinished = 0
        self.is_refused = False

    def data_received(self, data: bytes) -> None:
        self.unfinished += len(data)
        if self.unfinished <= MAX_BYTES and not self.is_refused:
            super().data_received(data)
        else:
            self.unfinished -= len(data)
            self.receive_in_pieces(data)

    def receive_in_pieces(self, data: bytes) -> None:
        """Each as long as there is room for; a part of a body that ends in it makes room again."""
        while data and not self.is_refused and not self.transport.is_closing():
            room = MAX_BYTES - self.unfinished
            if not room:
                self.refuse(TOO_LARGE)
                return
            piece, data = data[:room], data[room:]
            self.unfinished += len(piece)
            super().data_received(piece)

    def on_headers_complete(self) -> None:
        self.unfinished = 0
        if len(self.pipeline) >= MAX_PIPELINED:
            raise RuntimeError("too many requests at once")  # the parser stops, and the request is refused
        # A copy: what follows the body is no header of the request (RFC 9110 section 6.5.1).
        self.scope["headers"] = self.headers.copy()
        self.scope[ABORT] = self.transport.abort  # type: ignore[literal-required] # a key of ours
        self.scope[BOUNDED] = True  # type: ignore[literal-required] # a key of ours
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.unfinished = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's, and always the same
        self.refuse(MALFORMED)

    def refuse(self, status: int) -> None:
        """Answer once those before it are answered, and read no more of what the client sends."""
        self.is_refused = True
        before, cycle = self.newest(), self.refusal(status)
        if before is not None and before.more_body:
            # It is the rest of that request which is refused.
            before.disconnected = True
            before.message_event.set()
            if before.response_started or self.pipeline:
                LingeringTransport(self).close()
                return
        elif before is not None and not before.response_complete:
            self.pipeline.appendleft((cycle, self.app))
            return
        self.cycle = cycle
        self._start_asgi_task(cycle, self.app)

    def newest(self) -> RequestResponseCycle | None:
        """None before the first request, whatever uvicorn's types say."""
        return self.cycle

    def refusal(self, status: int) -> RequestResponseCycle:
        scope: Any = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "method": self.parser.get_method().decode("ascii"),
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "headers": self.headers or [],
            "state": self.app_state.copy(),
            REFUSED: status,
        }
        return RequestResponseCycle(
            scope=scope,
            transport=LingeringTransport(self),
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )


class LingeringTransport(asyncio.Transport):
    """Closes only its own direction at first, and what still arrives is thrown away."""

    def __init__(self, protocol: BoundedProtocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.transport = protocol.transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.transport.write(data)

    def is_closing(self) -> bool:
        return self.transport.is_closing()

    def close(self) -> None:
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        self.protocol.flow.resume_reading()
        self.protocol.loop.call_later(LINGER_SECONDS, self.transport.close)
