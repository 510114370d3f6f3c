"""Files and folders that only their owner can read, whatever the umask."""

import os
import secrets
from pathlib import Path


def make_private_folder(path: Path) -> None:
    """Create the folder and missing parents; existing ones are not changed."""
    for folder in (*reversed(path.parents), path):
        folder.mkdir(mode=0o700, exist_ok=True)


def make_private_file(path: Path) -> None:
    """Create an empty file unless it exists. Others can never open it, even if processes race."""
    if not path.exists():
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT, 0o600))


def write_draft(path: Path, text: str) -> Path:
    """Write a temporary file beside `path`, to be renamed to it."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())  # before the rename, or a power failure could leave an empty file in its place
    return draft


def is_read_by_others(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o077)
