"""What the OpenAPI document says of a value: whether it may be sent."""

import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import jsonschema

from tests.api.operations import DOCUMENT, Schema, alternatives

FORMATS = jsonschema.FormatChecker(("date", "email"))


def is_instant(value: object) -> bool:
    return not isinstance(value, str) or bool(datetime.fromisoformat(value.upper()).astimezone(UTC))


FORMATS.checks("date-time", raises=(ValueError, OverflowError))(is_instant)


def match_pattern(_: object, pattern: str, text: object, __: object) -> Iterator[jsonschema.ValidationError]:
    """As JSON Schema has it: for Python the end is also before a line break."""
    if isinstance(text, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), text):
        yield jsonschema.ValidationError("does not match")


Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": match_pattern})


def fits(schema: Schema, value: object) -> bool:
    """Whether the document allows it; what is no JSON is never allowed."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        return False
    whole = {**schema, "components": DOCUMENT["components"]}
    try:
        return bool(Validator(whole, format_checker=FORMATS).is_valid(value))
    except OverflowError:  # of a number that is far beyond what any schema here allows
        return False


def has_more_places(value: object, places: int) -> bool:
    """Of a number, which no JSON Schema can say that validators compute exactly; of a text the pattern says it."""
    return isinstance(value, float) and math.isfinite(value) and value != round(value, places)


def fits_as_text(schema: Schema, text: str) -> bool:
    """Whether a value that the document allows is written so."""
    written: dict[str, Any] = {"true": True, "false": False}
    if text.removeprefix("-").isdecimal() and len(text) < 100 and str(int(text)) == text:
        written[text] = int(text)
    kinds = {kind.get("type") for kind in alternatives(schema)}
    is_text = "string" in kinds and fits(schema, text)
    return is_text or (bool(kinds & {"integer", "boolean"}) and text in written and fits(schema, written[text]))
