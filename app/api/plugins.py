"""Domain modules of other packages join the application; MODULES says which."""

from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from traceback import walk_tb
from typing import cast

import structlog
from fastapi import FastAPI

from app.core.plugins import Module, PluginError, listed_plugins

log = structlog.get_logger()


def install_plugins(app: FastAPI, names: Iterable[str]) -> None:
    """Call each listed module's `init_app(app)`.

    Raises:
        ModuleError: for the first that is not installed or fails.
    """
    for module in listed_plugins(names):
        try:
            init_function(module)(app)
        except PluginError:
            raise
        except Exception as error:
            # Its text stays in the log, at debug: nobody knows what other people's errors quote.
            log.debug("module failed", module=module.name, exc_info=True)
            raise PluginError(
                f"The module {module} failed with {type(error).__name__}{place(error)}. "
                "Mend it, or take it out of MODULES; LOG_LEVEL=debug shows the traceback."
            ) from error


def init_function(module: Module) -> Callable[[FastAPI], object]:
    loaded = module.entry_point.load()
    function = getattr(loaded, "init_app", loaded)
    if not callable(function) or iscoroutinefunction(function):
        raise PluginError(f"The module {module}: {module.entry_point.value} has no plain function init_app(app).")
    return cast(Callable[[FastAPI], object], function)


def place(error: Exception) -> str:
    """What a module's author looks for first: the name that cannot be imported, or the line that raised."""
    if isinstance(error, ImportError) and error.name:
        return f" ({error.name})"
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    file, line = frames[-1]
    return f" ({file}:{line})"
