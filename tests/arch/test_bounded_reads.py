"""No read grows without end with what users do: a statement whose rows are all taken has a limit, or a reason."""

import ast
from collections.abc import Iterator

from app.core.db.migrations import ROOT

TAKES_ROWS = {"scalars", "execute", "fetch"}
# By file and function: why there are never many.
BOUNDED = {
    ("base.py", "first"): "one entity, at most with the hundred lines of an order",
    ("batch.py", "newest_ids"): "one row",
    ("batch.py", "batch"): "the statement of `selected_batch`",
    ("batch.py", "scan"): "the statement of `selected_scan`",
    ("audit.py", "batch_about"): "the statement of `selected_about`",
    ("dashboard.py", "read_dashboard"): "counts, of one row each",
    ("order_counts.py", "count_orders"): "counts, of one row",
    ("dashboard.py", "count_by_day"): "a row for each of thirty days",
    ("estimate.py", "estimate"): "a plan, in one row",
    ("idempotency.py", "claim"): "one row",
    ("idempotency.py", "limit_waiting"): "a setting",
    ("invalidation.py", "bump_generation"): "an upsert of one row",
    ("item.py", "lock_for_sale"): "the hundred lines of a request",
    ("item.py", "add_stock"): "an update that returns nothing",
    ("item.py", "upsert"): "one row",
    ("item.py", "add_all"): "the thousand items of a request",
    ("item.py", "set_done"): "the thousand ids of a request",
    ("job_queue.py", "bury"): "the jobs that one worker runs at once",
    ("job_queue.py", "leave"): "a delete that returns nothing",
    ("job_queue.py", "register"): "one row",
    ("job_queue.py", "return_unknown"): "an update that returns nothing",
    ("job_queue.py", "settle"): "updates that return nothing",
    ("job_queue.py", "signs_of_life"): "a row for each worker that has jobs",
    ("lists.py", "rows"): "the statement of `slice`",
    ("lists.py", "total"): "a count",
    ("one_time_token.py", "issue"): "a delete that returns nothing",
    ("one_time_token.py", "end_all"): "a delete that returns nothing",
    ("one_time_token.py", "lock_mailed_to"): "what RATE_LIMIT_MAIL lets be mailed to an address while links last",
    ("one_time_token.py", "count_wrong_code"): "an update that returns nothing",
    ("order.py", "lines_of"): "the hundred lines of each of some orders",
    ("rows.py", "read_row"): "one row",
    ("rows.py", "write"): "one row",
    ("device_session.py", "find_account"): "one row",
    ("device_session.py", "end_all"): "MAX_SESSIONS_PER_USER",
    ("admins.py", "ensure_first_admin"): "a lock",
}


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for folder in ("crud", "services"):
        for path in sorted((ROOT / "app" / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield path.name, node


def calls(function: ast.AST) -> set[str]:
    """The last parts of what is called: `limit` of `statement.limit()`."""
    found = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return {getattr(called, "attr", getattr(called, "id", "")) for called in found}


def test_what_takes_all_rows_of_a_statement_limits_them_or_is_known_to_find_few() -> None:
    takers = {(name, each.name): calls(each) for name, each in functions() if calls(each) & TAKES_ROWS}
    assert ("lists.py", "rows") in takers
    unlimited = {place for place, called in takers.items() if "limit" not in called}
    assert unlimited == BOUNDED.keys()


def test_what_is_said_to_be_limited_elsewhere_is() -> None:
    limited = {each.name for _, each in functions() if "limit" in calls(each)}
    assert {
        "slice",
        "selected_scan",
        "selected_about",
        "end_expired",
        "lock_admins",
        "of_user",
        "end_oldest",
    } <= limited
