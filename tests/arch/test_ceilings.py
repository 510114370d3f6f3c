"""A library of whose private parts the application makes use has a ceiling, and tests that say what to look at.

FastAPI has none: the fast path looks at what it finds and declines by itself.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator

import pytest

from app.api.fastpath._fastapi import difference
from app.core.db.migrations import ROOT

# By library: the requirement, and the tests to look at when its ceiling is raised.
CEILINGS = {
    "asyncpg": ("asyncpg>=0.32,<0.33", "tests/core/test_asyncpg.py"),
    "sqlalchemy": ("sqlalchemy[asyncio]>=2.1,<2.2", "tests/core/test_sqlalchemy.py"),
    "uvicorn": ("uvicorn[standard]>=0.54,<0.55", "tests/cli/test_uvicorn.py"),
}
# By file, beside the fast path: whose private attributes it uses.
PRIVATE = {
    "app/cli/http_protocol.py": "uvicorn",
    "app/cli/server.py": "uvicorn",
    "app/core/db/liveness/connection.py": "asyncpg",
    "app/core/db/driver/lending_pool.py": "sqlalchemy",
    "app/core/db/statement_checks.py": "sqlalchemy",
}
FAST_PATH = "app/api/fastpath/_fastapi.py"
FILES = {
    name: ast.parse(path.read_text())
    for path in sorted((ROOT / "app").rglob("*.py"))
    if not (name := path.relative_to(ROOT).as_posix()).startswith(FAST_PATH)
}
PUBLIC = {"_asdict", "_exit", "_fields", "_make", "_mapping", "_replace"}  # of named tuples, rows and `os`: documented


def test_the_fast_path_knows_this_fastapi() -> None:
    """Else it is off: look at what has changed, then raise `TESTED_WITH`."""
    assert difference() is None


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_"


def private_imports(tree: ast.AST) -> Iterator[str]:
    """The libraries of which something private is imported, whether a module or a name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            library, *parts = name.split(".")
            if any(is_private(part) for part in parts) and library not in {"app", *sys.stdlib_module_names}:
                yield library


def private_attributes(tree: ast.AST) -> set[str]:
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_private(node.attr)} - PUBLIC


@pytest.mark.parametrize("library", CEILINGS)
def test_a_library_with_private_parts_in_use_has_a_ceiling_and_its_tests(library: str) -> None:
    requirement, tests = CEILINGS[library]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert requirement in project["dependencies"]
    assert (ROOT / tests).is_file()


def test_nothing_private_is_imported_of_other_libraries() -> None:
    found = {(name, library) for name, tree in FILES.items() for library in private_imports(tree)}
    assert [(name, library) for name, library in sorted(found) if library not in CEILINGS] == []


def test_no_private_attribute_of_other_libraries_is_used() -> None:
    assert {name for name, tree in FILES.items() if private_attributes(tree)} <= PRIVATE.keys()
    assert set(PRIVATE.values()) <= CEILINGS.keys()


def test_private_parts_are_recognized() -> None:
    tree = ast.parse(
        "import a._b\nfrom c import _d\nfrom e import f\nself._g\nrow._fields\nself.__class__\nos._exit(0)"
    )
    assert list(private_imports(tree)) == ["a", "c"]
    assert private_attributes(tree) == {"_g"}
