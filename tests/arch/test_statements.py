"""No GET operation of the API goes unmeasured: one query for each row is found before there are many."""

import ast
import json
from collections.abc import Iterator

from app.core.db.migrations import ROOT

TESTS = [ast.parse(path.read_text()) for path in sorted((ROOT / "tests").rglob("test_*.py"))]


def measured() -> Iterator[str]:
    """The operation ids in `@pytest.mark.measures("…")` over tests that take `max_queries`."""
    for node in (node for tree in TESTS for node in ast.walk(tree)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.measures":
                assert "max_queries" in {argument.arg for argument in node.args.args}, node.name
                yield from (ast.literal_eval(argument) for argument in mark.args)


def test_every_get_operation_is_measured_and_nothing_that_is_gone() -> None:
    paths = json.loads((ROOT / "tests/api/openapi.json").read_text())["paths"]
    reads = {
        methods["get"]["operationId"]
        for path, methods in paths.items()
        if path.startswith("/api/") and "get" in methods
    }
    assert {"items_list", "items_read"} <= reads
    assert set(measured()) == reads
