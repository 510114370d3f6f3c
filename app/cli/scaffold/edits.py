"""Lines that a new resource adds to files that are there: the registries, the scopes, the aliases, the contracts."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.cli.faults import MistakeError
from app.cli.scaffold.formatting import formatted
from app.cli.scaffold.resource import Resource

OPENAPI_TEST = "tests/api/test_openapi.py"


@dataclass(frozen=True, slots=True)
class Area:
    """Lines between two others, one an entry; without `before` it ends with the entries.

    A new line goes before the first that is greater, so that where it stands does not depend on which came first.
    """

    after: str
    entry: str
    before: str | None = None

    def insert(self, path: str, text: str, line: str) -> str:
        lines = text.splitlines(keepends=True)
        start, end = self.bounds(path, lines)
        place = next((at for at in range(start, end) if self.key(lines[at]) > self.key(line)), end)
        return "".join([*lines[:place], line + "\n", *lines[place:]])

    def bounds(self, path: str, lines: list[str]) -> tuple[int, int]:
        start = find(path, lines, self.after) + 1
        if self.before is not None:
            return start, find(path, lines, self.before, start)
        return start, next((at for at in range(start, len(lines)) if not self.key(lines[at])), len(lines))

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
TAGS = Area('{"name": "users"', r'\{"name": "(\w+)"', before='{"name": "admin"')
SCOPES = Area('"chat": ', r'"(\w+:\w+)": ', before='"users:read": ')
ALIASES = Area("UserWriter = ", r"(\w+(?:Reader|Writer)) = ")
EXPORTS = Area("__all__ = [", r'"(\w+)",', before="]")
PUBLIC = Area("PUBLIC = {", r'"(\w+_(?:list|list_v2|read))",', before="}")
CONTRACT = "Resources do not import each other's routers"


def edit_registry(resource: Resource, path: str, text: str) -> str:
    package = path.removesuffix("/__init__.py").replace("/", ".")
    beginning = f"from {package} import"
    pattern = rf"({re.escape(beginning)} (?=\()\(|{re.escape(beginning)} )([^()\n]+|[^()]+)(\)|\n)"
    text = add_word(path, text, beginning, pattern, resource.names.plural)
    return ROUTERS.insert(path, text, f"router.include_router({resource.names.plural}.router)")


def edit_tags(resource: Resource, path: str, text: str) -> str:
    description = f"{resource.names.nouns.capitalize()}."
    return TAGS.insert(path, text, f'    {{"name": "{resource.names.plural}", "description": "{description}"}},')


def edit_scopes(resource: Resource, path: str, text: str) -> str:
    many, nouns = resource.names.plural, resource.names.nouns
    text = SCOPES.insert(path, text, f'    "{many}:read": "See {nouns}",')
    text = SCOPES.insert(path, text, f'    "{many}:write": "Create, change and delete {nouns}",')
    if resource.is_owned:
        return text
    return add_word(path, text, "ADMIN_ONLY = {", r"(^ADMIN_ONLY = \{|\nADMIN_ONLY = \{)([^}]*)(\})", f'"{many}:write"')


def edit_deps(resource: Resource, path: str, text: str) -> str:
    for role, verb in (("Reader", "read"), ("Writer", "write")):
        alias, scope = f"{resource.names.model}{role}", f"{resource.names.plural}:{verb}"
        text = EXPORTS.insert(path, text, f'    "{alias}",')
        text = ALIASES.insert(path, text, f'{alias} = Annotated[Identity, Security(get_identity, scopes=["{scope}"])]')
    return text


def edit_contract(resource: Resource, path: str, text: str) -> str:
    pattern = rf'(name = "{CONTRACT}"\ntype = "independence"\nmodules = \[)([^\]]*)(\])'
    return add_word(path, text, f'name = "{CONTRACT}"', pattern, f'"app.api.v1.{resource.names.plural}"')


def edit_public(resource: Resource, path: str, text: str) -> str:
    for operation in ("list", "list_v2", "read"):
        text = PUBLIC.insert(path, text, f'    "{resource.names.plural}_{operation}",')
    return text


type Edit = Callable[[Resource, str, str], str]


def edits_of(resource: Resource) -> dict[str, Edit]:
    edits: dict[str, Edit] = {
        "app/api/v1/__init__.py": edit_registry,
        "app/api/v2/__init__.py": edit_registry,
        "app/api/openapi.py": edit_tags,
        "app/api/deps/__init__.py": edit_deps,
        "app/services/auth/scopes.py": edit_scopes,
        "pyproject.toml": edit_contract,
    }
    return edits | ({OPENAPI_TEST: edit_public} if resource.is_public else {})


def edit_all(resource: Resource, root: Path) -> dict[str, tuple[str, str]]:
    """Each file that is to change, as it is and as it will be."""
    changed = {}
    for path, edit in edits_of(resource).items():
        old = (root / path).read_text()
        changed[path] = (old, formatted(root, path, edit(resource, path, old)))
    return changed
