"""Lines that a new resource adds to existing files: the two registries."""

import re
from dataclasses import dataclass
from pathlib import Path

from app.cli.faults import MistakeError
from app.cli.scaffold.formatting import formatted
from app.cli.scaffold.resource import Resource

REGISTRIES = ("app/api/v1/__init__.py", "app/api/v2/__init__.py")


@dataclass(frozen=True, slots=True)
class Area:
    """Lines between two others, one an entry.

    A new line goes before the first that is greater, so that where it stands does not depend on which came first.
    """

    after: str
    entry: str
    before: str

    def insert(self, path: str, text: str, line: str) -> str:
        lines = text.splitlines(keepends=True)
        start, end = self.bounds(path, lines)
        place = next((at for at in range(start, end) if self.key(lines[at]) > self.key(line)), end)
        return "".join([*lines[:place], line + "\n", *lines[place:]])

    def bounds(self, path: str, lines: list[str]) -> tuple[int, int]:
        start = find(path, lines, self.after) + 1
        return start, find(path, lines, self.before, start)

    def key(self, line: str) -> str:
        found = re.match(self.entry, line.strip())
        return found[1] if found else ""


def find(path: str, lines: list[str], beginning: str, start: int = 0) -> int:
    for at in range(start, len(lines)):
        if lines[at].strip().startswith(beginning):
            return at
    raise missing(path, beginning)


def add_word(path: str, text: str, beginning: str, pattern: str, word: str) -> str:
    """Add to a list of words, on one line or on several: `pattern` finds what is before, in and after it."""
    found = re.search(pattern, text, re.DOTALL)
    if found is None:
        raise missing(path, beginning)
    words = [part.strip() for part in found[2].split(",") if part.strip()]
    words.insert(next((at for at, other in enumerate(words) if other > word), len(words)), word)
    listed = "".join(f"    {word},\n" for word in words) if "\n" in found[2] else ", ".join(words)
    return text[: found.end(1)] + ("\n" if "\n" in found[2] else "") + listed + text[found.start(3) :]


def missing(path: str, beginning: str) -> MistakeError:
    return MistakeError(
        f"{path}: no line begins with `{beginning}`, where a line is to be added: put it back, or add the resource "
        "by hand (docs/add-a-resource.md)."
    )


ROUTERS = Area(
    "router.include_router(users.router)",
    r"router\.include_router\((\w+)\.router\)",
    before="router.include_router(admin.router)",
)


def edit_registry(resource: Resource, path: str, text: str) -> str:
    package = path.removesuffix("/__init__.py").replace("/", ".")
    beginning = f"from {package} import"
    pattern = rf"({re.escape(beginning)} (?=\()\(|{re.escape(beginning)} )([^()\n]+|[^()]+)(\)|\n)"
    text = add_word(path, text, beginning, pattern, resource.names.plural)
    return ROUTERS.insert(path, text, f"router.include_router({resource.names.plural}.router)")


def edit_all(resource: Resource, root: Path) -> dict[str, tuple[str, str]]:
    """Each file that is to change, as it is and as it will be."""
    changed = {}
    for path in REGISTRIES:
        old = (root / path).read_text()
        changed[path] = (old, formatted(root, path, edit_registry(resource, path, old)))
    return changed
