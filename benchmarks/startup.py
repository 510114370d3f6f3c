"""What a start costs: CPU time from `strata serve` to the first answer, and memory of the idle worker. Linux only.

Run: uv run python benchmarks/startup.py [--rounds 5]
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


def start(folder: Path) -> tuple[float, float]:
    """Serve on SQLite in `folder`; return CPU seconds until the first answer, and MiB resident when idle."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DB_", "DATABASE_"))}
    environment |= {"DATA_DIR": str(folder), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [STRATA, "serve", "--port", "0"], env=environment, cwd=folder, stdout=subprocess.PIPE, text=True
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
        measured = [start(Path(folder)) for _ in range(rounds)]
    for name, unit, values in zip(
        ("CPU to first answer", "idle memory"), ("s", "MiB"), zip(*measured, strict=True), strict=True
    ):
        print(f"{name:<20} median {statistics.median(values):7.2f} {unit}   max {max(values):7.2f} {unit}")


if __name__ == "__main__":
    main()
