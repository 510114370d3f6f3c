"""Writes all files or none."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from app.cli.faults import MistakeError

SNAPSHOT = "tests/api/openapi.json"


def check_clean(root: Path, paths: Iterable[str]) -> None:
    """Raises MistakeError if a file that is to change has changes that git does not have. Elsewhere: no check."""
    command = ["git", "status", "--porcelain", "--", *paths]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    except FileNotFoundError:
        return
    changed = [line[3:] for line in done.stdout.splitlines()] if done.returncode == 0 else []
    if changed:
        raise MistakeError(f"Uncommitted changes in {', '.join(changed)}: commit or stash them first.")


@contextmanager
def all_or_nothing(root: Path, paths: Iterable[str]) -> Iterator[None]:
    """Puts these files back as they were if anything goes wrong."""
    before = {path: path.read_bytes() if path.exists() else None for path in (root / name for name in paths)}
    try:
        yield
    except BaseException:
        for path, content in before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
        raise


def write(root: Path, texts: Mapping[str, str]) -> None:
    with all_or_nothing(root, [*texts, SNAPSHOT]):
        for path, text in texts.items():
            (root / path).write_text(text)
        renew_snapshot(root)


def renew_snapshot(root: Path) -> None:
    """In a process of its own, which imports what has just been written."""
    command = [sys.executable, "-c", "from app.cli import main; main()", "openapi", "--output", SNAPSHOT]
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise MistakeError(f"The new code does not start, so everything was put back: {reason[0]}")
