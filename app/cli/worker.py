"""What a server process does besides what the application does: decisions of a server, and none of a library's."""

import gc
import logging
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

# The first generation is looked through after so many new objects; a request makes some thousands, nearly all of
# which end with it.
GC_THRESHOLD = 20_000


def create_app() -> "FastAPI":
    """The application, in a process that is going to serve it and does nothing else."""
    leave_out_rich()
    from app.core.config.settings import Settings

    settings = Settings.load()
    logging.captureWarnings(settings.uses_json_logs)
    if settings.jwt_algorithm == "HS256":
        leave_out_cryptography()
    from app.main import create_app

    app = create_app(settings)
    freeze_gc()
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


def leave_out_cryptography() -> None:
    """python-jose signs with it where it is installed, and with the standard library's HMAC where it is not.

    It takes 9 MiB. Without it python-jose wants another library for ES256, which nothing asks for here: it finds that
    there is no such key.
    """
    if any(name in sys.modules for name in ("jose", "cryptography.hazmat")):
        return
    no_elliptic_curves = ModuleType("jose.backends.ecdsa_backend")
    no_elliptic_curves.ECDSAECKey = None  # type: ignore[attr-defined] # a module's attributes are its own
    absent = {"cryptography.hazmat": None, no_elliptic_curves.__name__: no_elliptic_curves}
    sys.modules |= absent  # type: ignore[arg-type] # None: "there is none", says the import system
    try:
        from app.core.security import tokens  # noqa: F401 - which imports it, for good
    finally:
        for name in absent:
            del sys.modules[name]


def freeze_gc() -> None:
    """What is there now stays as long as the process: the collector need not look through it again and again.

    A full collection, which holds up every request, took 100 ms before and less than a tenth of one after it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])
