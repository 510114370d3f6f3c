"""Log lines: JSON for machines, one phrase a request for people, and secrets in neither."""

import io
import json
import logging
import re
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from app.api.middleware import unhandled_errors
from app.core.config.settings import Settings
from app.core.observability import access_log
from app.core.observability.logging import QUIET, configure_logging
from tests.conftest import connected, running
from tests.factories import PASSWORD, Factory

SECRET_LOCAL = "only-in-a-local-variable"

type Configure = Callable[..., io.StringIO]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def fresh_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    # A logger keeps the configuration it was first used with; the access log's gets a fresh start.
    for module in (unhandled_errors, access_log):
        monkeypatch.setattr(module, "log", structlog.get_logger("strata.access"))
    # The tests' own client tells of its requests too.
    monkeypatch.setattr(logging.getLogger("httpx"), "disabled", True)


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Configure:
    def configured(stream: io.StringIO | None = None, **settings: object) -> io.StringIO:
        stream = stream or io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        configure_logging(Settings.model_validate({"environment": "test", **settings}))
        return stream

    return configured


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    access_log.access_log.flush()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail_with_a_secret() -> None:
    password = SECRET_LOCAL
    headers = {"Authorization": f"Bearer {password}"}
    raise RuntimeError(f"no {len(headers)}")


def test_a_json_line_says_when_what_and_where(configure: Configure) -> None:
    stream = configure()
    structlog.contextvars.bind_contextvars(request_id="r-1")
    structlog.get_logger("strata.test").info("it happened", count=3, text="Zeile\n„zwei“", nothing=None)
    (line,) = lines(stream)
    formatted_second = datetime.fromisoformat(line.pop("timestamp"))
    assert formatted_second.tzinfo is not None
    assert abs(datetime.now(UTC) - formatted_second) < timedelta(minutes=1)
    assert line == {
        "message": "it happened",
        "level": "info",
        "logger": "strata.test",
        "request_id": "r-1",
        "count": 3,
        "text": "Zeile\n„zwei“",
        "nothing": None,
    }


def test_the_standard_librarys_records_look_the_same(configure: Configure) -> None:
    stream = configure()
    structlog.contextvars.bind_contextvars(request_id="r-1")
    logging.getLogger("library").warning("%d of %s", 3, "five", extra={"size": 7})
    (line,) = lines(stream)
    assert (line["message"], line["level"], line["logger"]) == ("3 of five", "warning", "library")
    assert (line["request_id"], line["size"]) == ("r-1", 7)
    assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None


def test_what_json_does_not_know_is_still_one_valid_line(configure: Configure) -> None:
    stream = configure()
    structlog.get_logger().info("odd", at=datetime.now(UTC), kind=Settings, data=b"\xff", some={1, 2})
    (line,) = lines(stream)
    assert line["message"] == "odd"


@pytest.mark.parametrize("logger", [structlog.get_logger("strata.test"), logging.getLogger("library")], ids=repr)
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_an_exception_is_told_without_the_values_of_variables(
    configure: Configure, logger: Any, log_format: str
) -> None:
    stream = configure(Terminal() if log_format == "console" else None, log_format=log_format)
    try:
        fail_with_a_secret()
    except RuntimeError:
        logger.exception("unhandled error")
    text = stream.getvalue()
    assert "RuntimeError" in text
    assert "no 1" in text
    assert "fail_with_a_secret" in text
    assert SECRET_LOCAL not in text
    assert "locals" not in text
    if log_format == "json":
        (line,) = lines(stream)
        assert line["exception"][0]["exc_type"] == "RuntimeError"
        assert line["exception"][0]["frames"][-1]["name"] == "fail_with_a_secret"


