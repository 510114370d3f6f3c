"""What mypy is to refuse: each of these lines, and nothing around them."""

import re
from pathlib import Path

import pytest
from mypy import api

PREAMBLE = """
from app.api.deps import ReadSessionDep, SessionDep
from app.crud.invalidation import bump_generation
from app.crud.item import ItemInsert, ItemRow, items
from app.models.item import Item


async def use(reader: ReadSessionDep, session: SessionDep, item: Item, row: ItemRow, new: ItemInsert) -> None:
    session.add(item)
    session.add_all([item])
    await session.delete(item)
    await session.merge(item)
    await items.insert(session, new)
    await items.update_row(session, row.version)
    await items.flush(session)
"""
# A wrong line, and the kind of error that mypy gives it.
WRONG = [
    ("reader.add(item)", "arg-type"),
    ("reader.add_all([item])", "arg-type"),
    ("await reader.delete(item)", "arg-type"),
    ("await reader.merge(item)", "arg-type"),
    ("session = reader", "assignment"),
    ("await items.insert(reader, new)", "arg-type"),
    ("await items.update_row(reader, 1)", "arg-type"),
    ("await items.delete_row(reader, 1)", "arg-type"),
    ("await items.flush(reader)", "arg-type"),
    ("await items.get_for_update(reader, 1)", "arg-type"),
    ("await items.set_done(reader, 1, [1], is_done=True)", "arg-type"),
    ('await bump_generation(reader, "items")', "arg-type"),
    ('ItemInsert(owner_id=1, title="x", amuont=1)', "call-arg"),
    ("row.versoin", "attr-defined"),
]


@pytest.mark.slow
def test_mypy_refuses_what_would_fail_or_do_harm(tmp_path: Path) -> None:
    lines = [*PREAMBLE.splitlines(), *(f"    {line}" for line, _ in WRONG)]
    source = tmp_path / "wrong.py"
    source.write_text("\n".join(lines) + "\n")
    output, problems, _ = api.run(["--no-error-summary", "--hide-error-context", str(source)])
    assert not problems
    first = len(lines) - len(WRONG) + 1
    assert told(output) == {first + number: kind for number, (_, kind) in enumerate(WRONG)}


def told(output: str) -> dict[int, str]:
    """The codes of errors by their lines."""
    errors = re.findall(r"wrong\.py:(\d+): error: .* \[([\w-]+)\]$", output, re.MULTILINE)
    return {int(line): code for line, code in errors}
