"""Whether a change costs speed: `load.py` of two checkouts in turns, each against the limit that it measured beside.

Run: uv run python benchmarks/compare.py ../before [--rounds 5] [--scenario list,read] [--connections 16]
Each checkout needs its environment (`uv sync`). DATABASE_URL is as for load.py.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parents[1]

# The rates to the limit's, and the CPU of a request to the limit's, of each round.
type Ratios = dict[tuple[str, str], list[float]]


def measure(checkout: Path, output: Path, options: argparse.Namespace) -> list[dict[str, object]]:
    command = [str(checkout / ".venv/bin/python"), "benchmarks/load.py", "--quick", "--output", str(output)]
    command += ["--connections", options.connections, "--seconds", str(options.seconds), "--rounds", "1"]
    if options.scenario:
        command += ["--scenario", options.scenario]
    subprocess.run(command, cwd=checkout, check=True, stdout=subprocess.DEVNULL)
    runs: list[dict[str, object]] = json.loads(output.with_suffix(".json").read_text())["runs"]
    return runs


def collect(runs: list[dict[str, object]], ratios: Ratios) -> None:
    by_server = {(run["scenario"], run["connections"], run["server"]): run for run in runs}
    for (scenario, connections, server), run in by_server.items():
        if server == "strata":
            limit = by_server[scenario, connections, "limit"]
            for what in ("rate", "server_cpu"):
                ratios[f"{scenario}, {connections}", what].append(float(str(run[what])) / float(str(limit[what])))


def report(before: Ratios, after: Ratios) -> None:
    print("| scenario, connections | rate to the limit's: before, after | ratio | CPU to the limit's | ratio |")
    print("| --- | --- | ---: | --- | ---: |")
    for point in dict.fromkeys(point for point, _ in after):
        cells = []
        for what in ("rate", "server_cpu"):
            old, new = (statistics.median(ratios[point, what]) for ratios in (before, after))
            cells += [f"{old:.3f}, {new:.3f}", f"{new / old:.3f}"]
        print(f"| {point} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="another checkout of the repository")
    parser.add_argument("--rounds", type=int, default=5, help="of each checkout; their medians count")
    parser.add_argument("--scenario", default="health,me,list,read,patch,create", help="as for load.py")
    parser.add_argument("--connections", default="16", help="as for load.py")
    parser.add_argument("--seconds", type=float, default=1.0, help="that each measurement takes")
    options = parser.parse_args()
    before: Ratios = defaultdict(list)
    after: Ratios = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            turns = [(options.before.resolve(), before), (HERE, after)]
            for checkout, ratios in turns if number % 2 else reversed(turns):
                print(f"round {number + 1} of {options.rounds}: {checkout}", file=sys.stderr)
                collect(measure(checkout, Path(folder) / "run.md", options), ratios)
    report(before, after)


if __name__ == "__main__":
    main()
