"""Invisible characters and bidirectional marks, which make different strings look alike."""

import re

# Unicode's Default_Ignorable_Code_Point: zero-width letters, fillers, variation selectors, all marks of direction.
# Unicode's stability policy fixes the ranges, which include unassigned code points.
BASIC = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
)
# For patterns in JSON Schemas: what `strip_around` removes.
AROUND = rf"[\s{BASIC}]*"
INVISIBLE = re.compile(rf"[{BASIC}\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]")


def strip_around(text: str) -> str:
    """Strip white space and invisible characters, which phone keyboards and copying leave at the ends."""
    if text.isascii():
        return text.strip()
    seen = [place for place, letter in enumerate(text) if not letter.isspace() and not INVISIBLE.match(letter)]
    return text[seen[0] : seen[-1] + 1] if seen else ""


def refuse_invisible(text: str) -> str:
    """Raises ValueError."""
    if not text.isascii() and INVISIBLE.search(text):
        raise ValueError("must not contain invisible characters or marks of direction")
    return text
