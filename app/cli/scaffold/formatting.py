"""ruff's last word on a file before it is written."""

import subprocess
import sys
from pathlib import Path

from app.cli.faults import MistakeError

# Templates import whatever any field might need; what is left over goes here.
STEPS = (["format", "--quiet"], ["check", "--fix", "--quiet"], ["format", "--quiet"])


def formatted(root: Path, path: str, text: str) -> str:
    """Raises MistakeError with ruff's own words where it finds what it cannot mend."""
    if not path.endswith(".py"):
        return text
    for step in STEPS:
        command = [sys.executable, "-m", "ruff", *step, "--stdin-filename", str(root / path), "-"]
        done = subprocess.run(command, cwd=root, input=text, capture_output=True, text=True, check=False)  # noqa: S603 - ours
        if done.returncode:
            raise MistakeError(f"{path}: ruff finds fault with it: {(done.stderr or done.stdout).strip()}")
        text = done.stdout
    return text
