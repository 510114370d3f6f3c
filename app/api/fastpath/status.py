"""Whether the fast path is on, for how many operations, and if not, why."""

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from app.api.fastpath._fastapi import difference
from app.api.fastpath.table import Table


def why_off(mode: str) -> str | None:
    return "FAST_PATH=off" if mode == "off" else difference()


def describe(app: FastAPI, mode: str) -> str:
    """`on, 55 of 59 operations` or `off: FAST_PATH=off`."""
    reason = why_off(mode)
    if reason is not None:
        return f"off: {reason}"
    answered, total = count_operations(app, Table.of(app))
    return f"on, {answered} of {total} operations"


def count_operations(app: FastAPI, table: Table) -> tuple[int, int]:
    """Of those in the document: how many the table knows, and how many there are."""
    found = []
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute) and context.include_in_schema:
            path = str(context.path_format).format_map(dict.fromkeys(context.param_convertors, "1"))
            found += [table.search(method, path) is not None for method in context.methods or ()]
    return sum(found), len(found)
