"""What processes use, read from `/proc`: Linux only."""

import os
import re
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def mib(pid: int, field: str = "VmRSS") -> float:
    """VmRSS is the memory resident now, VmHWM the most there has been."""
    match = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return int(match[1]) / 1024


def backend_seconds(database: str) -> dict[int, float]:
    """User and system time of each of PostgreSQL's processes that serves a database; none if it runs elsewhere."""
    seconds = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            title = (folder / "cmdline").read_bytes()
            if title.startswith(b"postgres: ") and database.encode() in title:
                seconds[int(folder.name)] = cpu_seconds(int(folder.name))
        except OSError:
            pass  # it has ended meanwhile
    return seconds


def spent(before: dict[int, float], after: dict[int, float]) -> float:
    return sum(seconds - before.get(pid, 0) for pid, seconds in after.items())


def machine() -> str:
    """As in `2 cores of an AMD EPYC`."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    name = cpu[1].strip() if cpu else os.uname().machine
    return f"{len(os.sched_getaffinity(0))} cores of {name}"
