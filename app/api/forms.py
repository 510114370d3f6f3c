"""Forms: which of them are read, and how much of them."""

import re
from typing import Any

from app.core.errors import UnsupportedMediaTypeError

# Beside `max_body_size`, for what FastAPI reads of a form. OAuth 2 has unknown fields ignored.
FORM_LIMITS: Any = {"max_fields": 20, "max_files": 0, "max_part_size": 16 * 1024}
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
