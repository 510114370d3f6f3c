"""What is wrong with a request, as its answer tells it: so many faults, so many characters, and no value."""

from collections.abc import Sequence
from typing import Any

from app.schemas.base import MAX_FAULTS

MAX_NAME = 100
MAX_MESSAGE = 200
LENGTH_FAULTS = {"too_short": ("least", "min_length"), "too_long": ("most", "max_length")}


def describe_errors(faults: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without `input` and `ctx`: they may hold a password. Names and messages quote what was sent."""
    return [
        {
            "loc": [cut(part, MAX_NAME) if isinstance(part, str) else part for part in fault["loc"]],
            "msg": cut(message(fault), MAX_MESSAGE),
            "type": fault["type"],
        }
        for fault in faults[:MAX_FAULTS]
    ]


def message(fault: dict[str, Any]) -> str:
    """Pydantic counts "items" where a text is checked by more than its length; people count characters."""
    if fault["type"] in LENGTH_FAULTS and isinstance(fault["input"], str):
        adjective, limit = LENGTH_FAULTS[fault["type"]]
        return f"Must have at {adjective} {fault['ctx'][limit]} characters"
    if fault["type"] == "json_invalid":
        return f"{fault['msg']}: {fault['ctx']['error']}"
    return str(fault["msg"])


def cut(text: str, length: int) -> str:
    """As characters that can be sent: Pydantic quotes halves of surrogate pairs too."""
    text = text if len(text) <= length else f"{text[: length - 1]}…"
    return text.encode(errors="replace").decode()
