"""Domain modules of other packages: which are installed, and what is told when one cannot be had."""

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
    """A module that MODULES lists cannot be had; the message names it, and the distribution that brings it."""


@dataclass(frozen=True, slots=True)
class Module:
    """One entry point of the group `strata.modules`."""

    name: str
    entry_point: EntryPoint
    distribution: str | None
    version: str | None

    @classmethod
    def of(cls, entry_point: EntryPoint) -> Self:
        # An entry point that something other than an installer has made may lack a distribution.
        if (dist := entry_point.dist) is None:
            return cls(entry_point.name, entry_point, None, None)
        return cls(entry_point.name, entry_point, dist.name, dist.version)

    def __str__(self) -> str:
        origin = " ".join(part for part in (self.distribution, self.version) if part)
        return f"{self.name} ({origin or 'unknown distribution'})"


def installed_modules() -> list[Module]:
    return list(modules_on(tuple(sys.path)))


@lru_cache(maxsize=1)
def modules_on(path: tuple[str, ...]) -> tuple[Module, ...]:  # noqa: ARG001 - what entry_points() reads by itself
    """Looked for once: that opens a file of each installed package, and a start asks several times."""
    return tuple(sorted((Module.of(entry_point) for entry_point in entry_points(group=GROUP)), key=str))


def listed_plugins(names: Iterable[str]) -> list[Module]:
    """The modules of these names, in this order, each once.

    Raises:
        ModuleError: for a name that no installed package declares, or that several do.
    """
    installed = installed_modules()
    return [the_one(name, installed) for name in dict.fromkeys(names)]


def the_one(name: str, installed: list[Module]) -> Module:
    found = [module for module in installed if module.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        origins = ", ".join(str(module) for module in found)
        raise PluginError(f"MODULES: {name} is ambiguous: {origins}. Uninstall all but one.")
    others = ", ".join(module.name for module in installed) or "none"
    raise PluginError(f"MODULES: no installed package brings {name}; there is: {others}.")


def unlisted_modules(names: Iterable[str]) -> list[Module]:
    listed = set(names)
    return [module for module in installed_modules() if module.name not in listed]


def log_plugins(names: Iterable[str]) -> None:
    """Tell the log what runs here besides Strata, and what could."""
    names = list(names)
    for module in listed_plugins(names):
        log.info("module loaded", module=module.name, distribution=module.distribution, version=module.version)
    for module in unlisted_modules(names):
        log.info("module installed but not listed in MODULES", module=module.name, distribution=module.distribution)
