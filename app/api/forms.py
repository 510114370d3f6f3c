"""Types of forms: those that may be read."""

import re

from app.core.errors import UnsupportedMediaTypeError

# Of an encoding that it was asked for, Python looks for a module, and keeps the name; some take hours for what others
# have in no time.
MULTIPART = re.compile(
    r"multipart/form-data(?:\s*;\s*(?:"
    r'boundary=(?:"[^"\\]{1,70}"|[^\s;"]{1,70})'
    r'|charset="?(?:utf-?8|us-ascii)"?'
    r"))*\s*",
    re.IGNORECASE,
)


def require_usual_form(content_type: str) -> None:
    """Raises UnsupportedMediaTypeError for a multipart body of another kind, or in another encoding."""
    if "multipart" in content_type.lower() and not MULTIPART.fullmatch(content_type):
        raise UnsupportedMediaTypeError(
            "Send a form as `application/x-www-form-urlencoded`, or as `multipart/form-data` in UTF-8."
        )
