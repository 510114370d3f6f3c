"""What a server process does besides what the application does: decisions of a server, and none of a library's."""

import gc
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

# The first generation is looked through after so many new objects; a request makes some thousands, nearly all of
# which end with it.
GC_THRESHOLD = 20_000


def create_app() -> "FastAPI":
    """The application, in a process that is going to serve it and does nothing else."""
    leave_out_rich()
    from app.main import create_app

    app = create_app()
    settle()
    return app


def leave_out_rich() -> None:
    """structlog imports rich, and with it pygments, where they are installed, as they are for typer.

    They take 3.5 MiB and are never used: tracebacks are written without local variables, and so without rich.
    """
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment] # "there is none", says the import system
    try:
        import structlog  # noqa: F401 - for all that import it later
    finally:
        del sys.modules["rich"]


def settle() -> None:
    """What is there now stays as long as the process: the collector need not look through it again and again.

    A full collection, which holds up every request, took 100 ms before and less than a tenth of one after it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])
