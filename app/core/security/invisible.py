"""Characters that nobody sees, by which two texts that look alike differ, or read in another order than they are."""

import re

# Unicode's Default_Ignorable_Code_Point: zero-width letters, fillers, variation selectors, all marks of direction.
# A stability policy keeps the ranges, of which unassigned ones are a part.
BASIC = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
)
# For the patterns of JSON Schemas: what `strip_around` takes off.
AROUND = rf"[\s{BASIC}]*"
INVISIBLE = re.compile(rf"[{BASIC}\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]")


def strip_around(text: str) -> str:
    """Without the white space and invisible characters at both ends: phones' keyboards and copying leave them there."""
    if text.isascii():
        return text.strip()
    seen = [place for place, letter in enumerate(text) if not letter.isspace() and not INVISIBLE.match(letter)]
    return text[seen[0] : seen[-1] + 1] if seen else ""


def refuse_invisible(text: str) -> str:
    """Raises ValueError."""
    if not text.isascii() and INVISIBLE.search(text):
        raise ValueError("must not contain invisible characters or marks of direction")
    return text
