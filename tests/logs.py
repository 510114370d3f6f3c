"""Logging is the one thing in the process that is global: whoever configures it leaves it as it was."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from app.core.observability.access_log import access_log
from app.core.observability.logging import QUIET


@contextmanager
def logging_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in QUIET)]
    before = [(logger, logger.handlers, logger.level, logger.propagate) for logger in loggers]
    configuration, stream = structlog.get_config(), access_log.stream
    structlog.contextvars.clear_contextvars()
    yield
    structlog.contextvars.clear_contextvars()
    structlog.configure(**configuration)
    access_log.open(stream)
    for logger, handlers, level, propagate in before:
        logger.handlers = handlers
        logger.setLevel(level)
        logger.propagate = propagate
