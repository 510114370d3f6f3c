"""One module knows FastAPI's and Starlette's internals."""

import ast
import re
from collections.abc import Iterator

from tests.arch.test_rules import MODULES

ROOM = "app/api/fastpath/_fastapi.py"
# Names without an underscore of modules that are not documented.
INTERNAL_MODULES = re.compile(r"(fastapi|starlette)(\..*)?\._|fastapi\.(_compat|dependencies|utils)\b")
PUBLIC_ALL_THE_SAME = {"is_body_allowed_for_status_code"}
INTERNAL_NAMES = re.compile(
    r"fastapi_(inner|function|middleware)_astack|_native_telemetry|_?DefaultPlaceholder|_?EffectiveRouteContext"
    r"|_IncludedRouter|_(get_)?routes_version|effective_(candidates|route_contexts?)|original_router|include_context"
)


def internals() -> Iterator[str]:
    for place, tree in MODULES.items():
        for node in ast.walk(tree):
            if place != ROOM and any(map(is_internal, names_in(node))):
                yield f"{place}:{getattr(node, 'lineno', 0)}"


def names_in(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (f"{alias.name}." for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in {"fastapi", "starlette"}:
        yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name not in PUBLIC_ALL_THE_SAME)
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
        yield node.value


def is_internal(name: str) -> bool:
    return bool(INTERNAL_MODULES.match(name) or INTERNAL_NAMES.search(name))


def test_no_other_module_names_an_internal_of_fastapi() -> None:
    assert not list(internals())
