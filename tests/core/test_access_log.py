"""The access log: lines as JSON in batches, none of which keeps a request waiting."""

import io
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from app.core.observability import access_log as module
from app.core.observability.access_log import MAX_WAITING, AccessLog, pieces

INFO, DEBUG = 20, 10


@pytest.fixture
def log() -> Iterator[AccessLog]:
    log = AccessLog()
    log.logger.setLevel(DEBUG)
    yield log
    log.logger.setLevel(0)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_lines_are_those_that_structlog_would_write(log: AccessLog) -> None:
    stream = io.StringIO()
    log.open(stream)
    log.record(INFO, "GET", "/x", 200, 1.5, "r-1")
    log.record(DEBUG, 'G"ET', '/\\"\u2028é\n', 499, 0.0, "r-2")
    log.flush()
    first, second = lines(stream)
    assert list(first) == ["method", "path", "status", "ms", "request_id", "level", "logger", "timestamp", "message"]
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "method": "GET",
        "path": "/x",
        "status": 200,
        "ms": 1.5,
        "request_id": "r-1",
        "level": "info",
        "logger": "strata.access",
        "message": "request",
    }
    assert (second["method"], second["path"], second["level"]) == ('G"ET', '/\\"\u2028é\n', "debug")


def test_lines_are_written_without_being_asked_for(log: AccessLog) -> None:
    written = threading.Event()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            written.set()
            return super().write(text)

    log.open(Stream())
    log.record(INFO, "GET", "/x", 200, 1.5, "r-1")
    assert written.wait(5)


def test_another_stream_gets_only_what_comes_later(log: AccessLog) -> None:
    before, after = io.StringIO(), io.StringIO()
    log.open(before)
    log.record(INFO, "GET", "/before", 200, 1.5, "r-1")
    log.open(after)
    log.record(INFO, "GET", "/after", 200, 1.5, "r-2")
    log.flush()
    assert [line["path"] for line in lines(before)] == ["/before"]
    assert [line["path"] for line in lines(after)] == ["/after"]


def test_a_reader_that_has_stopped_costs_lines_and_not_time(log: AccessLog, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(module, "log", SimpleNamespace(warning=lambda _, **more: told.append(more)))
    source, target = os.pipe()
    with os.fdopen(source) as reader, os.fdopen(target, "w") as stream:
        log.open(stream)
        for _ in range(3):  # until the pipe is full, and with it what may wait
            for number in range(MAX_WAITING):
                log.record(INFO, "GET", f"/{number}", 200, 1.5, "r-1")
            log.flush(0.2)
        assert len(log.lines) == MAX_WAITING
        dropped = log.dropped
        assert dropped > 0
        read = threading.Thread(target=lambda: told.append({"lines": sum(1 for _ in reader)}))
        read.start()
        log.flush(10)
        stream.close()
        read.join()
    assert {"count": dropped} in told
    assert {"lines": 3 * MAX_WAITING - dropped} in told


def test_a_closed_stream_is_no_error(log: AccessLog) -> None:
    stream = io.StringIO()
    log.open(stream)
    stream.close()
    log.record(INFO, "GET", "/x", 200, 1.5, "r-1")
    log.flush()
    log.open(None)


def test_what_is_written_at_once_is_whole_lines_that_fit_a_pipe() -> None:
    given = ["x" * size + "\n" for size in (100, 4000, 90, 5000, 1, 4096, 2)]
    found = list(pieces(given))
    assert "".join(found) == "".join(given)
    assert all(piece.endswith("\n") for piece in found)
    assert all(len(piece) <= select.PIPE_BUF for piece in found if piece.count("\n") > 1)
    assert len(found) < len(given)


def test_the_last_lines_are_out_when_the_interpreter_ends() -> None:
    code = (
        "import sys, logging; from app.core.observability.access_log import access_log as log; log.logger.setLevel(20);"
        "log.open(sys.stderr); [log.record(20, 'GET', f'/{n}', 200, 1.0, 'r') for n in range(500)]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [json.loads(line)["path"] for line in done.stderr.splitlines()] == [f"/{number}" for number in range(500)]
