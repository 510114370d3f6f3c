"""Expansion of `~` in paths."""

from pathlib import Path


def expand_home(path: Path) -> Path:
    """`~` becomes the user's folder: no shell has read what stands in a file. Raises ValueError if there is none."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("begins with `~`, but there is no such home folder; write the path in full") from None
