"""What a run of the benchmark has found, as Markdown."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rig.runs import Run
from rig.servers import NAMES

OTHERS = NAMES[1:]


@dataclass(slots=True)
class Results:
    about: dict[str, Any]
    runs: list[Run] = field(default_factory=list)
    # Of each scenario and server: statements and round trips a request.
    statements: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    # Of each server in MiB: idle, and the most there has been.
    idle: dict[str, float] = field(default_factory=dict)
    peak: dict[str, float] = field(default_factory=dict)
    overload: list[dict[str, Any]] = field(default_factory=list)

    def points(self) -> list[tuple[str, int]]:
        return list(dict.fromkeys((run.scenario, run.connections) for run in self.runs))

    def median(self, scenario: str, connections: int, server: str, what: str) -> float | None:
        values = [
            getattr(run, what)
            for run in self.runs
            if (run.scenario, run.connections, run.server) == (scenario, connections, server)
        ]
        return None if not values or None in values else statistics.median(values)


def report(results: Results) -> str:
    sections = [heading(results), rates(results), cpu(results), latencies(results), tail(results)]
    sections += [statements(results), memory(results), overload(results)]
    return "\n\n".join(section for section in sections if section) + "\n"


def heading(results: Results) -> str:
    about = results.about
    return (
        f"# Load, {about['date']}\n\n"
        f"{about['machine']}, CPython {about['python']}, PostgreSQL {about['postgresql']} at {about['commit']}. "
        f"{about['users']:,} users, {about['items']:,} items, one worker each; "
        f"medians of {about['rounds']} round(s) of {about['seconds']:g} s, in turns."
    )


def table(title: str, names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [list(names), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(names))]
    aligned = [
        [
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in cells
    ]
    rule = ["-" * width if n == 0 else "-" * (width - 1) + ":" for n, width in enumerate(widths)]
    lines = [f"| {' | '.join(row)} |" for row in (aligned[0], rule, *aligned[1:])]
    return f"## {title}\n\n" + "\n".join(lines)


def number(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:,.{places}f}"


def ratio(over: float | None, under: float | None) -> str:
    return f"{over / under:.2f}" if over and under else "-"


def rates(results: Results) -> str:
    rows = []
    for point in results.points():
        found = {name: results.median(*point, name, "rate") for name in NAMES}
        compared = [ratio(found["strata"], found[other]) for other in OTHERS]
        rows.append([point[0], str(point[1]), *[number(found[name], 0) for name in NAMES], *compared])
    names = ["scenario", "connections", *NAMES, *[f"strata / {other}" for other in OTHERS]]
    return table("Requests a second", names, rows)


def cpu(results: Results) -> str:
    rows = []
    for point in results.points():
        servers = [number(results.median(*point, name, "server_cpu"), 2) for name in NAMES]
        backends = [number(results.median(*point, name, "postgres_cpu"), 2) for name in NAMES]
        rows.append([point[0], str(point[1]), *servers, *backends])
    names = ["scenario", "connections", *NAMES, *[f"PostgreSQL of {name}" for name in NAMES]]
    return table("CPU of a request, in ms", names, rows)


def latencies(results: Results) -> str:
    rows = []
    for point in results.points():
        pairs = [
            f"{number(results.median(*point, name, 'p50'), 1)}, {number(results.median(*point, name, 'p99'), 1)}"
            for name in NAMES
        ]
        rows.append([point[0], str(point[1]), *pairs])
    return table("Latency p50, p99, in ms", ["scenario", "connections", *NAMES], rows)


def tail(results: Results) -> str:
    lines = []
    for name in NAMES:
        middle, late = (results.median("list", 64, name, what) for what in ("p50", "p99"))
        if middle is not None and late is not None:
            lines.append(f"- {name}: p99 of the list at 64 connections is {late / middle:.1f} times its median")
    return "\n".join(lines)


def statements(results: Results) -> str:
    if not results.statements:
        return ""
    rows = [
        [scenario, *[", ".join(f"{value:g}" for value in counts[name]) for name in NAMES]]
        for scenario, counts in results.statements.items()
    ]
    return table("SQL statements, round trips a request", ["scenario", *NAMES], rows)


def memory(results: Results) -> str:
    rows = [
        [
            name,
            number(results.idle[name], 0),
            number(max((run.rss for run in results.runs if run.server == name), default=0), 0),
            number(results.peak[name], 0),
        ]
        for name in NAMES
    ]
    return table("Memory of the worker, in MiB", ["server", "idle", "under load", "peak"], rows)


def overload(results: Results) -> str:
    if not results.overload:
        return ""
    columns = ("server", "peak req/s", "offered req/s", "goodput / peak", "p50 ms", "p99 ms", "memory +MiB", "answers")
    rows = [[str(storm[column]) for column in columns] for storm in results.overload]
    return table("Twice the capacity: the list", columns, rows)
