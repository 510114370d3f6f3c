"""The types a field can have, and how each looks in every file that is written."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from app.schemas.base import Flag
from app.schemas.fields import Amount, Day, Email, Instant, Int32, Line255, LongText, Url, Year


@dataclass(frozen=True, slots=True)
class Kind:
    """`sample`, `stored` and `bad` are Python source for tests; `{n}` is a number, `{name}` the field's name."""

    name: str
    column: str
    migration: str
    wire: str
    read: str
    sample: str
    bad: tuple[str, ...]
    stored: str | None = None
    query: str | None = None
    example: object = None
    is_searched: bool = False
    is_sortable: bool = False
    refuses_flags: tuple[str, ...] = ()
    accepts: Any = None
    read_default: Callable[[str], object] = str
    source: Callable[[Any], str] = repr


def whole(text: str) -> object:
    try:
        return int(text)
    except ValueError:
        return text


def truth(text: str) -> object:
    return {"true": True, "false": False}.get(text, text)


def date_source(value: datetime) -> str:
    return f"date({value.year}, {value.month}, {value.day})"


def instant_source(value: datetime) -> str:
    return f'datetime.fromisoformat("{value.astimezone(UTC).isoformat().replace("+00:00", "Z")}")'


LINE_FAULTS = ('""', '"   "', '"x" * 256', '"nul \\0"', "7")
NUMBER_FAULTS = ('"7"', "1.5", "2**31", "True")

KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "str", "Str255", "sa.String(255)", "Line255", "str", '"{name} {n}"', LINE_FAULTS,
            is_searched=True, is_sortable=True, accepts=Line255,
        ),
        Kind(
            "text", "LongText", "sa.Text()", "LongText", "str", '"{name} {n}"', ('"x" * 10_001', '"nul \\0"', "7"),
            is_searched=True, accepts=LongText, refuses_flags=("unique", "index"),
        ),
        Kind(
            "int", "int", "sa.Integer()", "Int32", "int", "{n}", NUMBER_FAULTS,
            query="Int32Query", example=3, is_sortable=True, accepts=Int32, read_default=whole,
        ),
        Kind(
            "decimal", "Money", "fixed_point(12, 2)", "Amount", "MoneyOut", '"{n}.50"',
            ('"1.999"', '"NaN"', '"10000000000"', "True"), stored='Decimal("{n}.50")',
            query="AmountQuery", is_sortable=True, accepts=Amount, source=lambda value: f'Decimal("{value:.2f}")',
        ),
        Kind(
            "bool", "bool", "sa.Boolean()", "Flag", "bool", "{n} % 2 == 1", ('"yes"', "1"),
            query="FlagQuery", accepts=Flag, refuses_flags=("unique",), read_default=truth,
        ),
        Kind(
            "date", "date", "sa.Date()", "Day", "date", '"2026-01-{n:02}"',
            ('"2026-02-30"', '"2026-01-01T00:00:00"', "5"), stored="date(2026, 1, {n})", example="2026-11-22",
            is_sortable=True, accepts=Day, source=date_source,
        ),
        Kind(
            "datetime", "datetime", "sa.DateTime(timezone=True)", "Instant", "datetime", '"2026-01-{n:02}T12:00:00Z"',
            ('"2026-01-01T12:00:00"', '"2026-01-01"', "5"), stored="datetime(2026, 1, {n}, 12, tzinfo=UTC)",
            is_sortable=True, accepts=Instant, source=instant_source,
        ),
        Kind(
            "email", "Str255", "sa.String(255)", "Email", "str", '"{name}{n}@example.com"', ('"nobody"', '"a@b"', "7"),
            example="alice@example.com", is_searched=True, accepts=Email,
        ),
        Kind(
            "url", "Str2000", "sa.String(2000)", "Url", "str", '"https://example.com/{n}"',
            ('"ftp://example.com"', '"https://example.com/a b"', "7"), example="https://example.com/about", accepts=Url,
        ),
        Kind(
            "year", "int", "sa.Integer()", "Year", "int", "1970 + {n}", ("-3001", "9999", '"1970"', "1.5"),
            query="Int32Query", example=1974, is_sortable=True, accepts=Year, read_default=whole,
        ),
        Kind(
            "ref", "int", "key()", "JsonId", "int", "", ("0", '"1"', "True"), query="IdParameter", example=7,
        ),
        Kind(
            "enum", "", "", "", "", "", ('"something else"', "7"), refuses_flags=("unique",),
        ),
    )
}  # fmt: skip


def default_of(kind: Kind, text: str) -> object:
    """The value that a default stands for. Raises ValueError if the type does not accept it."""
    return TypeAdapter(kind.accepts).validate_python(kind.read_default(text))


def wire_default(kind: Kind, value: object) -> object:
    """As JSON has it."""
    if kind.name == "decimal":
        return f"{value:.2f}"
    return TypeAdapter(kind.accepts).dump_python(value, mode="json")
