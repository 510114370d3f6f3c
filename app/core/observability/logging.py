"""Configuration of logging: readable in a terminal, JSON for machines, with the request ID."""

import logging
import sys

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from app.core.config.settings import Settings
from app.core.observability.access_log import access_log

# Verbose loggers; Strata logs what matters of them itself.
QUIET = {
    "aiosqlite": logging.INFO,
    "alembic": logging.WARNING,
    "httpcore": logging.INFO,
    "httpx": logging.WARNING,
    "httpx_retries": logging.INFO,
    "stamina": logging.ERROR,
    "uvicorn.access": logging.CRITICAL,
    "uvicorn.error": logging.WARNING,
}


def configure_logging(settings: Settings) -> None:
    """Send records of structlog and the standard library through one formatter to stderr."""
    level = logging.DEBUG if settings.debug else getattr(logging, settings.log_level.upper())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(
            fmt="iso" if settings.uses_json_logs else "%H:%M:%S", utc=settings.uses_json_logs
        ),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers(settings)],
        )
    )
    access_log.open(sys.stderr if settings.uses_json_logs else None)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name, quiet in QUIET.items():
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(max(level, quiet))


def shorten(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """For people: a request as one phrase, without logger names."""
    event.pop("logger", None)
    if event["event"] == "request":
        event["event"] = f"{event.pop('method')} {event.pop('path')} {event.pop('status')}"
    return event


def renderers(settings: Settings) -> list[Processor]:
    if settings.uses_json_logs:
        return [
            # Without local variables: they hold tokens and passwords.
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ]
    return [
        shorten,
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=0,
            # Rich's tracebacks print the value of every local variable: tokens and passwords too.
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]
