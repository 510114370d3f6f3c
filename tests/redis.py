"""Redis for tests: the shared one where there is one, and servers of a test's own that it may stop."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

REDIS_URL = os.environ.get("STRATA_TEST_REDIS_URL", "redis://127.0.0.1:6379/15")


def answers(url: str) -> bool:
    with Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
        try:
            return bool(client.ping())
        except AuthenticationError:
            return True
        except RedisError:
            return False


def need_redis() -> str:
    """The address of a Redis; without one the test is skipped, but not in CI."""
    if not answers(REDIS_URL):
        assert os.environ.get("CI") != "true", f"CI must have Redis: {REDIS_URL} does not answer"
        pytest.skip(f"no Redis at {REDIS_URL}")
    return REDIS_URL


@contextmanager
def own_redis(folder: Path, port: int | None = None, *options: str) -> Iterator[str]:
    """A Redis of this test's own, stopped at the end."""
    port = port or free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *options]
    try:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    except FileNotFoundError:
        assert os.environ.get("CI") != "true", "CI must have redis-server"
        pytest.skip("redis-server is not installed")
    url = f"redis://127.0.0.1:{port}/0"
    try:
        while not answers(url):
            assert process.poll() is None, "redis-server did not start"
        yield url
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
