"""Formats a file with ruff before it is written."""

import subprocess
import sys
from pathlib import Path

from app.cli.faults import MistakeError

# Templates import whatever any field might need; what is left over goes with the first step. Lines get their length
# with the second.
STEPS = (["check", "--fix", "--ignore", "E501"], ["format"])


def formatted(root: Path, path: str, text: str) -> str:
    """Raises MistakeError with ruff's own words where it finds what it cannot mend."""
    if path.endswith(".py"):
        for step in STEPS:
            text = ruff(root, path, text, *step)
        ruff(root, path, text, "check")
    return text


def program() -> list[str]:
    """Where installers put it; Python would take four times as long to start it, and it is started for every file."""
    beside = Path(sys.executable).with_name("ruff")
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "ruff"]


def ruff(root: Path, path: str, text: str, *step: str) -> str:
    command = [*program(), *step, "--quiet", "--stdin-filename", str(root / path), "-"]
    done = subprocess.run(command, cwd=root, input=text, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        # Where it hands the code back, its words go to the standard error.
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise MistakeError(f"{path}: ruff finds fault with it: {said[0]}")
    return done.stdout
