"""Requests a second, latency, CPU, statements and memory of Strata under load, beside two yardsticks. Linux only.

Run: uv run python benchmarks/load.py [--quick] [--scenario list,read] [--connections 16,64] [--rounds 5] [--overload]
DATABASE_URL names a PostgreSQL server and a role that may create databases; a scratch database is made and dropped.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rig.benchmark import Benchmark
from rig.database import DEFAULT_URL, ITEMS, USERS, Scratch, scratch_database
from rig.processes import machine
from rig.report import Results, report
from rig.scenarios import SCENARIOS

RESULTS = Path(__file__).with_name("results")


def describe(options: argparse.Namespace, scratch: Scratch) -> dict[str, object]:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False, cwd=RESULTS.parent
    )
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "python": platform.python_version(),
        "postgresql": scratch.version.split()[0],
        "commit": commit.stdout.strip() or "?",
        "rounds": options.rounds,
        "seconds": options.seconds,
        "users": USERS,
        "items": ITEMS,
    }


def write(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(asdict(results), indent=1) + "\n")
    path.with_suffix(".md").write_text(report(results))
    print(f"written to {path.with_suffix('.md')} and {path.with_suffix('.json').name}")


def default_path(results: Results) -> Path:
    slug = re.sub(r"[^a-z0-9]+", "-", str(results.about["machine"]).lower()).strip("-")
    return RESULTS / f"{results.about['date']}-{slug}.md"


def names_of(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - SCENARIOS.keys():
        raise argparse.ArgumentTypeError(f"no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    return names


def numbers_of(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round at 16 connections; writes no files")
    parser.add_argument("--scenario", type=names_of, default=list(SCENARIOS), help="some of %(default)s, with commas")
    parser.add_argument("--connections", type=numbers_of, help="at once, as in 1,16,64")
    parser.add_argument("--rounds", type=int, help="of which the median counts; 3, or 1 with --quick")
    parser.add_argument("--seconds", type=float, help="that each measurement takes; 1.5, or 0.5 with --quick")
    parser.add_argument("--overload", type=float, nargs="?", const=10, metavar="SECONDS", help="also at twice the peak")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write FILE with .md and .json there")
    options = parser.parse_args()
    options.connections = options.connections or ([16] if options.quick else None)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (0.5 if options.quick else 1.5)
    return options


async def main(options: argparse.Namespace) -> None:
    task = asyncio.current_task()
    assert task is not None
    # Whoever ends us leaves no server and no database behind; Ctrl+C does the same by itself.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    began = time.monotonic()
    url = os.environ.get("DATABASE_URL", DEFAULT_URL)
    with tempfile.TemporaryDirectory() as folder:
        print(f"making a database of {USERS:,} users and {ITEMS:,} items …", file=sys.stderr)
        async with scratch_database(url, Path(folder)) as scratch:
            results = await Benchmark(options, scratch, Path(folder), describe(options, scratch)).run()
    print(report(results))
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    if options.output or not options.quick:
        write(results, options.output or default_path(results))


if __name__ == "__main__":
    try:
        asyncio.run(main(parse()))
    except KeyboardInterrupt:
        sys.exit(130)
    except asyncio.CancelledError:
        sys.exit(143)
