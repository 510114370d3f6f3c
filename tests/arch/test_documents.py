"""Documents name files, pages and tests that exist."""

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

from app.core.db.migrations import ROOT

DOCUMENTS = [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in ("README.md", "AGENTS.md", "CONTRIBUTING.md"))]
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
FOLDERS = "app|tests|docs|alembic|benchmarks|\\.ci|\\.github"
FILE = re.compile(rf"`((?:{FOLDERS})/[\w./-]+)`")
TEST = re.compile(r"`((?:\w+/)?test_\w+\.py)(?:::(\w+))?`")
# The resource that the tutorial adds.
EXAMPLES = re.compile(r"\binvoices?\b|test_invoices")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


@each_document
def test_links_lead_to_files(document: Path) -> None:
    targets = LINK.findall(document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


@each_document
def test_files_that_are_named_exist(document: Path) -> None:
    named = FILE.findall(document.read_text())
    assert [name for name in named if not EXAMPLES.search(name) and not (ROOT / name).exists()] == []


def test_every_test_that_a_promise_names_exists() -> None:
    named = TEST.findall((ROOT / "docs/security.md").read_text())
    assert len(named) > 50
    assert [f"{file}::{test}" for file, test in named if test not in {"", *functions_of(file)}] == []
    assert [file for file, _ in named if not (ROOT / "tests" / file).exists()] == []


@lru_cache
def functions_of(file: str) -> frozenset[str]:
    return frozenset(functions(ROOT / "tests" / file))


def functions(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
