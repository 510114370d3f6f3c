"""Strings in requests; the length is checked first."""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

# Unicode's category Cc without tab, line feed and carriage return, for use in a character class.
CONTROL_CHARACTERS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
CONTROL = re.compile(rf"[{CONTROL_CHARACTERS}]")


def refuse_control_characters(text: str) -> str:
    """PostgreSQL cannot store NUL; the others can only do harm in a terminal or a log."""
    if CONTROL.search(text):
        raise ValueError("must not contain control characters")
    return text


@dataclass(frozen=True, slots=True)
class Characters:
    """The length and the characters of a string: `Annotated[str, Characters(100)]`.

    Single-line strings are stripped after the length check, so surrounding white space counts.
    """

    max_length: int
    is_line: bool = False
    may_be_blank: bool = True

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        bounded = core_schema.str_schema(max_length=self.max_length)
        checked = core_schema.no_info_after_validator_function(refuse_control_characters, bounded)
        if not self.is_line:
            return checked
        # Checked before stripping, since some control characters are white space.
        stripped = core_schema.str_schema(strip_whitespace=True, min_length=0 if self.may_be_blank else 1)
        return core_schema.chain_schema([checked, stripped])

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        any_ = rf"[^{CONTROL_CHARACTERS}]*"
        # At least one character that is not white space, for readers of the schema.
        pattern = f"^{any_}$" if self.may_be_blank else rf"^{any_}[^\s{CONTROL_CHARACTERS}]{any_}$"
        told = {"pattern": pattern} if self.may_be_blank else {"minLength": 1, "pattern": pattern}
        # A narrower pattern of another validator wins.
        return told | handler(schema)


@dataclass(frozen=True, slots=True)
class Spelled:
    """Restricts the input to the one spelling in the JSON Schema, where Pydantic accepts several.

    The pattern has to cover the bounds. It runs in Pydantic's core, since some of these are parsed on every request.
    """

    pattern: str
    example: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.custom_error_schema(
            core_schema.str_schema(pattern=self.pattern),
            "spelling",
            custom_error_message=f"Must look like {self.example}",
        )
        return core_schema.chain_schema([text, handler(source)])

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        told = handler(schema["steps"][-1])
        # JSON numbers and booleans have one spelling already.
        return told | {"pattern": self.pattern} if told.get("type") == "string" else told
