"""Values of a field for the generated tests, as Python source; another number makes another value."""

import json
import re

from app.cli.scaffold.fields import Field
from app.cli.scaffold.kinds import wire_default


def sample(field: Field, number: str) -> str:
    """As JSON has it."""
    return fill(field, field.kind.sample, number)


def stored(field: Field, number: str) -> str:
    """As the row has it."""
    if field.kind.name != "enum":
        return fill(field, field.kind.stored or field.kind.sample, number)
    first, second = field.names[:2]
    return f"{field.enum}.{first} if {number} % 2 else {field.enum}.{second}"


def expected(field: Field, number: int) -> str:
    """As the row has it, without a formula."""
    if field.kind.name == "enum":
        return json.dumps(field.choices[0 if number % 2 else 1])
    if field.kind.name == "year":
        return str(1970 + number)
    source = stored(field, str(number)).replace('f"', '"')
    return re.sub(r"\{(\d+)(:02)?\}", lambda found: f"{int(found[1]):0{2 if found[2] else 1}}", source)


def default(field: Field) -> str:
    """What a response shows of a field that was left out."""
    if field.default is None or field.kind.name == "enum":
        return repr(field.default)
    return repr(wire_default(field.kind, field.default))


def fill(field: Field, source: str, number: str) -> str:
    if field.kind.name == "enum":
        first, second = field.choices[:2]
        return f'"{first}" if {number} % 2 else "{second}"'
    words = field.name if field.kind.name == "email" else field.name.replace("_", " ").capitalize()
    source = re.sub(r'"([^"]*\{n[^"]*)"', r'f"\1"', source.replace("{name}", words))
    return source.replace("{n", "{" + number) if '"' in source else source.replace("{n}", number)
