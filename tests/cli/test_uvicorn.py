"""What is used of uvicorn beyond its public interface: where this fails, look at the module that is named.

The ceiling in pyproject.toml keeps other versions away. Raise it when these pass and, with the new version,
tests/cli/test_http_protocol.py, test_http_versions.py, test_slow_clients.py and test_shutdown.py do.
"""

import inspect
import tomllib
from pathlib import Path
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import Server, ServerState
from uvicorn.supervisors import Multiprocess, multiprocess

# What `app/cli/http_protocol.py`, `transports.py` and `server.py` override or call: the parameters after `self`.
SIGNATURES: dict[Any, list[str]] = {
    HttpToolsProtocol.__init__: ["config", "server_state", "app_state", "_loop"],
    HttpToolsProtocol._unset_keepalive_if_required: [],
    HttpToolsProtocol._start_asgi_task: ["cycle", "app"],
    HttpToolsProtocol.on_headers_complete: [],
    HttpToolsProtocol.on_body: ["body"],
    HttpToolsProtocol.on_message_complete: [],
    HttpToolsProtocol.on_response_complete: [],
    HttpToolsProtocol.shutdown: [],
    Server.on_tick: ["counter"],
    Server.shutdown: ["sockets"],
    Server.handle_exit: ["sig", "frame"],
    multiprocess.Process.is_ready: ["timeout"],
    Multiprocess.terminate_all: [],
}
# Where these words stand no more something else decides what we rely on.
RELIANCES: dict[Any, list[str]] = {
    HttpToolsProtocol.data_received: ["self._unset_keepalive_if_required()", "self.parser.feed_data(data)"],
    HttpToolsProtocol.on_message_begin: ["self.scope = {", "self.headers = []"],
    HttpToolsProtocol.on_headers_complete: ["self._start_asgi_task(self.cycle, app)", "scope=self.scope"],
    RequestResponseCycle.send: ["self.default_headers + ", "self.chunked_encoding is None", "self.transport.close()"],
    RequestResponseCycle.receive: ["self.waiting_for_100_continue"],
    Server.shutdown: ["server.close()", "connection.shutdown()"],
    Server.capture_signals: ["signal.signal(sig, self.handle_exit)"],
    multiprocess.Process.target: ["self.server.run(sockets)"],
    Multiprocess.init_processes: ["Process(self.config, self.sockets)"],
    Multiprocess.keep_subprocess_alive: ["Process(self.config, self.sockets)"],
    Multiprocess.run: ["self.terminate_all()"],
}


@pytest.mark.parametrize("method", SIGNATURES, ids=lambda method: method.__qualname__)
def test_what_is_overridden_and_called_takes_what_it_took(method: Any) -> None:
    assert list(inspect.signature(method).parameters)[1:] == SIGNATURES[method]


@pytest.mark.parametrize("method", RELIANCES, ids=lambda method: method.__qualname__)
def test_what_is_relied_on_is_done_as_it_was(method: Any) -> None:
    source = inspect.getsource(method)
    assert [words for words in RELIANCES[method] if words not in source] == []


def test_the_state_that_connections_share_is_where_it_was() -> None:
    state = ServerState()
    assert (state.connections, state.default_headers) == (set(), [])


def test_a_version_that_nobody_has_looked_at_is_not_installed() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    (uvicorn,) = [each for each in project["dependencies"] if each.startswith("uvicorn")]
    assert uvicorn == "uvicorn[standard]>=0.54,<0.55"
