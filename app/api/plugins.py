"""Installs the plugins that the setting MODULES lists."""

from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from traceback import walk_tb
from typing import cast

import structlog
from fastapi import FastAPI

from app.core.plugins import Plugin, PluginError, listed_plugins

log = structlog.get_logger()


def install_plugins(app: FastAPI, names: Iterable[str]) -> None:
    """Call each listed plugin's `init_app(app)`.

    Raises:
        PluginError: for the first that is not installed or fails.
    """
    for plugin in listed_plugins(names):
        try:
            init_function(plugin)(app)
        except PluginError:
            raise
        except Exception as error:
            # The error's text is logged at debug level only: it may quote a secret.
            log.debug("plugin failed", plugin=plugin.name, exc_info=True)
            raise PluginError(
                f"The plugin {plugin} failed with {type(error).__name__}{place(error)}. "
                "Fix it, or remove it from MODULES; LOG_LEVEL=debug shows the traceback."
            ) from error


def init_function(plugin: Plugin) -> Callable[[FastAPI], object]:
    loaded = plugin.entry_point.load()
    function = getattr(loaded, "init_app", loaded)
    if not callable(function) or iscoroutinefunction(function):
        raise PluginError(f"The plugin {plugin}: {plugin.entry_point.value} has no plain function init_app(app).")
    return cast(Callable[[FastAPI], object], function)


def place(error: Exception) -> str:
    """What the author of a plugin looks for first: the name that cannot be imported, or the line that raised."""
    if isinstance(error, ImportError) and error.name:
        return f" ({error.name})"
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    file, line = frames[-1]
    return f" ({file}:{line})"
