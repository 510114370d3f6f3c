"""What is used of asyncpg beyond its public interface: where this fails, look at `app/core/db/liveness/connection.py`.

The ceiling in pyproject.toml keeps other versions away. Raise it when these pass and, with the new version and
PostgreSQL, tests/core/test_driver.py, tests/e2e/test_silent_connections.py and tests/e2e/test_cut_connections.py do.
"""

import inspect

import pytest
from asyncpg import Connection
from asyncpg.connect_utils import _cancel
from asyncpg.protocol.protocol import BaseProtocol


@pytest.mark.parametrize("name", ["_aborted", "_addr", "_loop", "_params", "_protocol", "_transport"])
def test_a_connection_has_what_is_read_of_it(name: str) -> None:
    assert name in Connection.__slots__


@pytest.mark.parametrize("name", ["backend_pid", "backend_secret", "is_connected"])
def test_its_protocol_has_what_is_read_of_it(name: str) -> None:
    assert hasattr(BaseProtocol, name)


def test_it_is_closed_when_it_was_aborted_or_its_protocol_has_ended() -> None:
    source = inspect.getsource(Connection.is_closed)
    assert "return self._aborted or not self._protocol.is_connected()" in source


def test_a_statement_is_cancelled_by_the_method_that_is_overridden() -> None:
    assert list(inspect.signature(Connection._cancel_current_command).parameters) == ["self", "waiter", "cancel_waiter"]


def test_a_cancel_request_takes_what_it_took() -> None:
    assert list(inspect.signature(_cancel).parameters) == ["loop", "addr", "params", "backend_pid", "backend_secret"]
