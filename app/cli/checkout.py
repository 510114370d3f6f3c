"""Commands that write code need a checkout of the repository."""

from collections.abc import Sequence
from pathlib import Path

from app.cli.faults import MistakeError

ROOT_MARKS = ("pyproject.toml", "alembic/versions", "tests/api", "app/api/v1/__init__.py")


def require_checkout(root: Path, command: str, marks: Sequence[str] = ROOT_MARKS) -> None:
    """Raises MistakeError if a file that the command needs is missing."""
    if not all((root / mark).exists() for mark in marks):
        raise MistakeError(
            f"{root} is no checkout of the repository, but an installed package: clone the repository, run `uv sync` "
            f"and then `uv run {command}` there."
        )
