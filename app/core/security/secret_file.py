"""The signing secret generated in `DATA_DIR` if none is set, and its predecessors."""

import os
import secrets
from pathlib import Path

from app.core.config.private_files import make_private_folder, write_draft
from app.core.config.settings import SettingsError
from app.core.security.signing_secret import MIN_SECRET_BYTES


def generated_secrets(data_dir: Path) -> list[str]:
    """The secret of `DATA_DIR`, generated if missing, and those that `strata keys rotate` replaced."""
    path, replaced = secret_path(data_dir), replaced_path(data_dir)
    current, older = [generated_secret(path)], replaced.read_text().split() if replaced.exists() else []
    check_length(path, current, "it will be made anew")
    check_length(replaced, older, "the tokens of older secrets end")
    return current + older


def check_length(path: Path, found: list[str], then: str) -> None:
    """A truncated secret must not sign anything."""
    if any(len(secret.encode()) < MIN_SECRET_BYTES for secret in found):
        raise SettingsError([f"{path}: has less than {MIN_SECRET_BYTES} bytes; delete it and {then}"])


def secret_path(data_dir: Path) -> Path:
    return data_dir / "secret"


def replaced_path(data_dir: Path) -> Path:
    return data_dir / "secret.previous"


def generated_secret(path: Path) -> str:
    """Read the secret, generated if missing; concurrent processes all get the same one."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        make_private_folder(path.parent)
    draft = write_draft(path, new_secret())
    try:
        # link() is atomic, and never replaces an existing file.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()


def replace_secret(data_dir: Path) -> None:
    """Generate a new secret, and keep the previous ones to verify their tokens.

    A crash in between leaves the old secret in use and in both files, which is harmless.
    """
    path, replaced = secret_path(data_dir), replaced_path(data_dir)
    older = replaced.read_text() if replaced.exists() else ""
    # rename() is atomic.
    write_draft(replaced, f"{path.read_text().strip()}\n{older}").replace(replaced)
    write_draft(path, new_secret()).replace(path)


def new_secret() -> str:
    return secrets.token_urlsafe(48)
