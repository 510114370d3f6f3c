"""Reads `.env` files; detects unreadable lines and repeated names."""

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from re import fullmatch

from dotenv.parser import Binding, parse_stream

LINE = "must be NAME=value, with a value in quotes closed again"


def file_faults(path: Path) -> list[str]:
    """Errors that would leave a setting of the file unread."""
    try:
        lines = [binding for binding in read_bindings(path) if is_fault(binding)]
    except ValueError as error:
        return [f"{path}: {error}"]
    return [f"{path}: line {line_of(binding)} {LINE}" for binding in lines]


def is_fault(binding: Binding) -> bool:
    return binding.error or not fullmatch(r"[\w.-]+", binding.key or "_")


def line_of(binding: Binding) -> int:
    """The line of a binding, whose text includes preceding blank lines."""
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def repeated_names(path: Path) -> Iterator[str]:
    """A message per setting that a later line of the file overrides with another value."""
    known: dict[str, str | None] = {}
    for binding in read_bindings(path):
        name = (binding.key or "").upper()
        if known.get(name, binding.value) != binding.value:
            yield f"{path}: line {line_of(binding)} sets {name} again, and counts; remove one of them"
        known[name] = binding.value


def pairs_in(path: Path) -> list[tuple[str, str]]:
    return [(binding.key, binding.value or "") for binding in read_bindings(path) if binding.key]


def read_bindings(path: Path) -> list[Binding]:
    """The lines of a file, none where there is no file. Raises ValueError, saying why it cannot be read."""
    try:
        is_there = is_file(path)
    except OSError as error:
        raise ValueError(f"{error.strerror}; run it in a folder that this user may enter") from None
    try:
        content = path.read_bytes() if is_there else b""
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}; change its owner or mode, or remove it") from None
    return list(parse_stream(StringIO(decode(content))))


def is_file(path: Path) -> bool:
    """Whether the file exists. Raises ValueError for broken links and directories."""
    if path.is_file():
        return True
    if path.is_symlink() and not path.exists():
        raise ValueError("is a link to a file that is not there")
    # A virtual environment may be named `.env`.
    if path.is_dir() and not (path / "pyvenv.cfg").exists():
        raise ValueError("is a directory, as Docker makes it where a file to mount is missing; put the file there")
    return False


def decode(content: bytes) -> str:
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or b"\0" in content:
        raise ValueError("is UTF-16, as PowerShell may write it; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"line {line} is not UTF-8; save the file as UTF-8") from None
