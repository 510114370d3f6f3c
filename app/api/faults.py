"""Validation errors as clients see them: bounded in number and length, and without values."""

from collections.abc import Sequence
from typing import Any

from app.schemas.base import MAX_FAULTS

MAX_NAME = 100
MAX_MESSAGE = 200
LENGTH_FAULTS = {"too_short": ("least", "min_length"), "too_long": ("most", "max_length")}


def describe_errors(faults: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Omit `input` and `ctx`, which may hold a password; cut names and messages, which may quote the request."""
    return [
        {
            "loc": [cut(part, MAX_NAME) if isinstance(part, str) else part for part in fault["loc"]],
            "msg": cut(message(fault), MAX_MESSAGE),
            "type": fault["type"],
        }
        for fault in faults[:MAX_FAULTS]
    ]


def message(fault: dict[str, Any]) -> str:
    """Pydantic says "items" for strings with custom validators; say "characters" instead."""
    if fault["type"] in LENGTH_FAULTS and isinstance(fault["input"], str):
        adjective, limit = LENGTH_FAULTS[fault["type"]]
        return f"Must have at {adjective} {fault['ctx'][limit]} characters"
    if fault["type"] == "json_invalid":
        return f"{fault['msg']}: {fault['ctx']['error']}"
    return str(fault["msg"])


def cut(text: str, length: int) -> str:
    """Truncate, and replace lone surrogates, which Pydantic may quote and UTF-8 cannot encode."""
    text = text if len(text) <= length else f"{text[: length - 1]}…"
    return text.encode(errors="replace").decode()
