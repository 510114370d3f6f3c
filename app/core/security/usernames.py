"""Validation of usernames, against look-alikes."""

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, StringConstraints

from app.core.security.invisible import AROUND, refuse_invisible, strip_around

if TYPE_CHECKING:
    from regex import Pattern

# Begins with a letter or digit after optional underscores, and does not end with a full stop or hyphen.
PATTERN = r"_*[^\W_]([\w.-]*\w)?"
# The recommended scripts (UAX 31 table 5); the others are little known and full of look-alikes.
SCRIPTS = """
    Arabic Armenian Bengali Bopomofo Cyrillic Devanagari Ethiopic Georgian Greek Gujarati Gurmukhi Hangul Han Hebrew
    Hiragana Kannada Katakana Khmer Lao Latin Malayalam Myanmar Oriya Sinhala Tamil Telugu Thaana Thai Tibetan
"""
# Scripts that are written together (UTS 39 section 5.1).
MIXED_SCRIPTS = (("Han", "Hiragana", "Katakana"), ("Han", "Hangul"), ("Han", "Bopomofo"))


def check_username(name: str) -> str:
    """Normalize to NFKC, and require letters of one script and digits of one system. Raises ValueError.

    Source: UTS 39, sections 5.1 and 5.3.
    """
    name = unicodedata.normalize("NFKC", refuse_invisible(strip_around(name)))
    if not 3 <= len(name) <= 50 or not re.match(r"[\w.-]+\Z", name):
        raise ValueError("must be 3 to 50 letters, digits and `_ . -`")
    if not re.fullmatch(PATTERN, name):
        raise ValueError("must have a letter or digit, and neither begin nor end with `.` or `-`")
    if not name.isascii():
        refuse_mixture(name)
    return name


def refuse_mixture(name: str) -> None:
    # Subtracting a digit's value gives the zero of its system.
    zeros = {ord(character) - unicodedata.decimal(character) for character in name if character.isdecimal()}
    if len(zeros) > 1 or not one_script().fullmatch(name):
        raise ValueError("must have the letters of one script only, and digits of one kind")


@cache
def one_script() -> "Pattern[str]":
    """Compiled for the first name that needs it: Python's `re` does not know scripts."""
    import regex  # noqa: PLC0415 - not needed for ASCII names

    choices = [(script,) for script in SCRIPTS.split()] + list(MIXED_SCRIPTS)
    return regex.compile("|".join(f"[{properties(*scripts, 'Common', 'Inherited')}]*" for scripts in choices))


def properties(*scripts: str) -> str:
    return "".join(rf"\p{{Script_Extensions={script}}}" for script in scripts)


Username = Annotated[
    str,
    StringConstraints(min_length=3, max_length=50),
    AfterValidator(check_username),
    Field(
        examples=["alice"],
        description="Letters of one script, digits of one kind, and `_ . -`. Compared without regard to letter case; "
        "white space around it is taken off.",
        json_schema_extra={"pattern": f"^{AROUND}{PATTERN}{AROUND}$"},
    ),
]
