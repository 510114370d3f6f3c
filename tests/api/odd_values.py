"""Odd members of each type that requests have: what JSON, Python and databases do not agree about."""

from typing import Any

from tests.api.operations import Schema

SURROGATES = ("\ud800", "a\udc00b", "\ude00\ud83d")
# What Python, Pydantic or PostgreSQL take for a number, and JSON Schema does not.
SPELLINGS = (
    *("", " ", "0", "-0", "+1", "1_000", "1e3", "0e1000000", "1e-999999", "1.0", "1.", ".5", "1,5", " 1", "1 ", "1\n"),
    *(
        "01",
        "0x1",
        "0b1",
        "\uff11",
        "\u0661",
        "NaN",
        "Infinity",
        "-inf",
        "true",
        "1/2",
        "\t1",
        "\x001",
        "9" * 5000,
        "1",
        "0.19",
    ),
)
FLAGS = ("", "0", "1", "yes", "on", "t", "True", "TRUE", " true", "true ", "null", "true", "false")
TIMES = (
    *("", "now", "0", "1795651200", "-1", "1e9", "2026", "2026-11-22", "20261122T000000Z", "2026-11-22T00:00:00"),
    *(
        "2026-11-22T00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T23:59:60Z",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
    ),
    *("2026-11-22T00:00:00+24:00", "2026-11-22T00:00:00+0100", "2026-11-22T00:00:00.Z", "0000-01-01T00:00:00Z"),
    *("2026-11-22T00:00:00.1234567890Z", "\uff12026-11-22T00:00:00Z", " 2026-11-22T00:00:00Z", "2026-11-22T00:00:00Z "),
    *("2026-11-22T00:00:00Z", "2026-11-22t00:00:00z", "2026-11-22 00:00:00.123456789-23:59", "9998-12-31T23:59:59Z"),
)
DATES = (
    "",
    "0",
    "1795651200",
    "2026-2-1",
    "2026-02-30",
    "2026-11-22T00:00:00",
    "20261122",
    "0000-01-01",
    "\uff12026-11-22",
)
JSON_TYPES: tuple[Any, ...] = (None, True, False, [], {}, [[]], {"a": 1}, "x", 1)
NUMBERS: tuple[Any, ...] = (
    *(0, -0.0, 1, -1, 1.0, 1.5, 1e3, 0.001, 1e-7, 5e-324, 1e300, 2**31, 2**53, 2**63, -(2**63) - 1, 10**400),
    *(float("nan"), float("inf"), -float("inf")),
)


def odd_texts(schema: Schema) -> list[str]:
    """As a text: in a path, a query, a header, a form or a JSON string."""
    kind, is_number = schema.get("type"), "[0-9]{1," in schema.get("pattern", "")
    if kind == "integer" or is_number:
        return list(SPELLINGS)
    if kind == "boolean":
        return list(FLAGS)
    if schema.get("format") in {"date", "date-time"}:
        return [*(DATES if schema["format"] == "date" else TIMES)]
    most = schema.get("maxLength", 300)
    texts = ["", " ", " x ", "x\r\ny", "x" * (most + 1), " " * most + "x", "x" * (most - 1) + "\n", "1", "null", "%00"]
    texts += [*SURROGATES, "\x00", "x\x1f", "\x85", "\u200b", "\ufdfa" * 20, "😀"]
    for value in schema.get("enum", ()):
        texts += [value, f"{value} ", value.upper()]
    return list(dict.fromkeys(texts))


def odd_json(schema: Schema) -> list[Any]:
    """As a value in a JSON body."""
    kind = schema.get("type")
    values: list[Any] = [*JSON_TYPES, *(NUMBERS if kind in {"integer", "number"} else NUMBERS[:3])]
    if kind == "array":
        values += [[None], [1, "x"], [{}], [1] * (schema["maxItems"] + 1), [[]] * 3, {"0": 1}]
    if kind == "string":
        values += odd_texts(schema)
    if kind == "number":
        values += SURROGATES
    return values
