"""What a start costs: CPU time from `strata serve` to the first answer, and of a worker alone; idle memory. Linux only.

Run: uv run python benchmarks/startup.py [--rounds 5]
On SQLite, or on what DATABASE_URL names.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

STRATA = Path(sys.executable).with_name("strata")
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of the children it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS


def resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) / 1024


# From the import of the application to the end of its start: what each further worker costs.
WORKER = """
import asyncio, time
from app.cli.worker import create_app

async def start():
    app = create_app()
    async with app.router.lifespan_context(app):
        print(time.process_time())

asyncio.run(start())
"""


def environment_of(folder: Path) -> dict[str, str]:
    return os.environ | {"DATA_DIR": str(folder), "PYTHONUNBUFFERED": "1"}


def start_worker(folder: Path) -> float:
    """CPU seconds from the start of Python until the application is ready."""
    command = [sys.executable, "-c", WORKER]
    done = subprocess.run(command, env=environment_of(folder), cwd=folder, capture_output=True, text=True, check=True)
    return float(done.stdout)


def start(folder: Path) -> tuple[float, float]:
    """Serve; return CPU seconds until the first answer, and MiB resident when idle."""
    with subprocess.Popen(
        [STRATA, "serve", "--port", "0"], env=environment_of(folder), cwd=folder, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = next(found[0] for line in process.stdout if (found := re.search(r"http://\S+(?=/docs)", line)))
            with urllib.request.urlopen(f"{url}/health", timeout=30) as answer:
                assert answer.status == 200
            cpu = cpu_seconds(process.pid)
            time.sleep(2)
            return cpu, resident_mib(process.pid)
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        start(Path(folder))  # the first start also migrates and makes the administrator
        measured = [(*start(Path(folder)), start_worker(Path(folder))) for _ in range(rounds)]
    names, units = ("CPU to first answer", "idle memory", "CPU, worker alone"), ("s", "MiB", "s")
    for name, unit, values in zip(names, units, zip(*measured, strict=True), strict=True):
        print(f"{name:<20} median {statistics.median(values):7.2f} {unit}   max {max(values):7.2f} {unit}")


if __name__ == "__main__":
    main()
