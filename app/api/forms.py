"""Forms: accepted encodings and limits."""

import re
from typing import Any

from app.core.errors import UnsupportedMediaTypeError

# In addition to `max_body_size`. Unknown fields are ignored, as OAuth 2 requires.
FORM_LIMITS: Any = {"max_fields": 20, "max_files": 0, "max_part_size": 16 * 1024}
# Python imports a codec for any charset that a client names, and caches the name; some codecs take hours for input
# that others decode at once.
MULTIPART = re.compile(
    r"multipart/form-data(?:\s*;\s*(?:"
    r'boundary=(?:"[^"\\]{1,70}"|[^\s;"]{1,70})'
    r'|charset="?(?:utf-?8|us-ascii)"?'
    r"))*\s*",
    re.IGNORECASE,
)


def require_usual_form(content_type: str) -> None:
    """Raises UnsupportedMediaTypeError for other multipart types and charsets."""
    if "multipart" in content_type.lower() and not MULTIPART.fullmatch(content_type):
        raise UnsupportedMediaTypeError(
            "Send a form as `application/x-www-form-urlencoded`, or as `multipart/form-data` in UTF-8."
        )
