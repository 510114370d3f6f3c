"""Logging is the one thing in the process that is global: whoever configures it leaves it as it was."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from app.core.logging import QUIET


@contextmanager
def logging_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in QUIET)]
    before = [(logger, logger.handlers, logger.level, logger.propagate) for logger in loggers]
    configuration = structlog.get_config()
    structlog.contextvars.clear_contextvars()
    yield
    structlog.contextvars.clear_contextvars()
    structlog.configure(**configuration)
    for logger, handlers, level, propagate in before:
        logger.handlers = handlers
        logger.setLevel(level)
        logger.propagate = propagate
