"""Plugins: domain code in other packages, found by its entry points."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Self

import structlog

GROUP = "strata.modules"

log = structlog.get_logger()


class PluginError(Exception):
    """A plugin that MODULES lists cannot be loaded; the message names it and its distribution."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point of the group `strata.modules`."""

    name: str
    entry_point: EntryPoint
    distribution: str | None
    version: str | None

    @classmethod
    def of(cls, entry_point: EntryPoint) -> Self:
        # An entry point that no installer wrote may lack a distribution.
        if (dist := entry_point.dist) is None:
            return cls(entry_point.name, entry_point, None, None)
        return cls(entry_point.name, entry_point, dist.name, dist.version)

    def __str__(self) -> str:
        origin = " ".join(part for part in (self.distribution, self.version) if part)
        return f"{self.name} ({origin or 'unknown distribution'})"


def installed_plugins() -> list[Plugin]:
    return list(plugins_on(tuple(sys.path)))


@lru_cache(maxsize=1)
def plugins_on(path: tuple[str, ...]) -> tuple[Plugin, ...]:  # noqa: ARG001 - what entry_points() reads by itself
    """Cached: the search opens a file of each installed package, and the start searches several times."""
    return tuple(sorted((Plugin.of(entry_point) for entry_point in entry_points(group=GROUP)), key=str))


def listed_plugins(names: Iterable[str]) -> list[Plugin]:
    """The plugins with these names, in this order, without duplicates.

    Raises:
        PluginError: for a name that no installed package declares, or that several do.
    """
    installed = installed_plugins()
    return [find_plugin(name, installed) for name in dict.fromkeys(names)]


def find_plugin(name: str, installed: list[Plugin]) -> Plugin:
    found = [plugin for plugin in installed if plugin.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        origins = ", ".join(str(plugin) for plugin in found)
        raise PluginError(f"MODULES: {name} is ambiguous: {origins}. Uninstall all but one.")
    others = ", ".join(plugin.name for plugin in installed) or "none"
    raise PluginError(f"MODULES: no installed package provides {name}; installed: {others}.")


def unlisted_plugins(names: Iterable[str]) -> list[Plugin]:
    listed = set(names)
    return [plugin for plugin in installed_plugins() if plugin.name not in listed]


def log_plugins(names: Iterable[str]) -> None:
    """Log which plugins are loaded, and which are installed but not listed."""
    names = list(names)
    for plugin in listed_plugins(names):
        log.info("plugin loaded", plugin=plugin.name, distribution=plugin.distribution, version=plugin.version)
    for plugin in unlisted_plugins(names):
        log.info("plugin installed but not listed in MODULES", plugin=plugin.name, distribution=plugin.distribution)