async def test_a_failing_request_leaves_no_token_and_no_password_in_the_log(
    configure: Configure, real_settings: Settings
) -> None:
    async with running(real_settings) as (app, manager, services), connected(manager.app) as client:

        @app.get("/fail")
        async def fail() -> None:
            fail_with_a_secret()

        headers = await Factory(services).bearer(await Factory(services).user(username="alice"))
        stream = configure(data_dir=real_settings.data_dir)
        answer = await client.get("/fail", headers=headers | {"X-Request-ID": "r-fail"})
        await client.post("/api/v1/auth/login", data={"username": "alice", "password": PASSWORD})
        await client.post("/api/v1/auth/register", json={"username": "bob", "password": SECRET_LOCAL})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    failure, *requests = lines(stream)
    assert (failure["message"], failure["level"], failure["request_id"]) == ("unhandled error", "error", "r-fail")
    assert [line["status"] for line in requests] == [500, 200, 422]
    for secret in (SECRET_LOCAL, PASSWORD, headers["Authorization"].partition(" ")[2]):
        assert secret not in stream.getvalue()


async def test_a_request_is_one_json_line_with_the_id_of_its_answer(
    configure: Configure, real_settings: Settings
) -> None:
    async with running(real_settings) as (_, manager, _), connected(manager.app) as client:
        stream = configure()
        answers = [await client.get("/api/v1/items?q=private"), await client.get("/%0Anowhere")]
        await client.get("/health")
    found = lines(stream)
    assert [line["request_id"] for line in found] == [answer.headers["X-Request-ID"] for answer in answers]
    assert [(line["method"], line["path"], line["status"]) for line in found] == [
        ("GET", "/api/v1/items", 401),
        ("GET", "/%0Anowhere", 404),
    ]
    assert all(line["message"] == "request" and line["level"] == "info" and line["ms"] >= 0 for line in found)
    assert "private" not in stream.getvalue(), "what people search for is nobody's business"


async def test_in_a_console_a_request_is_one_phrase(configure: Configure, real_settings: Settings) -> None:
    async with running(real_settings) as (_, manager, _), connected(manager.app) as client:
        stream = configure(environment="development")
        await client.get("/api/v1/items", headers={"X-Request-ID": "r-1"})
    (line,) = stream.getvalue().splitlines()
    phrase = line.partition("] ")[2]
    assert phrase.startswith("GET /api/v1/items 401 ")
    assert "request_id=r-1" in phrase
    assert "ms=" in phrase
    assert "logger" not in line
    assert re.fullmatch(r"\d\d:\d\d:\d\d", line.split()[0])


@pytest.mark.parametrize(("stream", "is_coloured"), [(io.StringIO, False), (Terminal, True)], ids=["file", "terminal"])
def test_colours_are_for_terminals(configure: Configure, stream: type[io.StringIO], is_coloured: bool) -> None:
    output = configure(stream(), log_format="console")
    structlog.get_logger().warning("careful", count=3)
    assert ("\x1b[" in output.getvalue()) is is_coloured


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"log_level": "warning"}, ["warning", "error"]),
        ({"log_level": "info"}, ["info", "warning", "error"]),
        ({"log_level": "debug"}, ["debug", "info", "warning", "error"]),
        ({"log_level": "critical"}, []),
        ({"log_level": "error", "debug": True}, ["debug", "info", "warning", "error"]),
    ],
)
def test_the_level_decides_what_is_shown(configure: Configure, settings: dict[str, Any], shown: list[str]) -> None:
    stream = configure(**settings)
    for level in ("debug", "info", "warning", "error"):
        getattr(structlog.get_logger(), level)("x")
    assert [line["level"] for line in lines(stream)] == shown


def test_chatty_libraries_are_quiet_where_nothing_is_wrong(configure: Configure) -> None:
    stream = configure(log_level="debug")
    for name in QUIET:
        logging.getLogger(name).debug("chatter")
    logging.getLogger("uvicorn.access").error("GET / 200")
    assert lines(stream) == []
    logging.getLogger("uvicorn.error").error("it burns")
    assert [line["message"] for line in lines(stream)] == ["it burns"]


def test_configuring_again_replaces_what_was(configure: Configure) -> None:
    configure()
    stream = configure()
    logging.getLogger("library").error("once")
    assert len(lines(stream)) == 1


def test_the_failing_function_of_these_tests_does_hold_a_secret() -> None:
    with pytest.raises(RuntimeError) as caught:
        fail_with_a_secret()
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert SECRET_LOCAL in "".join(told.format())
