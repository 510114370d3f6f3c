"""The access log: JSON lines are formatted here and written in batches by a thread."""

import atexit
import logging
import os
import select
import threading
import time
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring_ascii as quoted
from typing import TextIO

import structlog

NAME = "strata.access"
INTERVAL = 0.05
# About 3 MiB of typical lines; if more are pending, stderr is not being read.
MAX_WAITING = 10_000

log = structlog.get_logger(NAME)


class AccessLog:
    """A singleton, as the logging configuration is; without a stream, lines go to structlog."""

    def __init__(self) -> None:
        self.stream: TextIO | None = None
        self.logger = logging.getLogger(NAME)
        self.lines: list[str] = []
        self.dropped = 0
        self.second = 0
        self.formatted_second = ""
        self.thread: threading.Thread | None = None
        self.is_awake = False
        self.due = threading.Event()
        self.hurry = threading.Event()
        self.done = threading.Event()

    def open(self, stream: TextIO | None) -> None:
        """Write to the stream from now on; with None, log through structlog."""
        self.flush()
        self.stream = stream

    def record(self, level: int, method: str, path: str, status: int, ms: float, request_id: str) -> None:
        if not self.logger.isEnabledFor(level):
            return
        if self.stream is None:
            log.log(level, "request", method=method, path=path, status=status, ms=ms)
        elif len(self.lines) >= MAX_WAITING:
            self.dropped += 1
        else:
            self.lines.append(
                f'{{"method": {quoted(method)}, "path": {quoted(path)}, "status": {status}, "ms": {ms}, '
                f'"request_id": {quoted(request_id)}, "level": "{"debug" if level == logging.DEBUG else "info"}", '
                f'"logger": "{NAME}", "timestamp": "{self.timestamp()}", "message": "request"}}\n'
            )
            if not self.is_awake:
                self.wake()

    def timestamp(self) -> str:
        now = time.time()
        second = int(now)
        if second != self.second:
            self.second, self.formatted_second = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self.formatted_second}.{int((now - second) * 1_000_000):06}Z"

    def wake(self) -> None:
        self.is_awake = True
        if self.thread is None or not self.thread.is_alive():
            self.thread = threading.Thread(target=self.run, name="access log", daemon=True)
            self.thread.start()
            atexit.register(self.flush)
        self.due.set()

    def run(self) -> None:
        while True:
            self.due.wait()
            self.hurry.wait(INTERVAL)
            self.due.clear()
            self.hurry.clear()
            # Cleared before the lines are taken: a line in between causes one needless wake-up instead of a lost one.
            self.is_awake = False
            self.write_lines()
            if not self.lines:
                self.done.set()

    def flush(self, patience: float = 1) -> None:
        """Wait until all lines are written, at most `patience` seconds."""
        if self.thread is not None and self.thread.is_alive():
            self.done.clear()
            self.hurry.set()
            self.due.set()
            self.done.wait(patience)

    def write_lines(self) -> None:
        lines, self.lines = self.lines, []
        dropped, self.dropped = self.dropped, 0
        try:
            for piece in pieces(lines):
                put(self.stream, piece)
        except (OSError, ValueError):
            pass  # the stream is closed, and there is no other place to report it
        if dropped:
            log.warning("access log lines dropped: stderr is not read fast enough", count=dropped)


def pieces(lines: Iterable[str]) -> Iterator[str]:
    """Chunks of at most PIPE_BUF bytes, which pipes write atomically: lines of several processes do not mix."""
    piece: list[str] = []
    size = 0
    for line in lines:
        if piece and size + len(line) > select.PIPE_BUF:
            yield "".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        yield "".join(piece)


def put(stream: TextIO | None, text: str) -> None:
    """Bypass Python's buffers, whose locks would be held while nobody reads."""
    if stream is None:
        return
    try:
        target = stream.fileno()
    except (AttributeError, OSError):  # not a file: a test's stream
        stream.write(text)
        return
    waiting = text.encode("ascii")
    while waiting:
        waiting = waiting[os.write(target, waiting) :]


access_log = AccessLog()
