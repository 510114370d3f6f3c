"""Texts of requests: how long each may be is checked before anything else is done with it."""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

# Unicode's category Cc without tab, line feed and carriage return, for a regular expression's brackets.
CONTROL_CHARACTERS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
CONTROL = re.compile(rf"[{CONTROL_CHARACTERS}]")


def refuse_control_characters(text: str) -> str:
    """PostgreSQL can't store NUL, and the others only do harm in a terminal or a log."""
    if CONTROL.search(text):
        raise ValueError("must not contain control characters")
    return text


@dataclass(frozen=True, slots=True)
class Characters:
    """What a text may hold: `Annotated[str, Characters(100)]`.

    Of a line the white space around it is removed, after the length was checked: it counts.
    """

    max_length: int
    is_line: bool = False
    may_be_blank: bool = True

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        bounded = core_schema.str_schema(max_length=self.max_length)
        checked = core_schema.no_info_after_validator_function(refuse_control_characters, bounded)
        if not self.is_line:
            return checked
        # Some control characters are white space too: they are looked for before.
        stripped = core_schema.str_schema(strip_whitespace=True, min_length=0 if self.may_be_blank else 1)
        return core_schema.chain_schema([checked, stripped])

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        any_ = rf"[^{CONTROL_CHARACTERS}]*"
        # At least one character that is not white space, for those who read the schema alone.
        pattern = f"^{any_}$" if self.may_be_blank else rf"^{any_}[^\s{CONTROL_CHARACTERS}]{any_}$"
        told = {"pattern": pattern} if self.may_be_blank else {"minLength": 1, "pattern": pattern}
        # A narrower pattern, of a validator beside this one, has the last word.
        return told | handler(schema)


@dataclass(frozen=True, slots=True)
class Spelled:
    """Of the many spellings that Pydantic takes for a value, the one that the JSON Schema names.

    Its bounds have to be in the pattern. It is compared by Pydantic's own code: some of these are read with each
    request.
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
        # A number or a truth value has one spelling anyhow: that of JSON.
        return told | {"pattern": self.pattern} if told.get("type") == "string" else told
