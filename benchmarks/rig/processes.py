"""Processes that end with us, and what processes use, read from `/proc`: Linux only."""

import asyncio
import os
import re
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def child(*command: str | Path, **how: Any) -> AsyncIterator[Process]:
    """A process in a session of its own, so that Ctrl+C is for us alone, who then end it."""
    process = await asyncio.create_subprocess_exec(*command, start_new_session=True, **how)
    try:
        yield process
    finally:
        await end(process)


async def end(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 5)
    except TimeoutError:
        process.kill()
        await process.wait()


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def thread_seconds(pid: int) -> float:
    """What a process without threads has run: to the nanosecond, where the kernel keeps count, else in ticks."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except FileNotFoundError:
        return cpu_seconds(pid)


def mib(pid: int, field: str = "VmRSS") -> float:
    """VmRSS is the memory resident now, VmHWM the most there has been."""
    match = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return int(match[1]) / 1024


def reset_peak(pid: int) -> None:
    """VmHWM counts anew (proc(5), `clear_refs`)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def backend_seconds(database: str) -> dict[int, float]:
    """CPU time of each of PostgreSQL's processes that serves a database; none if it runs elsewhere."""
    seconds = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            title = (folder / "cmdline").read_bytes()
            if title.startswith(b"postgres: ") and database.encode() in title:
                seconds[int(folder.name)] = thread_seconds(int(folder.name))
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
