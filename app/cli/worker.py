"""What a server process adds to the application: decisions for a server to make, not for a library."""

import gc
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

# The first generation is looked through after so many new objects; a request makes some thousands, nearly all of
# which end with it.
GC_THRESHOLD = 20_000


def create_app() -> "FastAPI":
    """The application, in a process that is going to serve it and does nothing else."""
    from app.core.config.settings import Settings

    settings = Settings.load()
    logging.captureWarnings(settings.uses_json_logs)  # those of the import too
    from app.main import create_app

    app = create_app(settings)
    freeze_gc()
    return app


def freeze_gc() -> None:
    """What is there now stays as long as the process: the collector need not look through it again and again.

    A full collection, which holds up every request, took 100 ms before and less than a tenth of one after it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])
